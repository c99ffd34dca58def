"""The zip format (PKWARE APPNOTE 6.3.10), read strictly: an archive has one meaning or none.

What several readers read differently is refused: two end records, a comment with one in it, members that overlap, names
that only a local header has, 64-bit fields that disagree. The parser is pure: bytes in, members out.
"""

from __future__ import annotations

import struct
import zlib

from archimport.runtime import codec
from archimport.runtime.errors import ConfigError, FormatError, IntegrityError, LimitError
from archimport.runtime.magic import TAIL_COMMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Read = Callable[[int, int], bytes]

#: Compression methods: number to (name, decompressor).
METHODS = {
    0: ("stored", codec.stored),
    8: ("deflate", codec.deflate),
    12: ("bzip2", codec.bzip2),
    14: ("lzma", codec.zip_lzma),
    93: ("zstd", codec.zstd),
}
MAX_MEMBERS = 1_000_000
MAX_DIRECTORY = 256 << 20
MAX_MEMBER = 1 << 30
#: Deflate cannot do better than this (zlib's technical details); more is a bomb with a wrong size.
_MAX_DEFLATE_RATIO = 1032

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_LOCAL = struct.Struct("<4s5HLLL2H")
_FLAG_DESCRIPTOR, _FLAG_UTF8 = 1 << 3, 1 << 11
_FLAGS_READ = 0b110 | _FLAG_DESCRIPTOR | _FLAG_UTF8
_VERSION = 63  # of the specification: 6.3
_MAX_DESCRIPTOR = 24
_U16, _U32 = 0xFFFF, 0xFFFFFFFF


class Member:
    """One row of the central directory. `span` is the number of bytes from its local header to what follows."""

    __slots__ = ("crc", "flags", "is_dir", "method", "name", "offset", "raw_name", "size", "span", "stored", "time")

    name: str
    raw_name: bytes
    is_dir: bool
    method: int
    flags: int
    crc: int
    stored: int
    size: int
    offset: int
    span: int
    time: int


def read_directory(read: Read, size: int) -> list[Member]:
    """Give the members of an archive of `size` bytes, in the order of the directory.

    `read(offset, length)` gives bytes of the archive. FormatError or LimitError if it is not one archive.
    """
    start, length, count, end = _find_directory(read, size)
    shift = end - length - start  # what was put before the archive without its offsets being told
    if shift < 0 or length > MAX_DIRECTORY or count > MAX_MEMBERS:
        raise (FormatError if shift < 0 else LimitError)("central directory does not fit")
    members = list(_rows(read(start + shift, length), shift))
    if len(members) != count:
        raise FormatError(f"end record counts {count} members, the directory has {len(members)}")
    _set_spans(members, start + shift)
    first = min((member.offset for member in members), default=start + shift)
    if first and read(0, 2) != b"#!":
        raise FormatError(f"{first} bytes before the first member")
    return members


def _find_directory(read: Read, size: int) -> tuple[int, int, int, int]:
    """Give offset, length and count of the directory as the end record says, and where the directory has to end."""
    window = min(size, _END.size + _U16)
    tail = read(size - window, window)
    ends = [at for at in _occurrences(tail, b"PK\x05\x06") if _ends_file(tail, at)]
    if len(ends) != 1:
        raise FormatError("no end record of a zip" if not ends else "several end records")
    end = ends[0]
    _, disk, start_disk, here, count, length, start, _ = _END.unpack_from(tail, end)
    comment = tail[end + _END.size :]
    if comment == TAIL_COMMENT:
        raise FormatError("no zip but a bundle, whole or damaged")
    if b"PK\x05\x06" in comment:
        raise FormatError("an end record in the comment")
    end += size - window
    if disk or start_disk or here != count:
        raise FormatError("archive spans several disks")
    locator = read(end - _END64_LOCATOR.size, _END64_LOCATOR.size) if end >= _END64_LOCATOR.size else b""
    if locator[:4] == b"PK\x06\x07":
        return _find_directory64(read, end, locator, (start, length, count))
    if _U32 in (start, length) or count == _U16:
        raise FormatError("64-bit end record is missing")
    return start, length, count, end


def _find_directory64(read: Read, end: int, locator: bytes, short: tuple[int, int, int]) -> tuple[int, int, int, int]:
    at = end - _END64_LOCATOR.size - _END64.size
    _, disk, told, disks = _END64_LOCATOR.unpack(locator)
    record = read(at, _END64.size) if at >= 0 else b""
    if record[:4] != b"PK\x06\x06" or disk or disks != 1:
        raise FormatError("64-bit end record is not where it has to be")
    _, record_size, _, _, disk, start_disk, here, count, length, start = _END64.unpack(record)
    if record_size != _END64.size - 12 or disk or start_disk or here != count or told != start + length:
        raise FormatError("64-bit end record is damaged")
    for narrow, wide, sentinel in zip(short, (start, length, count), (_U32, _U32, _U16), strict=True):
        if narrow not in (wide, sentinel):
            raise FormatError("end records disagree")
    return start, length, count, at


def _occurrences(data: bytes, what: bytes) -> Iterator[int]:
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)


def _ends_file(tail: bytes, at: int) -> bool:
    return at + _END.size <= len(tail) and at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(
        tail
    )


def _rows(directory: bytes, shift: int) -> Iterator[Member]:
    at, size = 0, len(directory)
    while at < size:
        if at + _CENTRAL.size > size:
            raise FormatError("central directory is damaged")
        row = _CENTRAL.unpack_from(directory, at)
        name = at + _CENTRAL.size
        extra = name + row[12]
        comment = extra + row[13]
        at = comment + row[14]
        if row[0] != b"PK\x01\x02" or at > size:
            raise FormatError("central directory is damaged")
        yield _member(row, directory[name:extra], directory[extra:comment], shift)


