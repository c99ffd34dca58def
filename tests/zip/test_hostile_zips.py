"""Small archives that ask for much: looking at them takes little memory and time, whatever they say of themselves."""

from __future__ import annotations

import struct
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


def bombs(path: Path) -> None:
    """Megabytes in a hundred bytes, as bzip2 and lzma can have: it is not even begun."""
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("a", bytes(8 << 20), zipfile.ZIP_BZIP2)
        new.writestr("b", bytes(8 << 20), zipfile.ZIP_LZMA)


def sparse(path: Path) -> None:
    """A member of 900 MB that takes no room on the disk."""
    size = 900 << 20
    archive(path, {"a": b""})
    data = bytearray(path.read_bytes())
    row = data.index(b"PK\1\2")
    for at in (18, row + 20):
        struct.pack_into("<2L", data, at, size, size)
    struct.pack_into("<L", data, len(data) - 6, row + size)
    with path.open("wb") as file:
        file.write(data[:row])
        file.seek(row + size)
        file.write(data[row:])


def many_fields(path: Path) -> None:
    """A megabyte of the smallest extra fields."""
    with zipfile.ZipFile(path, "w") as new:
        for number in range(16):
            info = zipfile.ZipInfo(f"m{number}")
            info.extra = b"".join(struct.pack("<HH", 0x8000 + field, 0) for field in range(16_000))
            new.writestr(info, b"")


def many_repeats(path: Path) -> None:
    """One name ten thousand times, each with much to read and little in it."""
    blocks = b"\0\0\0\xff\xff" * 20_000 + b"\1\0\0\xff\xff"
    member = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(blocks), 0, 1, 0) + b"a" + blocks
    small = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, 2, 0, 1, 0) + b"a" + b"\3\0"
    rows, offset = b"", 0
    for stored, length in [(len(blocks), len(member)), *[(2, len(small))] * 10_000]:
        rows += struct.pack(
            "<4s4B4H3L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 8, 0, 33, 0, stored, 0, 1, 0, 0, 0, 0, 0, offset
        )
        rows += b"a"
        offset += length
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 10_001, 10_001, len(rows), offset, 0)
    path.write_bytes(member + small * 10_000 + rows + end)


def wrong_count(path: Path) -> None:
    archive(path, {"a": b""})
    data = path.read_bytes()
    path.write_bytes(data[:-14] + b"\xfe\xff\xfe\xff" + data[-10:])


HOSTILE: dict[str, Callable[[Path], None]] = {
    "one name of many parts": many_parts,
    "directories that take more than the names": many_directories,
    "bombs of bzip2 and lzma": bombs,
    "sparse member": sparse,
    "extra fields": many_fields,
    "repeats": many_repeats,
    "count of members that are not there": wrong_count,
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
    assert "Traceback" not in done.stderr and "MemoryError" not in done.stderr
    assert done.returncode == 0 or done.stderr.startswith("archimport: error: "), done.stderr
