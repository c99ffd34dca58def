"""The directory of a zip (PKWARE APPNOTE 6.3.10): it has one meaning, or none.

What makes it ambiguous is refused: two end records, a comment with one in it, members that overlap, bytes between them,
64-bit fields that disagree, a name twice with different content. The parser is pure: bytes in, members out.
"""

from __future__ import annotations

import struct

from archimport.runtime.errors import FormatError, LimitError
from archimport.runtime.magic import TAIL_COMMENT
from archimport.zip.member import LOCAL, MAX_DESCRIPTOR, U16, U32, Member, member_of, read_member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]

MAX_MEMBERS = 1_000_000
MAX_DIRECTORY = 256 << 20
#: How much content is compared to see whether names that occur twice have the same.
_MAX_COMPARED = 64 << 20

_PART = b"PK\x07\x08"
END = struct.Struct("<4s4H2LH")
END64_LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
CENTRAL = struct.Struct("<4s4B4H3L5H2L")


class Directory:
    """Where the central directory lies: `start` and `length` in the file, and what the end record says besides."""

    __slots__ = ("comment", "count", "length", "shift", "start")

    def __init__(self, start: int, length: int, count: int, end: int, comment: bytes) -> None:
        """Take what the end record says, and where the directory has to end."""
        self.shift = end - length - start  # what was put before the archive without its offsets being told
        self.start = start + self.shift
        self.length = length
        self.count = count
        self.comment = comment
        if self.shift < 0 or not count * CENTRAL.size <= length:
            raise FormatError("central directory does not fit")
        if length > MAX_DIRECTORY or count > MAX_MEMBERS:
            raise LimitError("central directory is too large")


def read_directory(read: Read, size: int) -> list[Member]:
    """Return the members of an archive of `size` bytes, in the order of the directory; one for each name.

    `read(offset, length)` gives bytes of the archive. FormatError or LimitError if it is not one archive.
    """
    members = read_rows(read, find_directory(read, size))
    return members if len({member.path for member in members}) == len(members) else list(_unrepeated(members, read))


def read_rows(read: Read, directory: Directory) -> list[Member]:
    """Return a member for each row of a directory, those that repeat others too; FormatError if they do not fit."""
    members = list(_rows(read(directory.start, directory.length), directory))
    _set_spans(members, directory.start)
    first = min((member.offset for member in members), default=directory.start)
    is_part = first == len(_PART) and read(0, first) == _PART  # the only one, of what was to be split (8.5.3)
    if first and not is_part and read(0, 2) != b"#!":
        raise FormatError(f"{first} bytes before the first member")
    return members


def _unrepeated(members: list[Member], read: Read) -> Iterator[Member]:
    """Return members without those that only repeat another; FormatError if one differs, LimitError if all are large.

    Nobody can tell two odd members of one name apart, since neither can be read.
    """
    room = _MAX_COMPARED
    kept: dict[str, Member] = {}
    for member in members:
        first = kept.setdefault(member.path, member)
        if first is member or first.is_dir != member.is_dir:  # what is both is refused with the paths
            yield member
        elif not member.is_dir and not (first.problem and member.problem):
            room -= first.span + member.span + 2 * member.size
            if room < 0:
                raise LimitError("member occurs twice and is too large to compare", member=member.path)
            if not _is_same(first, member, read):
                raise FormatError("member occurs twice", member=member.path)


def _is_same(one: Member, other: Member, read: Read) -> bool:
    if one.problem or other.problem or (one.size, one.crc) != (other.size, other.crc):
        return False
    first, second = (read_member(member, read(member.offset, member.span)) for member in (one, other))
    return first == second


def find_directory(read: Read, size: int) -> Directory:
    """Return where the directory of an archive of `size` bytes is; FormatError or LimitError if that is not clear."""
    window = min(size, END.size + U16)
    tail = read(size - window, window)
    ends = [at for at in _occurrences(tail, b"PK\x05\x06") if _ends_file(tail, at)]
    if len(ends) != 1:
        raise FormatError("no end record of a zip" if not ends else "several end records")
    end = ends[0]
    _, disk, start_disk, here, count, length, start, _ = END.unpack_from(tail, end)
    comment = tail[end + END.size :]
    if comment == TAIL_COMMENT:
        raise FormatError("no zip but a bundle, whole or damaged")
    if b"PK\x05\x06" in comment:
        raise FormatError("an end record in the comment")
    end += size - window
    if disk or start_disk or here != count:
        raise FormatError("archive spans several disks")
    locator = read(end - END64_LOCATOR.size, END64_LOCATOR.size) if end >= END64_LOCATOR.size else b""
    if locator[:4] == b"PK\x06\x07":
        return Directory(*_find_directory64(read, end, locator, (start, length, count)), comment)
    if U32 in (start, length) or count == U16:
        raise FormatError("64-bit end record is missing")
    return Directory(start, length, count, end, comment)


def _find_directory64(read: Read, end: int, locator: bytes, short: tuple[int, int, int]) -> tuple[int, int, int, int]:
    at = end - END64_LOCATOR.size - END64.size
    _, disk, told, disks = END64_LOCATOR.unpack(locator)
    record = read(at, END64.size) if at >= 0 else b""
    if record[:4] != b"PK\x06\x06" or disk or disks != 1:
        raise FormatError("64-bit end record is not where it has to be")
    _, record_size, _, _, disk, start_disk, here, count, length, start = END64.unpack(record)
    if record_size != END64.size - 12 or disk or start_disk or here != count or told != start + length:
        raise FormatError("64-bit end record is damaged")
    for narrow, wide, sentinel in zip(short, (start, length, count), (U32, U32, U16), strict=True):
        if narrow not in (wide, sentinel):
            raise FormatError("end records disagree")
    return start, length, count, at


def _occurrences(data: bytes, what: bytes) -> Iterator[int]:
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)


def _ends_file(tail: bytes, at: int) -> bool:
    return at + END.size <= len(tail) and at + END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail)


def _rows(directory: bytes, where: Directory) -> Iterator[Member]:
    at, size = 0, len(directory)
    for _ in range(where.count):
        if at + CENTRAL.size > size:
            raise FormatError("central directory is damaged")
        row = CENTRAL.unpack_from(directory, at)
        name = at + CENTRAL.size
        extra = name + row[12]
        comment = extra + row[13]
        at = comment + row[14]
        if row[0] != b"PK\x01\x02" or at > size:
            raise FormatError("central directory is damaged")
        yield member_of(row, directory[name:extra], directory[extra:comment], where.shift)
    if at != size:
        raise FormatError(f"end record counts {where.count} members, the directory has more")


def _set_spans(members: list[Member], directory_start: int) -> None:
    """Note how far each member reaches; FormatError if two overlap."""
    end = directory_start
    for member in sorted(members, key=lambda member: member.offset, reverse=True):
        member.span = end - member.offset
        least = LOCAL.size + len(member.raw_name) + member.stored
        if member.span < least:
            raise FormatError("members overlap", member=member.path)
        if member.span > least + U16 + MAX_DESCRIPTOR:
            raise FormatError("bytes between members belong to none", member=member.path)
        end = member.offset
