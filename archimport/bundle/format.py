"""Version 1 of the bundle format; docs/bundle-format.md is its specification.

A file is `header | blocks | pages | tables | root | tail`, without gaps. All numbers are little-endian. Everything here
is pure: bytes in, values out; what is damaged is a FormatError or an IntegrityError.
"""

from __future__ import annotations

import struct

from archimport.runtime.digest import DIGEST_SIZE, digest, verify
from archimport.runtime.errors import FormatError, LimitError
from archimport.runtime.magic import BUNDLE_MAGIC, BUNDLE_MAGIC_OFFSET
from archimport.runtime.names import CONTROL_CHARACTERS

VERSION = 1
HEADER_SIZE = 256
LAUNCH_SIZE = BUNDLE_MAGIC_OFFSET
MAX_MEMBERS = 1_000_000
MAX_ROOT = 1 << 20
MAX_TABLES = 1 << 26
MAX_TAIL = 1 << 26

_HEADER = struct.Struct(f"<{LAUNCH_SIZE}s8sHHIQQQQ80s")
_ROOT = struct.Struct("<4sIQIIIII32s32s32s")
_ROOT_MAGIC = b"ROOT"


class Header:
    """The first 256 bytes: where tables, root and tail are."""

    __slots__ = ("raw", "root", "root_size", "size", "tables", "tail")

    def __init__(self, size: int, tables: int, root: int, root_size: int, tail: int, raw: bytes = b"") -> None:
        self.size = size
        self.tables = tables
        self.root = root
        self.root_size = root_size
        self.tail = tail
        self.raw = raw

    def pack(self, launch: bytes) -> bytes:
        """Give the bytes, with `launch` as the line by which the system starts the file."""
        launch = launch.ljust(LAUNCH_SIZE, b"\n")
        return _HEADER.pack(
            launch, BUNDLE_MAGIC, VERSION, 0, self.root_size, self.size, self.tables, self.root, self.tail, bytes(80)
        )


def read_header(raw: bytes, size: int) -> Header:
    """Parse the header of a file of `size` bytes."""
    if len(raw) < HEADER_SIZE or raw[LAUNCH_SIZE : LAUNCH_SIZE + 8] != BUNDLE_MAGIC:
        raise FormatError("not a bundle", hint="if it was one, it is damaged: fetch it again")
    _, _, version, flags, root_size, stated, tables, root, tail, reserved = _HEADER.unpack(raw)
    if version != VERSION:
        raise FormatError(f"bundle of format version {version}, this archimport reads {VERSION}")
    if stated != size:
        raise FormatError(f"bundle has {size} bytes instead of {stated}")
    if flags or any(reserved) or not HEADER_SIZE <= tables <= root <= root + root_size == tail < size:
        raise FormatError("header is damaged")
    for part, length, limit in (("tables", root - tables, MAX_TABLES), ("root", root_size, MAX_ROOT),
                                ("tail", size - tail, MAX_TAIL)):  # fmt: skip
        if length > limit:
            raise LimitError(f"{part} of {length} bytes are too large")
    return Header(stated, tables, root, root_size, tail, raw)


class Root:
    """The record that vouches for the rest: digests of header, tables and tail, and what the bundle says of itself.

    `pages` is their offset; blocks begin behind the header. `meta` maps keys to one-line values.
    """

    __slots__ = ("blocks", "header_digest", "members", "meta", "page_count", "pages", "signatures", "tables_digest",
                 "tail_digest")  # fmt: skip

    def __init__(
        self,
        *,
        pages: int,
        blocks: int,
        page_count: int,
        members: int,
        header_digest: bytes,
        tables_digest: bytes,
        tail_digest: bytes,
        meta: dict[str, str],
        signatures: bytes = b"",
    ) -> None:
        self.pages = pages
        self.blocks = blocks
        self.page_count = page_count
        self.members = members
        self.header_digest = header_digest
        self.tables_digest = tables_digest
        self.tail_digest = tail_digest
        self.meta = meta
        self.signatures = signatures

    def pack(self) -> bytes:
        """Give the bytes: the record, its digest, and the area of signatures with a digest of its own."""
        meta = pack_meta(self.meta)
        record = _ROOT.pack(
            _ROOT_MAGIC, 0, self.pages, self.blocks, self.page_count, self.members, len(meta), len(self.signatures),
            self.header_digest, self.tables_digest, self.tail_digest,
        )  # fmt: skip
        signed = record + meta
        signed += digest(signed)
        area = digest(signed + self.signatures)
        return signed + self.signatures + area


def root_size(meta: dict[str, str], signatures: int = 0) -> int:
    """Give how long a root with this `meta` and so many bytes of signatures is."""
    return _ROOT.size + len(pack_meta(meta)) + DIGEST_SIZE + signatures + DIGEST_SIZE


def read_root(raw: bytes, header: Header) -> Root:
    """Parse and verify the root: its own digest, the header's, and that the parts of the file follow each other."""
    if len(raw) < _ROOT.size + 2 * DIGEST_SIZE or raw[:4] != _ROOT_MAGIC:
        raise FormatError("root is damaged")
    (_, flags, pages, blocks, page_count, members, meta_size, signatures_size,
     header_digest, tables_digest, tail_digest) = _ROOT.unpack_from(raw)  # fmt: skip
    end = _ROOT.size + meta_size
    if end + 2 * DIGEST_SIZE + signatures_size != len(raw):
        raise FormatError("root is damaged")
    verify(raw[:end], raw[end : end + DIGEST_SIZE], "root")
    verify(raw[:-DIGEST_SIZE], raw[-DIGEST_SIZE:], "area of signatures")
    verify(header.raw, header_digest, "header")
    if flags or not HEADER_SIZE <= pages <= header.tables:
        raise FormatError("root does not describe this file")
    if members > MAX_MEMBERS:
        raise LimitError(f"bundle of {members} members is too large")
    return Root(
        pages=pages, blocks=blocks, page_count=page_count, members=members,
        header_digest=header_digest, tables_digest=tables_digest, tail_digest=tail_digest,
        meta=read_meta(raw[_ROOT.size : end]), signatures=raw[end + DIGEST_SIZE : -DIGEST_SIZE],
    )  # fmt: skip


def pack_meta(meta: dict[str, str]) -> bytes:
    """Give `key=value` lines, sorted by key."""
    return "".join(f"{key}={value}\n" for key, value in sorted(meta.items())).encode()


def read_meta(raw: bytes) -> dict[str, str]:
    """Parse `key=value` lines."""
    rows = [line.partition("=") for line in _lines(raw, "what the root says of the bundle")]
    meta = {key: value for key, _, value in rows}
    if len(meta) != len(rows) or not all(key and equals for key, equals, _ in rows):
        raise FormatError("what the root says of the bundle is damaged")
    return meta


def _lines(raw: bytes, what: str) -> list[str]:
    """Give the lines of a text, each of which has an end, and no control characters."""
    try:
        *lines, rest = raw.decode().split("\n")
    except UnicodeDecodeError:
        raise FormatError(f"{what} is no text") from None
    if rest or not all(map(CONTROL_CHARACTERS.isdisjoint, lines)):
        raise FormatError(f"{what} is damaged")
    return lines
