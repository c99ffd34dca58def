"""Virtual environments of the checkout, made when they are first needed. Standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def clean_environment() -> dict[str, str]:
    """Give the environment without the variables that change how Python starts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONUTF8": "1"}


class Environment:
    """A virtual environment of one interpreter, made when it is first needed."""

    def __init__(self, folder: Path, interpreter: str) -> None:
        self.folder = folder
        self.interpreter = interpreter
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / "python"

    def run(self, *command: str | Path, **options: str) -> int:
        """Run a program of the environment in the checkout and give its exit status."""
        environment = {**clean_environment(), **options}
        environment["PATH"] = f"{self.bin}{os.pathsep}{environment.get('PATH', '')}"
        program = shutil.which(str(command[0]), path=str(self.bin)) or str(command[0])
        return subprocess.run([program, *map(str, command[1:])], cwd=ROOT, env=environment, check=False).returncode

    def require(self, *groups: str, lowest: bool = False) -> None:
        """Install the project with its extras and the dependency groups, if that has not been done.

        With `lowest`, what the project depends on is the oldest that it says it works with.
        """
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        wanted = sorted({item for group in groups for item in _group(project["dependency-groups"], group)})
        if lowest:
            table = project["project"]
            bounds = [
                *table["dependencies"],
                *(bound for extra in table["optional-dependencies"].values() for bound in extra),
            ]
            wanted += [bound.replace(">=", "==", 1) for bound in bounds]
        stamp = self.folder / "archimport.stamp"
        state = hashlib.sha256(repr((wanted, project, str(ROOT))).encode()).hexdigest()
        done = stamp.read_text("utf-8").split() if stamp.exists() else []
        if state in done:
            return
        if not self.python.exists():
            say(f"making {self.folder.name} with {self.interpreter}")
            _make_venv(self.interpreter, self.folder)
        say("installing the project" + "".join(f", {group}" for group in groups))
        pip = (self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        if self.run(*pip, "--upgrade", "pip") or self.run(*pip, "--editable", ".", *wanted):
            sys.exit("dev.py: the installation failed")
        stamp.write_text("\n".join([*done, state]), "utf-8")


def _group(groups: dict[str, list[str | dict[str, str]]], name: str) -> list[str]:
    """Give the requirements of a dependency group, those it includes too (PEP 735)."""
    found: list[str] = []
    for item in groups[name]:
        found += [item] if isinstance(item, str) else _group(groups, item["include-group"])
    return found


def _make_venv(interpreter: str, folder: Path) -> None:
    if interpreter == sys.executable:
        venv.create(folder, with_pip=True, clear=folder.exists())
    else:
        subprocess.run([interpreter, "-m", "venv", str(folder)], check=True, env=clean_environment())


def say(text: str) -> None:
    """Print what happens, in order with what children print."""
    print(f"dev.py: {text}", flush=True)


def this_environment() -> Environment:
    """Give the environment of the interpreter that runs this."""
    folder = os.environ.get("ARCHIMPORT_DEV_VENV")
    return Environment(Path(folder) if folder else ROOT / ".venv", getattr(sys, "_base_executable", sys.executable))
