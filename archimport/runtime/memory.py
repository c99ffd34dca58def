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


class _File:
    """A file in memory: its descriptor, which stays open, and its identity."""

    __slots__ = ("fd", "identity")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.identity = self._current()

    def is_open(self) -> bool:
        """Return whether the descriptor is still that of this file: a program may close what it does not know."""
        try:
            return self._current() == self.identity
        except OSError:
            return False

    def _current(self) -> tuple[int, int]:
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino


#: Files by unit and path. glibc knows a library by the name that it was opened by, so that no two may ever have the
#: same number, though the first one's descriptor was closed.
_descriptors: dict[tuple[str, str], _File] = {}
#: A library must not be loaded twice: extension modules that share it would have two of what it keeps.
_making = Lock()


def in_memory(unit: Unit, path: str) -> str:
    """Give a path from which this process can load a library of a unit; OSError where this system has none."""
    with _making:
        files = {(unit.name, file.path): file for file in unit.needed(path)}
        known = {key: _descriptors[key] for key in files if key in _descriptors}
        if not all(file.is_open() for file in known.values()):
            loaded = _loaded()
            known = {key: file for key, file in known.items() if file.identity[1] in loaded}
        made = {key: _create(os.path.basename(key[1])) for key in files if key not in known}
        for key in made:
            _fill(unit, files[key], {**known, **made})
        _descriptors.update(made)
    return _path(_descriptors[unit.name, path])


def file_in_memory(name: str, content: bytes) -> str:
    """Give a path of a file in memory that has this content; OSError where this system has none."""
    with _making:
        file = _create(name)
        path = _path(file)
        _descriptors["", path] = file
    with open(file.fd, "wb", closefd=False) as stream:
        stream.write(content)
    return path


def _loaded() -> set[int]:
    """Return the inodes of files in memory that this process has loaded: glibc finds these by name, closed or not."""
    with open("/proc/self/maps", "rb") as maps:
        fields = [line.split(None, 5) for line in maps]
    return {int(inode) for *_, inode, name in fields if name.startswith(b"/memfd:")}


def _create(name: str) -> _File:
    if not hasattr(os, "memfd_create") or not os.path.isdir(_FOLDER):
        raise OSError("this system has no files in memory")
    for flags in _FLAGS:
        try:
            fd = os.memfd_create(name, flags)
        except OSError as exc:
            failure = exc
        else:
            return _File(_above(max((file.fd for file in _descriptors.values()), default=-1), fd))
    raise OSError(f"no file in memory: {failure.strerror}")


def _above(highest: int, fd: int) -> int:
    """Return the descriptor under a number that is higher than `highest`."""
    passed = []
    try:
        while fd <= highest:
            passed.append(fd)
            fd = os.dup(fd)
    finally:
        for number in passed:
            os.close(number)
    return fd


def _fill(unit: Unit, file: File, files: dict[tuple[str, str], _File]) -> None:
    content = bytearray(unit.read(file.path))
    for offset, need in file.needs:
        name = os.path.basename(need).encode()
        if offset and content[offset : offset + len(name) + 1] == name + b"\0":
            path = _path(files[unit.name, need])
            content[offset : offset + len(name)] = path.encode().ljust(len(name), b"\0")
    with open(files[unit.name, file.path].fd, "wb", closefd=False) as stream:
        stream.write(content)


def _path(file: _File) -> str:
    return f"{_FOLDER}/{file.fd}"
