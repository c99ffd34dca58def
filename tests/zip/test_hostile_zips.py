"""Small archives that ask for much: looking at them takes little memory and time, whatever they say of themselves."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="limits of memory are POSIX's")

MEMORY = 512 << 20
#: Ten times and more what the slowest takes.
SECONDS = 100
COMMANDS = (
    ["ls"],
    ["info"],
    ["verify"],
    ["extract", "-o", "out"],
    ["run", "-c", "pass"],
)


def archive(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as new:
        for name, content in files.items():
            new.writestr(zipfile.ZipInfo(name), content, method)


def many_parts(path: Path) -> None:
    archive(path, {"a/" * 32_699 + "a": b"x"})


def many_directories(path: Path) -> None:
    """Eight thousand names that are as deep as may be, and have no directory in common."""
    archive(path, {f"{number:07}/{'abcdefg/' * 126}x": b"" for number in range(8_000)})


HOSTILE: dict[str, Callable[[Path], None]] = {
    "one name of many parts": many_parts,
    "directories that take more than the names": many_directories,
}


@pytest.fixture(scope="module", params=HOSTILE)
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "x.zip"
    HOSTILE[request.param](path)
    return path


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_looking_is_bounded(hostile: Path, command: list[str], tmp_path: Path) -> None:
    """Whether it is read or refused; a traceback or a killed process is neither."""
    started = [sys.executable, "-m", "archimport", command[0], str(hostile), *command[1:]]
    done = subprocess.run(
        started, cwd=tmp_path, preexec_fn=limited, timeout=SECONDS, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr and "memory" not in done.stderr
    assert done.returncode == 0 or done.stderr.startswith("archimport: error: "), done.stderr
