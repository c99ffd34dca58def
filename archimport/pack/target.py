"""The Pythons that something is packed for, and their interpreters on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
#: The Pythons that archimport knows.
KNOWN_PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")


class Target(NamedTuple):
    """One Python to pack for: `3.12`, and its interpreter if there is one here."""

    python: str
    interpreter: str | None


def targets_of(pythons: Sequence[str]) -> list[Target]:
    """Give the targets that were asked for, this interpreter's by default; PackError for what is no known version."""
    for python in pythons:
        if python not in KNOWN_PYTHONS:
            raise PackError(f"unknown Python {python!r}", hint=f"one of {', '.join(KNOWN_PYTHONS)}")
    return [
        Target(python, find_interpreter(python))
        for python in sorted(set(pythons or [THIS_PYTHON]), key=KNOWN_PYTHONS.index)
    ]


def find_interpreter(python: str) -> str | None:
    """Give an interpreter of that version: this one, one on PATH, or one that pyenv or uv keep."""
    if python == THIS_PYTHON:
        return sys.executable
    return next((found for found in _candidates(python) if _is_python(found, python)), None)


def _candidates(python: str) -> Iterator[str]:
    if found := shutil.which(f"python{python}"):
        yield found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    versions = (path for path in root.glob(f"versions/{python}.*") if re.fullmatch(r"[\d.]+", path.name))
    for version in sorted(versions, key=lambda path: [int(part) for part in path.name.split(".")], reverse=True):
        yield str(version / "bin" / "python")
    if uv := shutil.which("uv"):
        found_by_uv = subprocess.run([uv, "python", "find", python], capture_output=True, text=True, check=False)
        yield found_by_uv.stdout.strip()


def _is_python(path: str, python: str) -> bool:
    """Whether `path` runs and is that version: a shim may stand for one that is not installed."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == python
