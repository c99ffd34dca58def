"""Replace a file as a whole: after any crash it is the old one or the new one."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO


def replace_file(path: str, write: Callable[[BinaryIO], object], mode: int = 0o666, *, durable: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, make it durable, and rename it over `path`.

    Without `durable` a power failure may leave a file that is not whole, which is for those who check what they read.
    `mode` is reduced by the umask. A link is followed: what it points to is replaced. Whatever is raised passes
    through, and then the old file is untouched and the temporary one is gone. OSError too for a name that this locale
    cannot write. Once the new file is in place nothing is raised.
    """
    if os.path.islink(path):
        path = os.path.realpath(path)
    elif not os.path.isabs(path):  # else nobody asks for the current directory, which may be deleted
        path = os.path.join(os.getcwd(), path)
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        from errno import EILSEQ  # deferred: most locales write all names

        raise OSError(EILSEQ, os.strerror(EILSEQ), path) from None
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".archimport.{os.getpid()}.{os.urandom(6).hex()}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    fd = os.open(temporary, flags, mode)
    try:
        with open(fd, "w+b") as file:
            write(file)
            file.flush()
            if durable:
                os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if durable:
        _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make a rename durable; where that fails (Windows opens no directories) the rename itself has to do."""
    try:
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError:
        return  # the file is complete all the same
