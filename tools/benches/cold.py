"""What a start takes with nothing in the page cache, as the first one after a boot: where a program may empty it."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benches.apps import build, project_of
from benches.databases import told
from benches.measure import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_DROP = Path("/proc/sys/vm/drop_caches")
_ROUNDS = 7


def cold(base: Path) -> Iterable[str]:
    """Start hello with nothing in the page cache (Linux, as root)."""
    if not os.access(_DROP, os.W_OK):
        yield "not measured: the page cache cannot be emptied here"
        return
    os.environ["BENCH_TOOLS"] = str(base / "tools")
    built = dict(build(project_of(base, "hello"), ("venv", "archimport", "shiv", "zipapp of bytecode")))
    found: dict[str, list[float]] = {rival: [] for rival in built}
    for _ in range(_ROUNDS):
        for rival, app in built.items():
            os.sync()
            _DROP.write_text("1")
            found[rival].append(run(app.command).wall)
    for rival, figures in found.items():
        yield f"{told(rival, figures)}, {median(figures) / median(found['venv']):.2f} of venv"


BENCHES: dict[str, Callable[[Path], Iterable[str]]] = {"cold": cold}
