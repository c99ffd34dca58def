"""What something is packed for: Pythons, with their interpreters on this machine, and platforms."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archimport.pack.platforms import Platform, platform_of
from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
#: The Pythons that archimport knows.
KNOWN_PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")


class Target(NamedTuple):
    """One Python to pack for: `3.12`, its interpreter if there is one here, its platform if one was asked for."""

    python: str
    interpreter: str | None
    platform: Platform | None = None


def targets_of(pythons: Sequence[str], platforms: Sequence[str]) -> list[Target]:
    """Give the targets that were asked for, by default this interpreter on this platform.

    PackError for a version or a platform that is none.
    """
    for python in pythons:
        if python not in KNOWN_PYTHONS:
            raise PackError(f"unknown Python {python!r}", hint=f"one of {', '.join(KNOWN_PYTHONS)}")
    wanted: list[Platform | None] = [platform_of(tag) for tag in dict.fromkeys(platforms)]
    return [
        Target(python, find_interpreter(python), platform)
        for python in sorted(set(pythons or [THIS_PYTHON]), key=KNOWN_PYTHONS.index)
        for platform in wanted or [None]
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
