"""Entry points: found in metadata, tried in a child, and called there if that is asked for."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT = 300
_CHILD = Path(__file__).with_name("entry_child.py")


def console_script(name: str, folders: Sequence[Path]) -> str:
    """Give the entry point of a console script of the distributions in `folders`; PackError names those there are."""
    scripts = {
        point.name: point.value.partition("[")[0].strip()
        for dist in distributions(path=list(map(str, folders)))
        for point in dist.entry_points
        if point.group == "console_scripts"
    }
    if name not in scripts:
        known = ", ".join(sorted(scripts)) or "none"
        raise PackError(f"no console script {name!r} in what is packed", hint=f"there are: {known}")
    return scripts[name]


def check_shape(entry: str) -> None:
    """Raise PackError if an entry point is not `MODULE` or `MODULE:FUNC`.

    >>> check_shape("app.cli:main")
    """
    module, colon, function = entry.partition(":")
    parts = [*module.split("."), *(function.split(".") if colon else ())]
    if not all(part.isidentifier() for part in parts):
        raise PackError(f"not an entry point: {entry!r}", hint="write MODULE or MODULE:FUNC")


def try_entry(entry: str, interpreter: str, folders: Sequence[Path], profile: str | None = None) -> list[str]:
    """Import the module of an entry point as it will be, and give the members that it needed in order of import.

    With the arguments of a `profile`, as a shell has them, the app is run, too; without, a function is looked up and
    not called. PackError if any of that fails.
    """
    try:
        arguments = json.dumps(None if profile is None else shlex.split(profile))
    except ValueError as exc:
        raise PackError(f"arguments of the profile: {exc}") from None
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        command = [interpreter, "-I", "-S", "-B", str(_CHILD), str(report), entry, arguments, *map(str, folders)]
        nothing = subprocess.DEVNULL
        try:
            done = subprocess.run(command, check=False, timeout=_TIMEOUT, stdin=nothing, stdout=nothing, stderr=nothing)
        except subprocess.TimeoutExpired:
            raise PackError(f"entry point {entry!r}: it takes more than {_TIMEOUT} s") from None
        if not report.exists():
            raise PackError(f"entry point {entry!r}: it ends the interpreter (status {done.returncode})")
        result = json.loads(report.read_text("utf-8"))
    if result["error"]:
        raise PackError(f"entry point {entry!r} does not work: {' '.join(result['error'].split())}")
    imported: list[str] = result["imported"]
    return imported
