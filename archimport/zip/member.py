"""One member of a zip (PKWARE APPNOTE 6.3.10): its row of the directory, its name, and its content.

What is wrong with one member alone is its `problem`: a link, encryption, an unknown method, two names. Pure functions:
bytes in, members and contents out.

A name is UTF-8 where its bytes are valid UTF-8, whatever its flags say: most tools on Unix set none. Other bytes have
the name of a Unicode path field (0x7075) that fits them, else they are code page 437, as in `zipfile`.
"""

from __future__ import annotations

import struct
import zlib

from archimport.runtime import codec
from archimport.runtime.errors import ConfigError, FormatError, IntegrityError, LimitError
from archimport.runtime.names import MAX_NAME
from archimport.runtime.store import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archimport.runtime.errors import ArchimportError

#: Compression methods: number to (name, decompressor).
METHODS = {
    0: ("stored", codec.stored),
    8: ("deflate", codec.deflate),
    12: ("bzip2", codec.bzip2),
    14: ("lzma", codec.zip_lzma),
    93: ("zstd", codec.zstd),
}
MAX_MEMBER = 1 << 30
#: Deflate cannot do better than this (zlib's technical details); more is a bomb with a wrong size. Others can: what is
#: much smaller than its content is a bomb, unless the content is small.
_MAX_RATIO, _MAX_DENSE = 1032, 1 << 20

LOCAL = struct.Struct("<4s5HLLL2H")
#: In bytes: what may stand behind the content at most.
MAX_DESCRIPTOR = 24
_FLAG_DESCRIPTOR, FLAG_UTF8 = 1 << 3, 1 << 11
_FLAGS_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_FLAGS_READ = 0b110 | _FLAG_DESCRIPTOR | FLAG_UTF8
_VERSION = 63  # of the specification: 6.3
U16, U32 = 0xFFFF, 0xFFFFFFFF
_UNICODE_PATH = 0x7075


class Member(Entry):
    """One row of the central directory. `span` is the number of bytes from its local header to what follows."""

    __slots__ = ("crc", "flags", "method", "offset", "raw_name", "span", "stored")

    raw_name: bytes
    method: int
    flags: int
    crc: int
    stored: int
    offset: int
    span: int


def member_of(row: tuple[int, ...], raw_name: bytes, extra: bytes, shift: int) -> Member:
    """Return the member of a row, whose name and extra fields follow it; FormatError if it makes others doubtful."""
    _, _, system, version, _, flags, method, time, date, crc, stored, size, _, _, _, disk, _, attributes, offset = row
    member = Member.__new__(Member)
    member.raw_name, member.flags, member.method, member.crc = raw_name, flags, method, crc
    member.digest = member.handle = member.problem = None
    member.mtime = date << 16 | time
    try:
        path = member.path = raw_name.decode()
    except UnicodeDecodeError:
        path = member.path = _other_name(member, extra)
    if disk:
        raise FormatError("archive spans several disks", member=path)
    if extra or U32 in (stored, size, offset):
        stored, size, offset = _widen(member, extra, stored, size, offset)
    member.stored, member.size, member.offset = stored, size, offset + shift
    member.is_dir = path[-1:] == "/"
    kind = attributes >> 28 if system == 3 else 0  # the file type of a Unix mode: 4 is a directory, 8 a regular file
    if (
        flags & ~_FLAGS_READ
        or version > _VERSION
        or method not in METHODS
        or kind not in (0, 4 if member.is_dir else 8)
        or (member.is_dir and size)
        or stored > MAX_MEMBER
        or size > min(MAX_MEMBER, stored * _MAX_RATIO + (64 if method == 8 else _MAX_DENSE))
    ):
        member.problem = _problem(member, version, kind)
    if member.is_dir:
        member.is_dir = member.problem is None
        member.path = path[: -1 if member.is_dir else None]
    return member


def _problem(member: Member, version: int, kind: int) -> ArchimportError:
    """Return why a member cannot be read."""
    if member.flags & _FLAGS_ENCRYPTED:
        return FormatError("member is encrypted")
    if member.flags & ~_FLAGS_READ or version > _VERSION:
        return FormatError(f"member needs what is not read here: flags {member.flags:#x}, version {version / 10}")
    if kind not in (0, 4, 8):
        return FormatError("member is a symbolic link" if kind == 10 else "member is a special file")
    if member.is_dir or kind == 4:
        return FormatError("member is a directory by its name or its mode, and a file besides")
    if member.method not in METHODS:
        return FormatError(f"compression method {member.method} is not read here")
    return LimitError(f"member of {member.size} bytes, {member.stored} of them stored, is too large")


