"""Measuring whole processes: interleaved runs after a warm-up, without any variable that changes how Python starts."""

from __future__ import annotations

import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_NOTHING = os.open(os.devnull, os.O_RDWR)


class Command(NamedTuple):
    """What is run: its arguments, what its environment has more, and folders that are its caches."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = {}
    caches: Sequence[Path] = ()


class Run(NamedTuple):
    """One run: seconds on the wall, and seconds of all processors."""

    wall: float
    cpu: float


def clean(**more: str) -> dict[str, str]:
    """Give the environment without what changes how Python starts."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}, **more}


def run(command: Command) -> Run:
    """Run a command to its end; RuntimeError if it fails."""
    arguments = [str(argument) for argument in command.arguments]
    actions = [(os.POSIX_SPAWN_DUP2, _NOTHING, 0), (os.POSIX_SPAWN_DUP2, _NOTHING, 1)]
    start = time.perf_counter()
    pid = os.posix_spawn(arguments[0], arguments, clean(**command.environment), file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{' '.join(arguments)} failed")
    return Run(wall, used.ru_utime + used.ru_stime)


def interleaved(commands: Mapping[str, Command], rounds: int) -> dict[str, list[Run]]:
    """Run each command once a turn, in an order left to chance, so often, after two turns that do not count."""
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(-2, rounds):
        for name in random.sample(list(commands), len(commands)):
            measured = run(commands[name])
            if turn >= 0:
                found[name].append(measured)
    return found


def first_run(command: Command) -> float:
    """Give how long a command takes with empty caches, in seconds: the middle one of three runs."""
    found = []
    for _ in range(3):
        for cache in command.caches:
            shutil.rmtree(cache, ignore_errors=True)
        found.append(run(command).wall)
    return statistics.median(found)


def memory(command: Command) -> int:
    """Give the most memory that a run takes, in bytes; a small process starts it, since children begin with ours."""
    code = (
        "import os, sys; pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,"
        "file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]); used = os.wait4(pid, 0)[2];"
        "sys.stderr.write(str(used.ru_maxrss * 1024))"
    )
    starter = [sys.executable, "-I", "-S", "-c", code, *map(str, command.arguments)]
    done = subprocess.run(starter, env=clean(**command.environment), capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1])


def quarter(figures: Sequence[float]) -> float:
    """Give the first quartile: on a machine with neighbours a median is theirs as much as ours."""
    return statistics.quantiles(figures, n=4)[0] if len(figures) > 1 else figures[0]


def file_system_calls(command: Command) -> int | None:
    """Give how many system calls on files a run makes; None where strace is not to be had, or may not look."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    done = subprocess.run(
        [strace, "-f", "-c", "-e", "trace=%file,%desc", *map(str, command.arguments)],
        env=clean(**command.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    total = re.search(r"^100\.00 +\S+ +\d+ +(\d+) .*total$", done.stderr, re.MULTILINE)
    return int(total[1]) if total else None
