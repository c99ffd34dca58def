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

#: The Pythons that archimport knows.
KNOWN_PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
#: The same, and those without a global lock (PEP 703), which need extension modules of their own.
ALL_PYTHONS = (*KNOWN_PYTHONS, "3.13t", "3.14t", "3.15t")
#: Prints which of them an interpreter is.
_SAY_WHICH = "import sys; print('%d.%d' % sys.version_info[:2] + 't' * ('t' in getattr(sys, 'abiflags', '')))"
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}{'t' * ('t' in getattr(sys, 'abiflags', ''))}"


class Target(NamedTuple):
    """One of `ALL_PYTHONS` to pack for, its interpreter if there is one here, its platform if one was asked for."""

    python: str
    interpreter: str | None
    platform: Platform | None = None

    @property
    def version(self) -> str:
        """The version, which is all that code without extension modules depends on."""
        return version_of(self.python)


def version_of(python: str) -> str:
    """Give the version of one of `ALL_PYTHONS`."""
    return python.removesuffix("t")


def targets_of(pythons: Sequence[str], platforms: Sequence[str]) -> list[Target]:
    """Give the targets that were asked for, by default this interpreter on this platform.

    PackError for a version or a platform that is none.
    """
    for python in pythons:
        if python not in ALL_PYTHONS:
            raise PackError(f"unknown Python {python!r}", hint=f"one of {', '.join(ALL_PYTHONS)}")
    wanted: list[Platform | None] = [platform_of(tag) for tag in dict.fromkeys(platforms)]
    return [
        Target(python, find_interpreter(python), platform)
        for python in sorted(set(pythons or [THIS_PYTHON]), key=ALL_PYTHONS.index)
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
    form = re.compile(rf"{re.escape(version_of(python))}\.(\d+){'t' * python.endswith('t')}")
    versions = {int(match[1]): path for path in root.glob("versions/*") if (match := form.fullmatch(path.name))}
    for patch in sorted(versions, reverse=True):
        yield str(versions[patch] / "bin" / "python")
    if uv := shutil.which("uv"):
        found_by_uv = subprocess.run([uv, "python", "find", python], capture_output=True, text=True, check=False)
        yield found_by_uv.stdout.strip()


def _is_python(path: str, python: str) -> bool:
    """Whether `path` runs and is that version: a shim may stand for one that is not installed."""
    try:
        done = subprocess.run([path, "-I", "-S", "-c", _SAY_WHICH], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == python
