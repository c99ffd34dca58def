"""The Pythons of this machine that the tests can run on. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from environments import ROOT, Environment

OLDEST = (3, 11)
#: Pythons that Debian stable does not carry, run in a root of their own.
NEXT_PYTHONS = ("3.14", "3.15")
NEXT_TOOL = ROOT.parent / "shared" / "tools" / "python-next"


class Python(NamedTuple):
    """A version of Python, and its interpreter; None where it runs in the root of the next Pythons."""

    version: str
    interpreter: str | None

    def test(self, *arguments: str, lowest: bool = False) -> int:
        """Run pytest in an environment of this Python; with `lowest` with the oldest dependencies that are allowed."""
        if self.interpreter is None:
            name = f"ARCHIMPORT_DEV_VENV=/venv-{self.version}"
            return _run_next(self.version, "env", name, "python", "tools/dev.py", "test", *arguments)
        directory = ROOT / ".matrix" / (f"{self.version}-lowest" if lowest else self.version)
        environment = Environment(directory, self.interpreter)
        environment.require("test", lowest=lowest)
        return environment.run(environment.python, "-m", "pytest", "-n", "auto", *arguments)


def find_pythons() -> list[Python]:
    """Return what is on PATH, kept by pyenv or in the root of the next Pythons, each version once, oldest first."""
    found: dict[str, str | None] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = sorted(pyenv.glob("versions/3.*/bin/python"), key=lambda path: _numbers(path.parts[-3]), reverse=True)
    for candidate in [sys.executable, *_on_path(), *map(str, kept)]:
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run([candidate, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
        except OSError:
            continue
        version = done.stdout.strip()
        if version and _numbers(version) >= OLDEST:
            found.setdefault(version, candidate)
    for version in NEXT_PYTHONS if _next_pythons_are_here() else ():
        found.setdefault(version, None)
    return [Python(version, found[version]) for version in sorted(found, key=_numbers)]


def _on_path() -> list[str]:
    return [path for minor in range(OLDEST[1], OLDEST[1] + 10) if (path := shutil.which(f"python3.{minor}"))]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _next_pythons_are_here() -> bool:
    """Return whether the root of the next Pythons has been set up beside the checkout."""
    is_inside = bool(os.environ.get("PYTHON_NEXT"))
    return NEXT_TOOL.exists() and not is_inside and _run_next(NEXT_PYTHONS[-1], "python", "--version", quiet=True) == 0


def _run_next(version: str, *command: str, quiet: bool = False) -> int:
    done = subprocess.run([NEXT_TOOL, "run", version, "--", *command], cwd=ROOT, check=False, capture_output=quiet)
    return done.returncode
