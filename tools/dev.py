"""The one place for tasks: `python3 tools/dev.py demo | test | check | bench | compat | matrix | others`.

Standard library only. The first task makes a virtual environment in the checkout and installs the project into it, with
what the task needs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
    sys.exit("dev.py: needs Python 3.11 or newer")
from environments import ROOT, say, this_environment
from pythons import Python, find_pythons

#: Tests of what differs between Pythons, and of what else depends on libraries.
VARYING = ("tests/contract", "tests/runtime", "tests/native", "tests/pack")
DEPENDENT = ("tests/cli", "tests/sql")


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
    """Run the tests on all cores; arguments go to pytest: `--cov` measures coverage, which takes twice the time."""
    environment = this_environment()
    environment.require("test")
    return environment.run(environment.python, "-m", "pytest", "-n", "auto", *arguments)


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
    """Run the tests on every Python found, and on the oldest with the oldest dependencies that are allowed."""
    pythons = find_pythons()
    runs = [(python, False) for python in pythons]
    return _report(
        {
            _name(python, lowest): python.test(*arguments, lowest=lowest)
            for python, lowest in [*runs, (pythons[0], True)]
        }
    )


def others(arguments: list[str]) -> int:
    """Run what CI adds to `test`: on each other Python the tests of what differs between Pythons.

    The first of them has the oldest dependencies that are allowed, and the tests of what uses these, too.
    """
    pythons = [
        python for python in find_pythons() if python.version != f"{sys.version_info.major}.{sys.version_info.minor}"
    ]
    results: dict[str, int] = {}
    for python in pythons:
        lowest = python is pythons[0] and python.interpreter is not None
        chosen = (*VARYING, *(DEPENDENT if lowest else ()))
        results[_name(python, lowest)] = python.test(*chosen, *arguments, lowest=lowest)
    return _report(results)


def _name(python: Python, lowest: bool) -> str:
    return f"Python {python.version}{', lowest versions' if lowest else ''}"


def _report(results: dict[str, int]) -> int:
    for name, status in results.items():
        say(f"{name}: {'passed' if status == 0 else f'failed ({status})'}")
    return int(any(results.values()))


TASKS = {
    "demo": demo,
    "test": test,
    "check": check,
    "bench": bench,
    "compat": compat,
    "matrix": matrix,
    "others": others,
}


def main() -> int:
    """Run the task that was named."""
    parser = argparse.ArgumentParser(description="Tasks of the project.", formatter_class=argparse.RawTextHelpFormatter)
    summary = "\n".join(f"{name:<8}{(task.__doc__ or '').splitlines()[0]}" for name, task in TASKS.items())
    parser.add_argument("task", choices=TASKS, help=summary)
    task, arguments = parser.parse_known_args()
    return TASKS[task.task](arguments)


if __name__ == "__main__":
    sys.exit(main())