def _member(row: tuple[int, ...], raw_name: bytes, extra: bytes, shift: int) -> Member:
    _, _, system, version, _, flags, method, time, date, crc, stored, size, _, _, _, disk, _, attributes, offset = row
    member = Member()
    member.raw_name, member.flags, member.method, member.crc = raw_name, flags, method, crc
    name = member.name = _decode_name(raw_name, flags)
    member.time = date << 16 | time
    if extra or _U32 in (stored, size, offset):
        stored, size, offset = _widen(member, extra, stored, size, offset)
    member.stored, member.size, member.offset = stored, size, offset + shift
    member.is_dir = name[-1:] == "/"
    if member.is_dir:
        member.name = name.rstrip("/")
    if flags & ~_FLAGS_READ or disk or version > _VERSION:
        raise FormatError("member is encrypted or uses what is not read here", member=member.name)
    kind = attributes >> 28 if system == 3 else 0  # the file type of a Unix mode: 4 is a folder, 8 a regular file
    if kind not in (0, 4 if member.is_dir else 8) or (member.is_dir and size):
        raise FormatError("member is neither a regular file nor a folder", member=member.name)
    if size > MAX_MEMBER or stored > MAX_MEMBER or (method == 8 and size > stored * _MAX_DEFLATE_RATIO + 64):
        raise LimitError(f"member of {size} bytes is too large", member=member.name)
    return member


def _decode_name(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _FLAG_UTF8 else "ascii")
    except UnicodeDecodeError:
        raise FormatError(f"member name is not what its flags say: {raw!r}") from None


def _widen(member: Member, extra: bytes, *narrow: int) -> list[int]:
    """Take stored size, size and offset from the 64-bit extra field, where and only where they need it (4.5.3)."""
    rows = list(_extra_fields(extra, member.name))
    fields = dict(rows)
    if len(fields) != len(rows):
        raise FormatError("extra field of a member occurs twice", member=member.name)
    if 0x7075 in fields and fields[0x7075][5:] != member.name.encode():
        raise FormatError("member has two names", member=member.name)
    wide = fields.get(1, b"")
    values = list(narrow)
    at = 0
    for index in (1, 0, 2):  # the order in the field: size, stored size, offset
        if values[index] == _U32:
            values[index] = int.from_bytes(wide[at : at + 8], "little")
            at += 8
    if at != len(wide):
        raise FormatError("64-bit fields of a member do not match", member=member.name)
    return values


def _extra_fields(extra: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(extra):
        length = int.from_bytes(extra[at + 2 : at + 4], "little")
        if at + 4 + length > len(extra):
            raise FormatError("extra field of a member is damaged", member=name)
        yield int.from_bytes(extra[at : at + 2], "little"), extra[at + 4 : at + 4 + length]
        at += 4 + length


def _set_spans(members: list[Member], directory_start: int) -> None:
    """Note how far each member reaches; FormatError if two overlap."""
    end = directory_start
    for member in sorted(members, key=lambda member: member.offset, reverse=True):
        member.span = end - member.offset
        least = _LOCAL.size + len(member.raw_name) + member.stored
        if member.span < least:
            raise FormatError("members overlap", member=member.name)
        if member.span > least + _U16 + _MAX_DESCRIPTOR:
            raise FormatError("bytes between members belong to none", member=member.name)
        end = member.offset


def read_member(member: Member, data: bytes) -> bytes:
    """Give the content of a member from the `span` bytes at its offset, checked against the directory."""
    if data[:4] != b"PK\x03\x04":
        raise FormatError("local header is missing", member=member.name)
    _, _, flags, method, _, _, crc, stored, size, name_length, extra_length = _LOCAL.unpack_from(data)
    start = _LOCAL.size + name_length
    if data[_LOCAL.size : start] != member.raw_name or (flags, method) != (member.flags, member.method):
        raise FormatError("local header differs from the directory", member=member.name)
    if _U32 in (stored, size):
        local = Member()
        local.name = member.name
        stored, size, _ = _widen(local, data[start : start + extra_length], stored, size, 0)
    for said, known in zip((crc, stored, size), (member.crc, member.stored, member.size), strict=True):
        if said != known and (said or not flags & _FLAG_DESCRIPTOR):  # behind the data stands what is zero here (4.4.4)
            raise FormatError("local header differs from the directory", member=member.name)
    start += extra_length
    payload, rest = data[start : start + member.stored], data[start + member.stored :]
    if rest not in _descriptors(member):
        raise FormatError("bytes between members belong to none", member=member.name)
    return _decompress(member, payload)


def _descriptors(member: Member) -> tuple[bytes, ...]:
    """Give what may follow a member's data (4.3.9)."""
    if not member.flags & _FLAG_DESCRIPTOR:
        return (b"",)
    wide = struct.pack("<LQQ", member.crc, member.stored, member.size)
    if max(member.stored, member.size) > _U32:
        return wide, b"PK\x07\x08" + wide
    narrow = struct.pack("<LLL", member.crc, member.stored, member.size)
    return narrow, b"PK\x07\x08" + narrow, wide, b"PK\x07\x08" + wide


def _decompress(member: Member, payload: bytes) -> bytes:
    if member.method not in METHODS:
        raise FormatError(f"compression method {member.method} is not read here", member=member.name)
    data = METHODS[member.method][1](payload, member.size)
    if zlib.crc32(data) != member.crc:
        raise IntegrityError("checksum differs", member=member.name)
    return data


def prepare(members: Iterable[Member]) -> None:
    """Load the decoders that the members need, before anything is looked for among them."""
    for method in {member.method for member in members}:
        try:
            codec.prepare(METHODS.get(method, ("", None))[0])
        except ConfigError:  # said when something is to be decompressed
            continue
