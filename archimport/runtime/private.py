"""The user's own folders, in which what is kept may be executed: nobody else can change what lies there."""

from __future__ import annotations

import os
import stat
import sys

#: Whether folders can be walked by descriptor, and have owners.
_HAS_OWNERS = hasattr(os, "geteuid") and os.mkdir in os.supports_dir_fd
#: How a directory is opened that is no link.
OPEN_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
#: Where folders are that were looked at: their paths, without links, by their names.
_trusted: dict[str, str] = {}


class UntrustedError(OSError):
    """Somebody else could change what lies in a directory; `remedy` is what helps, if anything does."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


def is_privileged() -> bool:
    """Whether this program has rights that its caller has not (setuid, setgid)."""
    return hasattr(os, "getuid") and (os.getuid() != os.geteuid() or os.getgid() != os.getegid())


def cache_folder() -> str | None:
    """Give the user's cache folder, never a shared one; None where there is none or it may not be trusted."""
    if is_privileged():
        return None  # such a program takes no path from its caller's environment
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        base = base if os.path.isabs(base) else os.path.join(home, ".cache")
    return os.path.join(base, "archimport") if os.path.isabs(base) else None


def private_folder(kind: str, *, create: bool = False) -> str:
    """Give the path of a folder in the user's cache folder.

    OSError, saying why, if there is none, or if somebody else could change what lies there: a level that belongs to
    another user, may be written by others than the user's own group, or is a link below the cache folder. With
    `create` it is made if need be.
    """
    base = cache_folder()
    if base is None:
        raise OSError("there is no cache folder for this user")
    name = os.path.join(base, kind)
    if name not in _trusted or (create and not os.path.isdir(_trusted[name])):
        parent, own = os.path.realpath(os.path.dirname(base)), (os.path.basename(base), kind)
        try:
            _walk(parent, own, create=False)
        except FileNotFoundError:
            if not create:
                raise
            _walk(parent, own, create=True)
        _trusted[name] = os.path.join(parent, *own)  # without the links on the way, which somebody else may turn
    return _trusted[name]


def _walk(parent: str, own: tuple[str, str], *, create: bool) -> None:
    """Open each level in the one above it, so that none is exchanged between the look and the use."""
    if not _HAS_OWNERS:
        if create:
            os.makedirs(os.path.join(parent, *own), exist_ok=True)
        return
    path, fd = os.sep, os.open(os.sep, OPEN_FOLDER)
    try:
        for name in (*filter(None, parent.split(os.sep)), *own):
            path = os.path.join(path, name)
            child = _open(name, path, fd, create)
            os.close(fd)
            fd = child
            check_level(path, fd, is_own=len(path) > len(parent))
            if create and path == os.path.join(parent, own[0]):
                _mark(fd)
    finally:
        os.close(fd)


def _mark(fd: int) -> None:
    """Tell backups that what lies in a folder can be made again (https://bford.info/cachedir)."""
    try:
        tag = os.open("CACHEDIR.TAG", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=fd)
    except OSError:  # there is one, or the disk is full
        return
    os.write(tag, b"Signature: 8a477f597d28d172789f06886806bc55\n")
    os.close(tag)


def _open(name: str, path: str, fd: int, create: bool) -> int:
    try:
        return os.open(name, OPEN_FOLDER, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as exc:
        raise OSError(f"{path!r} is no folder of this user's: {exc.strerror}") from None
    try:
        os.mkdir(name, 0o700, dir_fd=fd)
    except FileExistsError:
        pass  # by another process, and looked at as any
    except OSError as exc:
        raise OSError(f"cannot make {path!r}: {exc.strerror}") from None
    return os.open(name, OPEN_FOLDER, dir_fd=fd)


def check_level(path: str, fd: int, *, is_own: bool) -> None:
    """Raise UntrustedError if somebody else could change what lies in an open directory, called `path`."""
    if not _HAS_OWNERS:
        return
    status = os.fstat(fd)
    owners = (os.geteuid(),) if is_own else (os.geteuid(), 0)
    if status.st_uid not in owners:
        raise UntrustedError(f"{path!r} belongs to another user")
    if status.st_mode & 0o022 and (is_own or not status.st_mode & stat.S_ISVTX) and not _is_of_own_group(status, fd):
        raise UntrustedError(f"{path!r} may be written by others", None if is_own else f"chmod go-w {path!r}")


def _is_of_own_group(status: os.stat_result, fd: int) -> bool:
    """Return whether those who may write a directory are a group that is the user's own."""
    if status.st_mode & 0o002:
        return False
    from archimport.runtime.groups import is_users_alone  # deferred: most directories may be written by one user

    return is_users_alone(fd)
