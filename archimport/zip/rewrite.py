"""Write members into an archive that is there: what stays is copied byte for byte, whatever it is and is called.

The old archive stays whole until the new one is. Standard library only and no `zipfile`, which would decompress all
that stays, and write its names in another way.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib

from archimport.runtime.atomic import replace_file
from archimport.runtime.errors import ArchimportError, FormatError, LimitError
from archimport.runtime.file import ContainerFile, unavailable
from archimport.runtime.index import with_parents
from archimport.zip import format as zip_format
from archimport.zip.format import CENTRAL, END, END64, END64_LOCATOR, Directory
from archimport.zip.member import FLAG_UTF8, LOCAL, MAX_MEMBER, U16, U32, Member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    Choose = Callable[[list[Member]], Mapping[str, bytes]]

_NEEDED, _NEEDED_64, _UNIX = 20, 45, 3
_EPOCH = 1 << 5 | 1  # the first day that the format knows: an archive does not tell when it was made
_MODE = 0o100644 << 16
_PIECE = 1 << 20


def rewrite(path: str, choose: Choose) -> None:
    """Write into the archive at `path` what `choose` returns for the members that are there: content by name.

    Members of these names are replaced; without any, nothing is done. Other writers wait. Raises what `choose` and
    reading raise, StoreUnavailable for what the system says, FormatError or LimitError for what no archive may hold.
    """
    try:
        with _locked(path), contextlib.closing(ContainerFile(path)) as old:
            directory = zip_format.find_directory(old.read, old.size)
            members = zip_format.read_rows(old.read, directory)
            new = choose(members)
            _check_kinds(members, new)
            if new:
                replace_file(path, lambda file: _write(file, old, directory, members, new))
    except ArchimportError as exc:
        exc.store = path
        raise
    except OSError as exc:
        raise unavailable(path, exc) from exc


def _check_kinds(members: list[Member], new: Mapping[str, bytes]) -> None:
    """Raise FormatError if the archive would have a path that is both a file and a directory."""
    files = {member.path for member in members if not member.is_dir} | new.keys()
    directories = with_parents({path.rpartition("/")[0] for path in files})
    directories.update(member.path for member in members if member.is_dir)
    for name in new:
        if name in directories or files & with_parents([name.rpartition("/")[0]]) - {""}:
            raise FormatError("member would be both a file and a directory", member=name)


def _write(
    file: BinaryIO, old: ContainerFile, directory: Directory, members: list[Member], new: Mapping[str, bytes]
) -> None:
    table = _split(old.read(directory.start, directory.length))
    kept = [
        (member, row) for member, row in zip(members, table, strict=True) if member.is_dir or member.path not in new
    ]
    _copy(file, old, 0, min((member.offset for member in members), default=directory.start))
    offsets = {}
    for member in sorted((member for member, _ in kept), key=lambda member: member.offset):
        offsets[member.offset] = file.tell() - directory.shift
        _copy(file, old, member.offset, member.span)
    rows = [_moved(row, offsets[member.offset]) for member, row in kept]
    rows += [_add(file, name, content, directory.shift) for name, content in new.items()]
    start = file.tell() - directory.shift
    length = sum(file.write(row) for row in rows)
    file.write(_end(len(rows), length, start, directory.comment))
    if hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), os.stat(old.path).st_mode & 0o777)
    zip_format.read_directory(lambda at, length: _read(file, at, length), file.seek(0, os.SEEK_END))


def _split(table: bytes) -> Iterator[bytes]:
    """Return the rows of a directory that was read without fault, as they are."""
    at = 0
    while at < len(table):
        end = at + CENTRAL.size + sum(struct.unpack_from("<3H", table, at + 28))
        yield table[at:end]
        at = end


def _copy(file: BinaryIO, old: ContainerFile, start: int, length: int) -> None:
    file.writelines(old.read(at, min(_PIECE, start + length - at)) for at in range(start, start + length, _PIECE))


def _moved(row: bytes, offset: int) -> bytes:
    """Return a row with another offset, which is no larger than the old one, so that it has room where that was."""
    sizes, narrow = struct.unpack_from("<2L", row, 20), row[42:46]
    if narrow != b"\xff" * 4:
        return row[:42] + struct.pack("<L", offset) + row[46:]
    at = CENTRAL.size + int.from_bytes(row[28:30], "little")
    while row[at : at + 2] != b"\1\0":  # the 64-bit field, which has the sizes first
        at += 4 + int.from_bytes(row[at + 2 : at + 4], "little")
    at += 4 + 8 * sizes.count(U32)
    return row[:at] + struct.pack("<Q", offset) + row[at + 8 :]


def _add(file: BinaryIO, name: str, content: bytes, shift: int) -> bytes:
    """Write a member, deflated where that is smaller, and return its row of the directory."""
    if len(content) > MAX_MEMBER:
        raise LimitError(f"member of {len(content)} bytes is too large", member=name)
    offset, raw_name, crc = file.tell() - shift, name.encode(), zlib.crc32(content)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    method, data = (8, packed) if len(packed) < len(content) else (0, content)
    flags = 0 if name.isascii() else FLAG_UTF8
    wide = struct.pack("<HHQ", 1, 8, offset) if offset >= U32 else b""
    needed = _NEEDED_64 if wide else _NEEDED
    common = flags, method, 0, _EPOCH, crc, len(data), len(content), len(raw_name)
    file.write(LOCAL.pack(b"PK\3\4", needed, *common, 0) + raw_name + data)
    row = CENTRAL.pack(b"PK\1\2", needed, _UNIX, needed, 0, *common, len(wide), 0, 0, 0, _MODE, min(offset, U32))
    return row + raw_name + wide


def _end(count: int, length: int, start: int, comment: bytes) -> bytes:
    """Return what stands behind a directory."""
    wide = b""
    if count >= U16 or length >= U32 or start >= U32:
        rest = END64.size - 12, _NEEDED_64, _NEEDED_64, 0, 0, count, count, length, start
        wide = END64.pack(b"PK\6\6", *rest) + END64_LOCATOR.pack(b"PK\6\7", 0, start + length, 1)
    narrow = min(count, U16), min(count, U16), min(length, U32), min(start, U32), len(comment)
    return wide + END.pack(b"PK\5\6", 0, 0, *narrow) + comment


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    """Read what was written as it will be read, before it takes the old archive's place."""
    file.seek(at)
    return file.read(length)


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
            try:
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    yield
                    return
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # a process that was forked meanwhile has the file open too
