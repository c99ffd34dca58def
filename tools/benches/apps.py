"""What it costs to start an app, by archimport and by what else ships one in a file: whole processes, interleaved.

Every figure is a first quartile; a ratio is that of two of them in one run. `first run` is with empty caches.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, NamedTuple

from benches.measure import file_system_calls, first_run, interleaved, memory, quarter, run
from benches.rivals import RIVALS, ROOT, Built, Project, bare_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ROUNDS = 25
_FEW = ("venv", "folder", "code in memory", "code in memory, uncollected", "archimport", "shiv")
_NEEDED = ("venv", "code in memory, uncollected", "archimport")
_PROJECT = """
[project]
name = "{name}"
version = "1"
description = "A workload."
dependencies = {requirements}
scripts = {{ {name} = "{module}:main" }}
[build-system]
requires = ["flit_core>=3.11"]
build-backend = "flit_core.buildapi"
"""


class Workload(NamedTuple):
    """An app of its requirements and a source, and the rivals to build it with; `examples/hello` has both already."""

    requirements: Sequence[str]
    source: str
    rivals: Sequence[str] = _FEW


WORKLOADS = {
    "hello": Workload((), "", tuple(RIVALS)),
    "sympy": Workload(("sympy",), "import sympy"),
    "django": Workload(("django",), "import django.db, django.http, django.urls, django.views.generic"),
    "sqlalchemy": Workload(("sqlalchemy",), "import sqlalchemy.orm"),
    "fastapi": Workload(("fastapi",), "import fastapi"),
    "big": Workload(("numpy", "pandas", "matplotlib"), "import numpy, pandas, matplotlib.pyplot"),
}
#: The figures to reach: workload, what is measured, against which rival, and the ratio.
GOALS = [
    ("hello", "start", "venv", 0.80 if sys.version_info >= (3, 14) else 0.85),
    ("hello", "start", "shiv", 0.75),
    ("hello", "start", "pex", 0.20),
    ("hello", "start", "pex --venv", 0.45),
    ("hello", "start", "PyInstaller onefile", 0.40),
    ("hello", "start", "PyInstaller onedir", 0.75),
    ("hello", "start", "zipapp", 0.25),
    ("hello", "start", "zipapp of bytecode", 0.80),
    ("hello", "first run", "shiv", 0.25),
    ("hello", "first run", "pex", 0.08),
    ("hello", "first run", "pex --venv", 0.06),
    ("hello", "size", "shiv", 1.25),
    ("hello", "start", "code in memory", 1.15),
    ("sympy", "start", "folder", 0.90),
    ("django", "start", "folder", 0.90),
    ("sqlalchemy", "start", "folder", 0.90),
]

Figures = dict[str, float]
Table = dict[str, dict[str, Figures]]


def measured(base: Path, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Figures]]]:
    """Build each workload with its rivals and measure it: seconds, bytes and calls by rival."""
    os.environ["BENCH_TOOLS"] = str(base / "tools")
    for name in names:
        yield name, _measure(dict(build(project_of(base, name), WORKLOADS[name].rivals)))


def project_of(base: Path, name: str) -> Project:
    """Give the project of a workload, made below `base`."""
    place = base / name
    # What the environment of these tools has installed is not to be seen, nor what .pth files do.
    python = bare_python(base / "python")
    if name == "hello":
        place.mkdir(exist_ok=True)
        return Project(ROOT / "examples" / "hello", "hello", "hello.cli", place, python)
    script, module = f"bench-{name}", f"bench_{name}"
    source = place / "project"
    if not source.exists():
        source.mkdir(parents=True)
        requirements = list(WORKLOADS[name].requirements)
        text = _PROJECT.format(name=script, module=module, requirements=requirements)
        (source / "pyproject.toml").write_text(text, encoding="utf-8")
        body = f'"""A workload."""\n{WORKLOADS[name].source}\nimport sys\ndef main():\n    print(len(sys.modules))\n'
        (source / f"{module}.py").write_text(body, encoding="utf-8")
    return Project(source, script, module, place, python)


def build(project: Project, rivals: Sequence[str]) -> Iterator[tuple[str, Built]]:
    """Give what can be built and started here: only what all others are compared with has to be."""
    for rival in rivals:
        try:
            built = RIVALS[rival](project)
            run(built.command)
        except (RuntimeError, OSError) as exc:
            if rival in _NEEDED:
                raise
            print(f"bench: {project.script} without {rival}: {exc}", file=sys.stderr)
        else:
            yield rival, built


def _measure(built: dict[str, Built]) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    for rival, app in built.items():
        figures[rival] = {"first run": first_run(app.command), "size": _size(app.file)}
    for rival, runs in interleaved({rival: app.command for rival, app in built.items()}, ROUNDS).items():
        figures[rival]["start"] = quarter([run.wall for run in runs])
        figures[rival]["least"] = min(run.wall for run in runs)
        figures[rival]["cpu"] = quarter([run.cpu for run in runs])
    for rival, app in built.items():
        figures[rival]["memory"] = memory(app.command)
        calls = file_system_calls(app.command)
        if calls is not None:
            figures[rival]["calls"] = calls
    return figures


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def table(name: str, figures: dict[str, Figures], against: str = "venv") -> Iterator[str]:
    """Give the rows of a workload, ratios first."""
    base = figures[against]
    head = ["start", "least", "first run", "processor", "memory", "file-system calls", "size"]
    yield f"| {name}, against {against} | {' | '.join(head)} |"
    yield f"|{' --- |' * (len(head) + 1)}"
    for rival, row in figures.items():
        ratios = [f"{row[what] / base[what]:.2f}" for what in ("start", "least")]
        cells = [
            f"{ratios[0]} ({row['start'] * 1000:.0f} ms)",
            ratios[1],
            f"{row['first run'] * 1000:.0f} ms",
            f"{row['cpu'] / base['cpu']:.2f}",
            f"{row['memory'] / 1e6:.0f} MB",
            f"{row['calls']:.0f}" if "calls" in row else "?",
            f"{row['size'] / 1e6:.1f} MB",
        ]
        yield f"| {rival} | {' | '.join(cells)} |"


def verdicts(tables: Table) -> Iterator[str]:
    """Give a row for each figure to reach that was measured; the floor is that of code in memory, uncollected."""
    yield "| figure to reach | ratio | seen | floor |  |"
    yield "| --- | --- | --- | --- | --- |"
    for workload, what, rival, goal in GOALS:
        figures = tables.get(workload, {})
        if rival in figures:
            seen, floor = (
                figures[name][what] / figures[rival][what] for name in ("archimport", "code in memory, uncollected")
            )
            said = "reached" if round(seen, 2) <= goal else "not reached"
            least = f"{floor:.2f}" if what != "size" else ""
            yield f"| {workload}: {what} against {rival} | ≤ {goal:.2f} | {seen:.2f} | {least} | {said} |"


def machine() -> str:
    """Say where this was measured."""
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def plot(figures: dict[str, Figures]) -> str:
    """Give a drawing (SVG) of how long each takes to start, the first run behind the later ones."""
    width, bar, gap, left = 720, 14, 26, 150
    height = gap * len(figures) + 10
    longest = max(row["first run"] for row in figures.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        "<style>text { font-size: 12px }</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (rival, row) in enumerate(figures.items()):
        y = 10 + number * gap
        scale = (width - left - 90) / longest
        lines.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{rival}</text>')
        for what, colour in (("first run", "#d0d7de"), ("start", "#0969da")):
            lines.append(f'<rect x="{left}" y="{y}" width="{row[what] * scale:.1f}" height="{bar}" fill="{colour}"/>')
        said = f"{row['start'] * 1000:.0f} ms, first run {row['first run'] * 1000:.0f} ms"
        x = left + row["first run"] * scale + 6
        anchor = "start"
        if x > width - 170:
            x, anchor = left + row["first run"] * scale - 6, "end"
        lines.append(f'<text x="{x:.1f}" y="{y + 11}" text-anchor="{anchor}">{said}</text>')
    lines.append("</svg>")
    return "\n".join(lines) + "\n"
