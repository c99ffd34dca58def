"""What archimport costs beside what is used today: `python3 tools/dev.py bench [NAME ...] [--write] [--json FILE]`.

Names are workloads of `apps` (hello, sympy, django, sqlalchemy, fastapi, big), or `cold`, `opens`, `zips`,
`imports`, `mounts`, `herd` and `torn`; by default all. Rivals are installed from the registry. `--write` puts what was
measured into docs/performance.md and its plot, `--json` keeps all figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benches import apps, cold, databases, files

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
OTHERS = {**cold.BENCHES, **files.BENCHES, **databases.BENCHES}
MARKS = "<!-- made by tools/bench.py -->", "<!-- end -->"


def main() -> None:
    """Run the benches that were named, and print what they find."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *apps.WORKLOADS, *OTHERS])
    parser.add_argument("--write", action="store_true", help="write what was measured into docs/performance.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures")
    options = parser.parse_args()
    if options.write and options.names and not set(apps.WORKLOADS) <= set(options.names):
        parser.error("the page has all workloads: name them all, or none")
    names = options.names or [*apps.WORKLOADS, *OTHERS]
    with tempfile.TemporaryDirectory(prefix="archimport-bench-") as folder:
        base = Path(folder).resolve()
        workloads = [name for name in names if name in apps.WORKLOADS]
        found: apps.Table = {}
        text: list[str] = []
        for name, figures in apps.measured(base, workloads) if workloads else ():
            found[name] = figures
            text += [*apps.table(name, figures), ""]
            print("\n".join(apps.table(name, figures)), flush=True)
        text += apps.verdicts(found)
        print("\n".join(apps.verdicts(found)) if found else "", flush=True)
        if options.json:
            options.json.write_text(json.dumps({"machine": apps.machine(), "apps": found}, indent=1), encoding="utf-8")
        if options.write:
            write(text, found)
        for name in names:
            if name in OTHERS:
                report(name, base)


def report(name: str, base: Path) -> None:
    """Run a bench of stores and print what it finds."""
    print(f"== {name}: {(OTHERS[name].__doc__ or '').splitlines()[0]}", flush=True)
    folder = base / f"bench-{name}"
    folder.mkdir()
    for line in OTHERS[name](folder):
        print(line, flush=True)


def write(text: list[str], found: apps.Table) -> None:
    """Put the tables into the page, and the plot beside it."""
    above, mark, rest = PAGE.read_text("utf-8").partition(MARKS[0])
    _, end, below = rest.partition(MARKS[1])
    lines = "\n".join([f"{apps.machine()}:", "", *text])
    PAGE.write_text(f"{above}{mark}\n\n{lines}\n\n{end}{below}", encoding="utf-8")
    if "hello" in found:
        PAGE.with_name("start-up.svg").write_text(apps.plot(found["hello"]), encoding="utf-8")


if __name__ == "__main__":
    main()