def _other_name(member: Member, extra: bytes) -> str:
    """Return the name of a member whose bytes are not UTF-8."""
    if member.flags & FLAG_UTF8:
        member.problem = FormatError("member name is not the UTF-8 that its flags say")
        return member.raw_name.decode(errors="backslashreplace")
    try:
        field = _extra_fields(extra).get(_UNICODE_PATH, b"")
        if field[:5] == b"\1" + zlib.crc32(member.raw_name).to_bytes(4, "little"):
            return field[5:].decode()
    except (FormatError, UnicodeDecodeError):  # `_widen` says that
        pass
    return member.raw_name.decode("cp437")


def _widen(member: Member, extra: bytes, *narrow: int) -> Sequence[int]:
    """Take stored size, size and offset from the 64-bit extra field, where and only where they need it (4.5.3)."""
    try:
        fields = _extra_fields(extra)
    except FormatError as exc:
        exc.member = member.path
        if U32 in narrow:
            raise
        member.problem = FormatError(exc.message)
        return narrow
    if _UNICODE_PATH in fields and fields[_UNICODE_PATH][5:] != member.path.encode():
        member.problem = FormatError(f"member has another name too: {fields[_UNICODE_PATH][5:MAX_NAME]!r}")
    wide = fields.get(1, b"")
    values = list(narrow)
    at = 0
    for index in (1, 0, 2):  # the order in the field: size, stored size, offset
        if values[index] == U32:
            values[index] = int.from_bytes(wide[at : at + 8], "little")
            at += 8
    if at != len(wide):
        raise FormatError("64-bit fields of a member do not match", member=member.path)
    return values


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    """Return the extra fields of a member by number (4.5.1); FormatError for damage, or one read here that is twice."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        number, length = int.from_bytes(extra[at : at + 2], "little"), int.from_bytes(extra[at + 2 : at + 4], "little")
        if at + 4 + length > len(extra):
            raise FormatError("extra field of the member is damaged")
        if number in fields and number in (1, _UNICODE_PATH):
            raise FormatError("extra field of the member occurs twice")
        fields[number] = extra[at + 4 : at + 4 + length]
        at += 4 + length
    return fields


def check_readable(member: Member) -> None:
    """Raise the problem of a member that has one, as an error of its own: several threads may ask."""
    if member.problem is not None:
        path = member.path if len(member.path) <= MAX_NAME else f"{member.path[:40]}..."
        raise type(member.problem)(member.problem.message, member=path)


def read_member(member: Member, data: bytes) -> bytes:
    """Give the content of a member from the `span` bytes at its offset, checked against the directory."""
    check_readable(member)
    if data[:4] != b"PK\x03\x04":
        raise FormatError("local header is missing", member=member.path)
    _, _, flags, method, _, _, crc, stored, size, name_length, extra_length = LOCAL.unpack_from(data)
    start = LOCAL.size + len(member.raw_name)
    same_name = name_length == len(member.raw_name) and data[LOCAL.size : start] == member.raw_name
    if (
        not same_name
        or start + extra_length + member.stored > len(data)
        or (flags, method) != (member.flags, member.method)
    ):
        raise FormatError("local header differs from the directory", member=member.path)
    if U32 in (stored, size):
        stored, size, _ = _widen(Member(member.path), data[start : start + extra_length], stored, size, 0)
    for said, known in zip((crc, stored, size), (member.crc, member.stored, member.size), strict=True):
        if said != known and (said or not flags & _FLAG_DESCRIPTOR):  # behind the data stands what is zero here (4.4.4)
            raise FormatError("local header differs from the directory", member=member.path)
    start += extra_length
    payload, rest = data[start : start + member.stored], data[start + member.stored :]
    if rest not in _descriptors(member):
        raise FormatError("bytes between members belong to none", member=member.path)
    return _decompress(member, payload)


def _descriptors(member: Member) -> tuple[bytes, ...]:
    """Give what may follow a member's data (4.3.9)."""
    if not member.flags & _FLAG_DESCRIPTOR:
        return (b"",)
    wide = struct.pack("<LQQ", member.crc, member.stored, member.size)
    if max(member.stored, member.size) > U32:
        return wide, b"PK\x07\x08" + wide
    narrow = struct.pack("<LLL", member.crc, member.stored, member.size)
    return narrow, b"PK\x07\x08" + narrow, wide, b"PK\x07\x08" + wide


def _decompress(member: Member, payload: bytes) -> bytes:
    data = METHODS[member.method][1](payload, member.size)
    if zlib.crc32(data) != member.crc:
        raise IntegrityError("checksum differs", member=member.path)
    return data


def prepare(members: Iterable[Member]) -> None:
    """Load the decompressors that the members need, before anything is looked for among them."""
    for method in {member.method for member in members} & METHODS.keys():
        try:
            codec.prepare(METHODS[method][0])
        except ConfigError:  # said when something is to be decompressed
            continue
