"""What the start of an app costs that is one program: from a folder, from a bundle, and from any zip at least."""

from __future__ import annotations

import shutil
import sys
import zipfile
from typing import TYPE_CHECKING, NamedTuple

from benches.measure import Command, interleaved, quarter
from benches.rivals import ROOT, bare_python, do, install

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ROUNDS = 25
_APP = "import compat_program\n\n\ndef main():\n    pass\n"
#: What starts it from a folder, as a console script does.
_STARTER = "from compat_app import main\n\nmain()\n"


class Start(NamedTuple):
    """How long an app takes from a folder, in seconds; the ratio of its bundle to that, and of any zip at least."""

    folder: float
    bundle: float
    floor: float


def time_starts(scratch: Path, requirements: Sequence[str], program: Path, beside: Path | None) -> Start:
    """Time a program as an app that imports it, with what it requires and a folder that lies beside it."""
    base, python = scratch / f"app-{program.stem}", bare_python(scratch / "python")
    folder, bundle, script, archive = (base / name for name in ("folder", "app.arc", "empty.py", "empty.zip"))
    install(python, folder, *requirements)
    if beside:
        shutil.copytree(beside, folder / beside.name)
    shutil.copyfile(program, folder / "compat_program.py")
    (folder / "compat_app.py").write_text(_APP, encoding="utf-8")
    do(python, "-m", "compileall", "-q", "-l", folder)
    do(sys.executable, "-m", "archimport", "pack", folder, "-e", "compat_app:main", "-o", bundle, PYTHONPATH=str(ROOT))
    (folder / "start.py").write_text(_STARTER, encoding="utf-8")
    script.write_text("", encoding="utf-8")
    with zipfile.ZipFile(archive, "w") as empty:
        empty.writestr("__main__.py", "")
    places = {"folder": folder / "start.py", "bundle": bundle, "script": script, "archive": archive}
    commands = {name: Command([python, str(place)], {"XDG_CACHE_HOME": str(base)}) for name, place in places.items()}
    took = {name: quarter([run.wall for run in runs]) for name, runs in interleaved(commands, _ROUNDS).items()}
    floor = took["folder"] + took["archive"] - took["script"]
    return Start(took["folder"], took["bundle"] / took["folder"], floor / took["folder"])
