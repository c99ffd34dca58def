"""Write zip archives: the same members give the same bytes, and an old archive stays whole until the new one is."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from archimport.runtime.atomic import replace_file
from archimport.runtime.errors import FormatError
from archimport.runtime.file import unavailable
from archimport.runtime.index import MemberIndex, with_parents
from archimport.runtime.store import Entry
from archimport.zip.format import Member, read_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Members = Mapping[str, Callable[[], bytes]]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that the format knows: an archive does not tell when it was made


def write_archive(path: str, members: Members, *, shebang: bytes = b"") -> None:
    """Write `members` (path to a function that gives the content) as a zip at `path`, deflated where that is smaller.

    Folders get entries of their own: zipimport finds namespace packages by them before Python 3.14. With `shebang`,
    a `#!` line stands in front and the file is executable. OSError passes through.
    """
    MemberIndex(Entry(name) for name in members)  # an archive that is not read back is none

    def write(file: BinaryIO) -> None:
        file.write(shebang)
        with zipfile.ZipFile(file, "w") as archive:
            for folder in folders_of(members):
                archive.writestr(_info(f"{folder}/", 0o40755), b"")
            for name, content in members.items():
                _add(archive, name, content())

    replace_file(path, write, 0o777 if shebang else 0o666)


def rewrite(path: str, name: str, data: bytes) -> None:
    """Replace or add one member of the archive at `path`; other writers wait. OSError as StoreUnavailable."""

    def write(file: BinaryIO) -> None:
        with open(path, "rb") as source, zipfile.ZipFile(source) as old:
            source.seek(0)
            file.write(source.read(min((info.header_offset for info in old.infolist()), default=0)))
            with zipfile.ZipFile(file, "w") as new:
                new.comment = old.comment
                for info in old.infolist():
                    if info.filename != name:
                        content = old.read(info)
                        info.extra = _without_sizes(info.extra)
                        new.writestr(info, content, info.compress_type)
                _add(new, name, data)
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777)
        MemberIndex(_read_back(file))

    try:
        with _locked(path):
            replace_file(path, write)
    except OSError as exc:
        raise unavailable(path, exc) from exc
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as exc:
        raise FormatError(f"archive cannot be rewritten: {exc}", store=path) from exc


def _without_sizes(extra: bytes) -> bytes:
    """Take the 64-bit field out of an extra field: zipfile writes it anew where it is needed."""
    kept = b""
    while len(extra) >= 4:
        end = 4 + int.from_bytes(extra[2:4], "little")
        kept += extra[:end] if extra[:2] != b"\1\0" else b""
        extra = extra[end:]
    return kept


def _read_back(file: BinaryIO) -> list[Member]:
    """Read what was written as it will be read, before it takes the old archive's place."""

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    return read_directory(read, file.seek(0, os.SEEK_END))


def folders_of(members: Iterable[str]) -> list[str]:
    """Give every folder that the paths imply, sorted.

    >>> folders_of({"a/b/c.py": None, "d.py": None})
    ['a', 'a/b']
    """
    return sorted(with_parents({name.rpartition("/")[0] for name in members}) - {""})


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = _info(name, 0o100644)
    info.compress_type = zipfile.ZIP_DEFLATED if len(content) > 64 else zipfile.ZIP_STORED
    archive.writestr(info, content)


def _info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = mode << 16 | (0x10 if mode & 0o40000 else 0)
    return info


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock of the archive at `path`; whoever replaced it meanwhile had it before, so look again."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows: writers there have to take turns by themselves
        yield
        return
    while True:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                yield
                return
