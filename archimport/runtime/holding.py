"""Directories that this process uses are held (flock(2)), so that nobody takes them away meanwhile."""

from __future__ import annotations

import os

from archimport.runtime.notes import NOTES, delete_note
from archimport.runtime.private import OPEN_FOLDER, check_level

#: How often a directory is made or opened that goes away meanwhile.
ATTEMPTS = 20
#: The descriptors by which this process holds the directories of extracted units.
held: dict[str, int] = {}


def hold(folder: str) -> bool:
    """Make the directory of a unit if need be, and hold it: another process may be about to take it away.

    Return whether this process did not hold it before. OSError if it cannot be held, or belongs to another user.
    """
    for _ in range(ATTEMPTS):
        if folder in held and is_at(folder, held[folder]):  # the program may have closed the descriptor
            return False
        fd = _opened(folder)
        if fd is not None:
            held[folder] = fd
            return True
    raise OSError(f"{folder!r} is taken away again and again")


def _opened(folder: str) -> int | None:
    """Open and hold a directory; None if there was none, which is made, or if it is being taken away."""
    try:
        fd = os.open(folder, OPEN_FOLDER)
    except FileNotFoundError:
        _make(folder)
        return None
    try:
        check_level(folder, fd, is_own=True)
    except OSError:
        os.close(fd)
        raise
    lock(fd)
    if is_at(folder, fd):
        return fd
    os.close(fd)
    return None


def is_at(folder: str, fd: int) -> bool:
    """Return whether a descriptor is of the directory that is there."""
    try:
        return os.path.samestat(os.stat(folder), os.fstat(fd))
    except OSError:
        return False


def _make(folder: str) -> None:
    """Make the directory, and delete the notes on an earlier one."""
    for note in NOTES:
        delete_note(f"{folder}{note}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:  # another process was faster
        return


def lock(fd: int) -> None:
    """Hold a folder, waiting for who is about to take it away."""
    try:
        from fcntl import LOCK_SH, flock

        flock(fd, LOCK_SH)
    except (ImportError, OSError):  # not on this system, or on this file system
        return


def claim(fd: int) -> bool:
    """Return whether nobody holds a directory; nobody will until the descriptor is closed."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        return True
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except OSError:
        return False
    return True
