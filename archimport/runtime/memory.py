"""Libraries in memory, where no file may be written or executed: each is a descriptor (memfd_create(2), Linux).

A library names those that it needs. Where the names stand, the paths of descriptors are written over them, so that the
loader opens these and searches nowhere; libraries that need each other load too.
"""

from __future__ import annotations

import os

from archimport.runtime.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.runtime.unit import File, Unit

_FOLDER = "/proc/self/fd"
#: In bytes: names of libraries that are not shorter can be written over.
SHORTEST_NAME = len(f"{_FOLDER}/99999")
#: Close on exec; executable, where a system asks for that to be said (Linux 6.3).
_FLAGS = (0x1 | 0x10, 0x1)
#: Descriptors of files by unit and path. They stay open: glibc knows a library by the name that it was opened by.
_descriptors: dict[tuple[str, str], int] = {}
#: A library must not be loaded twice: extension modules that share it would have two of what it keeps.
_making = Lock()


def in_memory(unit: Unit, path: str) -> str:
    """Give a path from which this process can load a library of a unit; OSError where this system has none."""
    with _making:
        files = [file for file in unit.needed(path) if (unit.name, file.path) not in _descriptors]
        made = {(unit.name, file.path): _create(os.path.basename(file.path)) for file in files}
        known = {**_descriptors, **made}
        for file in files:
            _fill(unit, file, known)
        _descriptors.update(made)
    return _path(_descriptors[unit.name, path])


def file_in_memory(name: str, content: bytes) -> str:
    """Give a path of a file in memory that has this content; OSError where this system has none."""
    fd = _create(name)
    with open(fd, "wb", closefd=False) as stream:
        stream.write(content)
    return _path(fd)


def _create(name: str) -> int:
    if not hasattr(os, "memfd_create") or not os.path.isdir(_FOLDER):
        raise OSError("this system has no files in memory")
    for flags in _FLAGS:
        try:
            return os.memfd_create(name, flags)
        except OSError as exc:
            failure = exc
    raise OSError(f"no file in memory: {failure.strerror}")


def _fill(unit: Unit, file: File, descriptors: dict[tuple[str, str], int]) -> None:
    content = bytearray(unit.read(file.path))
    for offset, need in file.needs:
        name = os.path.basename(need).encode()
        if offset and content[offset : offset + len(name) + 1] == name + b"\0":
            path = _path(descriptors[unit.name, need])
            content[offset : offset + len(name)] = path.encode().ljust(len(name), b"\0")
    with open(descriptors[unit.name, file.path], "wb", closefd=False) as stream:
        stream.write(content)


def _path(fd: int) -> str:
    return f"{_FOLDER}/{fd}"
