"""One open container file, read by position."""

from __future__ import annotations

import os
import stat
from _io import open_code  # `io` itself is one module more

from archimport.runtime.errors import FormatError, StoreChangedError, StoreUnavailable
from archimport.runtime.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_STDERR = 2
_reopening = Lock()


class ContainerFile:
    """A regular file opened once, through `io.open_code` so that audit hooks see it (PEP 578).

    Reads are positional: neither threads nor forked children disturb each other's offset, and a file that is replaced
    keeps serving what was opened. FormatError for what is no regular file, StoreUnavailable if it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a FIFO would block
                raise FormatError("not a regular file", store=path)
            self._fd = _open(path)
            status = os.fstat(self._fd)
        except (OSError, ValueError) as exc:  # a path that no system has
            raise unavailable(path, exc) from exc
        self.size = status.st_size
        self.identity = _identity(status)

    def read(self, offset: int, length: int) -> bytes:
        """Give exactly `length` bytes from `offset`.

        StoreChangedError if the file has become shorter, StoreUnavailable if it cannot be read or was closed.
        """
        data = b""
        try:
            fd = self._descriptor()
            while len(data) < length:
                more = _pread(fd, length - len(data), offset + len(data))
                if not more:
                    raise StoreChangedError("the file was truncated while open", store=self.path)
                data = data + more if data else more
        except OSError as exc:
            raise unavailable(self.path, exc) from exc
        return data

    def _descriptor(self) -> int:
        """Give the descriptor: a new one if the program has closed what it did not know, as daemons do."""
        if self._fd < 0:
            raise StoreUnavailable("the store was closed", store=self.path)
        if not self._is_ours():
            with _reopening:  # another thread may just have done it
                if not self._is_ours():
                    self._fd = self._open_again()
        return self._fd

    def _open_again(self) -> int:
        if not self.is_current():
            raise StoreUnavailable("its descriptor was closed, and the file has changed or gone since", store=self.path)
        return _open(self.path)

    def _is_ours(self) -> bool:
        """Whether the descriptor is of the file that was opened: its number may have been used again."""
        try:
            status = os.fstat(self._fd)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity[:2]

    def is_current(self) -> bool:
        """Whether the path still names the file that was opened, unchanged."""
        return self.current() == self.identity

    def current(self) -> object:
        """Say which file the path names now, as something to compare; None if there is none."""
        try:
            return _identity(os.stat(self.path))
        except OSError:
            return None

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0 and self._is_ours():
            os.close(self._fd)
        self._fd = -1

    def __del__(self) -> None:
        """Close with the last loader that refers to the store; at the end of a process the system does."""
        if os is not None:  # modules are emptied then
            self.close()


def _open(path: str) -> int:
    """Open a file to read; not as one of the standard streams, if those are closed."""
    with open_code(path) as file:
        fds = [os.dup(file.fileno())]
    while fds[-1] <= _STDERR:
        fds.append(os.dup(fds[-1]))
    for fd in fds[:-1]:
        os.close(fd)
    return fds[-1]


def unavailable(path: str, exc: OSError | ValueError) -> StoreUnavailable:
    """Translate an operating system error about a container, or that of a path that no system has."""
    error = StoreUnavailable(f"cannot read {path!r}: {getattr(exc, 'strerror', None) or exc}", store=path)
    error.errno, error.filename = getattr(exc, "errno", None), path
    return error


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _locked_pread() -> Callable[[int, int, int], bytes]:
    from _thread import allocate_lock  # deferred: only where the platform has no pread (Windows)

    lock = allocate_lock()

    def pread(fd: int, length: int, offset: int) -> bytes:
        with lock:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, length)

    return pread


_pread = getattr(os, "pread", None) or _locked_pread()
