"""The one place for tasks: `python3 tools/dev.py demo | test | check | bench | compat | matrix`.

Standard library only. The first task makes a virtual environment in the checkout and installs the project into it, with
what the task needs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
    sys.exit("dev.py: needs Python 3.11 or newer")
import tomllib

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
#: Pythons that Debian stable does not carry, run in a root of their own.
NEXT_PYTHONS = ("3.14", "3.15")
NEXT_TOOL = ROOT.parent / "shared" / "tools" / "python-next"


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
        if self.run(*pip, "--upgrade", "pip") or self.run(*pip, "--editable", ".[pack]", *wanted):
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


def demo(arguments: list[str]) -> int:
    """Pack examples/hello into one file and run it; then publish to a database while a worker follows it."""
    environment = this_environment()
    environment.require()
    folder = ROOT / ".demo"
    folder.mkdir(exist_ok=True)
    bundle = folder / "hello.arc"
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("archimport", "pack", "examples/hello", "-c", "hello", "-o", bundle, *arguments),
        ("archimport", "info", bundle),
        ("archimport", "verify", bundle),
        (environment.interpreter, "-I", "-S", bundle, "--name", "you"),
        (environment.python, "examples/plugins/play.py"),
    )
    for command in commands:
        say("$ " + " ".join(str(part).replace(f"{ROOT}{os.sep}", "") for part in command))
        start = time.perf_counter()
        if status := environment.run(*command):
            return status
        say(f"took {time.perf_counter() - start:.2f} s")
    say(f"{bundle.relative_to(ROOT)} has {bundle.stat().st_size / 1e6:.2f} MB")
    return 0


def test(arguments: list[str]) -> int:
    """Run the tests on all cores; arguments go to pytest."""
    environment = this_environment()
    environment.require("test")
    coverage = () if arguments else ("--cov", "--cov-report=term:skip-covered")
    return environment.run(environment.python, "-m", "pytest", "-n", "auto", *coverage, *arguments)


def check(arguments: list[str]) -> int:
    """Lint, check the format, the types and the layers."""
    environment = this_environment()
    environment.require("check")
    commands = (
        ("ruff", "check", *arguments),
        ("ruff", "format", "--check"),
        ("mypy",),
        ("lint-imports", "--no-cache"),
    )
    failed = [command for command in commands if environment.run(*command)]
    return int(bool(failed))


def bench(arguments: list[str]) -> int:
    """Measure what starts and imports cost, beside what is used today; names choose."""
    environment = this_environment()
    environment.require("test")
    return environment.run(environment.python, "tools/bench.py", *arguments)


def compat(arguments: list[str]) -> int:
    """Run programs of real packages from every kind of store; a requirement: whether it can be imported."""
    environment = this_environment()
    environment.require("test")
    return environment.run(environment.python, "tools/compat.py", *arguments)


def matrix(arguments: list[str]) -> int:
    """Run the tests on every Python found, and on the next ones where their root is set up; `--others`: not on this."""
    results: dict[str, int] = {}
    pythons = find_pythons()
    oldest = min(pythons.items(), key=lambda item: _numbers(item[0]))
    if "--others" in arguments:
        arguments.remove("--others")
        pythons.pop(f"{sys.version_info.major}.{sys.version_info.minor}", None)
    runs = [(version, interpreter, False) for version, interpreter in sorted(pythons.items())]
    for version, interpreter, lowest in [*runs, (f"{oldest[0]}-lowest", oldest[1], True)]:
        say(f"tests on Python {version}")
        environment = Environment(ROOT / ".matrix" / version, interpreter)
        environment.require("test", lowest=lowest)
        results[version] = environment.run(environment.python, "-m", "pytest", "-n", "auto", *arguments)
    for version in NEXT_PYTHONS if next_pythons_are_here() else ():
        say(f"tests on Python {version}")
        results[version] = _run_next(version, arguments)
    for version, status in results.items():
        say(f"Python {version}: {'passed' if status == 0 else f'failed ({status})'}")
    return int(any(results.values()))


def find_pythons() -> dict[str, str]:
    """Give an interpreter for each version found on PATH or kept by pyenv, the oldest supported and newer."""
    found: dict[str, str] = {}
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
    return found


def _on_path() -> list[str]:
    return [path for minor in range(OLDEST[1], OLDEST[1] + 10) if (path := shutil.which(f"python3.{minor}"))]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def next_pythons_are_here() -> bool:
    """Whether the root with the next Pythons has been set up beside the checkout."""
    return (
        NEXT_TOOL.exists() and not os.environ.get("PYTHON_NEXT") and _run_next("3.15", ["--version"], quiet=True) == 0
    )


def _run_next(version: str, arguments: list[str], *, quiet: bool = False) -> int:
    command = ["env", f"ARCHIMPORT_DEV_VENV=/venv-{version}", "python", "tools/dev.py", "test", *arguments]
    if quiet:
        command = ["python", *arguments]
    done = subprocess.run([NEXT_TOOL, "run", version, "--", *command], cwd=ROOT, check=False, capture_output=quiet)
    return done.returncode


TASKS = {"demo": demo, "test": test, "check": check, "bench": bench, "compat": compat, "matrix": matrix}


def main() -> int:
    """Run the task that was named."""
    parser = argparse.ArgumentParser(description="Tasks of the project.", formatter_class=argparse.RawTextHelpFormatter)
    summary = "\n".join(f"{name:<8}{(task.__doc__ or '').splitlines()[0]}" for name, task in TASKS.items())
    parser.add_argument("task", choices=TASKS, help=summary)
    task, arguments = parser.parse_known_args()
    return TASKS[task.task](arguments)


if __name__ == "__main__":
    sys.exit(main())
