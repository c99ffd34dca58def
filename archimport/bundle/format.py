"""Version 1 of the bundle format; docs/bundle-format.md is its specification.

A file is `header | blocks | pages | tables | root | tail`, without gaps. All numbers are little-endian. Everything here
is pure: bytes in, values out; what is damaged is a FormatError or an IntegrityError.
"""

from __future__ import annotations

import struct
import zlib

from archimport.runtime import codec
from archimport.runtime.digest import DIGEST_SIZE, digest
from archimport.runtime.errors import FormatError, IntegrityError, LimitError
from archimport.runtime.magic import BUNDLE_MAGIC, BUNDLE_MAGIC_OFFSET
from archimport.runtime.names import CONTROL_CHARACTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1
HEADER_SIZE = 256
LAUNCH_SIZE = BUNDLE_MAGIC_OFFSET
#: Codecs of blocks: number to (name, decompressor).
CODECS = {0: ("stored", codec.stored), 1: ("deflate", codec.deflate), 2: ("zstd", codec.zstd)}
CODEC_NUMBERS = {name: number for number, (name, _) in CODECS.items()}
MAX_MEMBERS = 1_000_000
MAX_BLOCK = 1 << 30
MAX_PAGE = 1 << 24
MAX_ROOT = 1 << 20
MAX_TABLES = 1 << 28
MAX_TAIL = 1 << 26
MAX_LISTING = 1 << 26
FILE, FOLDER = 0, 1

_HEADER = struct.Struct(f"<{LAUNCH_SIZE}s8sHHIQQQ88s")
_ROOT = struct.Struct("<4sIQQQIIIII32s32s32s")
_BLOCK = struct.Struct("<QIIB3s32s")
_PAGE = struct.Struct("<QI32s")
_ROW = struct.Struct("<HBBIII32s")
_ROOT_MAGIC = b"ROOT"


class Header:
    """The first 256 bytes: where the root and the tail are."""

    __slots__ = ("raw", "root", "root_size", "size", "tail")

    def __init__(self, size: int, root: int, root_size: int, tail: int, raw: bytes = b"") -> None:
        self.size = size
        self.root = root
        self.root_size = root_size
        self.tail = tail
        self.raw = raw

    def pack(self, launch: bytes) -> bytes:
        """Give the bytes, with `launch` as the line by which the system starts the file."""
        launch = launch.ljust(LAUNCH_SIZE, b"\n")
        return _HEADER.pack(
            launch, BUNDLE_MAGIC, VERSION, 0, self.root_size, self.size, self.root, self.tail, bytes(88)
        )


def read_header(raw: bytes, size: int) -> Header:
    """Parse the header of a file of `size` bytes."""
    if len(raw) < HEADER_SIZE or raw[LAUNCH_SIZE : LAUNCH_SIZE + 8] != BUNDLE_MAGIC:
        raise FormatError("not a bundle")
    _, _, version, flags, root_size, stated, root, tail, reserved = _HEADER.unpack(raw)
    if version != VERSION:
        raise FormatError(f"bundle of format version {version}, this archimport reads {VERSION}")
    if stated != size:
        raise FormatError(f"bundle has {size} bytes instead of {stated}")
    if flags or any(reserved) or root_size > MAX_ROOT or not HEADER_SIZE <= root <= root + root_size == tail < size:
        raise FormatError("header is damaged")
    if size - tail > MAX_TAIL:
        raise LimitError(f"tail of {size - tail} bytes is too large")
    return Header(stated, root, root_size, tail, raw)


class Root:
    """The record that vouches for the rest: digests of header, tables and tail, and what the bundle says of itself.

    `pages`, `tables` are offsets; blocks begin behind the header. `meta` maps keys to one-line values.
    """

    __slots__ = ("blocks", "header_digest", "members", "meta", "page_count", "pages", "signatures", "tables",
                 "tables_digest", "tail_digest")  # fmt: skip

    def __init__(
        self,
        *,
        pages: int,
        tables: int,
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
        self.tables = tables
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
            _ROOT_MAGIC, 0, HEADER_SIZE, self.pages, self.tables, self.blocks, self.page_count, self.members,
            len(meta), len(self.signatures), self.header_digest, self.tables_digest, self.tail_digest,
        )  # fmt: skip
        signed = record + meta
        signed += digest(signed)
        area = digest(signed + self.signatures)
        return signed + self.signatures + area


def root_size(meta: dict[str, str], signatures: int = 0) -> int:
    """Give how long a root with this `meta` and so many bytes of signatures is."""
    return _ROOT.size + len(pack_meta(meta)) + DIGEST_SIZE + signatures + DIGEST_SIZE


def read_root(raw: bytes, header: Header) -> Root:
    """Parse and verify the root: its own digest, the header's, and that the parts of the file leave no gap."""
    if len(raw) < _ROOT.size + 2 * DIGEST_SIZE or raw[:4] != _ROOT_MAGIC:
        raise FormatError("root is damaged")
    (_, flags, start, pages, tables, blocks, page_count, members, meta_size, signatures_size,
     header_digest, tables_digest, tail_digest) = _ROOT.unpack_from(raw)  # fmt: skip
    end = _ROOT.size + meta_size
    if end + 2 * DIGEST_SIZE + signatures_size != len(raw):
        raise FormatError("root is damaged")
    verify(raw[:end], raw[end : end + DIGEST_SIZE], "root")
    verify(raw[:-DIGEST_SIZE], raw[-DIGEST_SIZE:], "area of signatures")
    verify(header.raw, header_digest, "header")
    tables_end = tables + blocks * _BLOCK.size + page_count * _PAGE.size
    if flags or not start == HEADER_SIZE <= pages <= tables <= tables_end == header.root or not page_count:
        raise FormatError("root does not describe this file")
    if members > MAX_MEMBERS or header.root - tables > MAX_TABLES:
        raise LimitError(f"bundle of {members} members is too large")
    return Root(
        pages=pages, tables=tables, blocks=blocks, page_count=page_count, members=members,
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


class Block:
    """Where a block is stored, how, and the digest of what is stored."""

    __slots__ = ("codec", "digest", "offset", "raw", "stored")

    def __init__(self, offset: int, stored: int, raw: int, codec: int, digest: bytes) -> None:
        self.offset = offset
        self.stored = stored
        self.raw = raw
        self.codec = codec
        self.digest = digest

    def pack(self) -> bytes:
        """Give the row of the block table."""
        return _BLOCK.pack(self.offset, self.stored, self.raw, self.codec, b"", self.digest)

    def unpack(self, data: bytes) -> bytes:
        """Give the raw bytes of the block from what is stored: verified first, then decompressed."""
        verify(data, self.digest, "block")
        if self.codec not in CODECS:
            raise FormatError(f"block has an unknown codec: {self.codec}")
        return CODECS[self.codec][1](data, self.raw)


class Page:
    """Where a page of the index is, and its digest."""

    __slots__ = ("digest", "offset", "size")

    def __init__(self, offset: int, size: int, digest: bytes) -> None:
        self.offset = offset
        self.size = size
        self.digest = digest

    def pack(self) -> bytes:
        """Give the row of the page table."""
        return _PAGE.pack(self.offset, self.size, self.digest)


class Tables:
    """The block table and the page table, rows read on demand."""

    __slots__ = ("_pages", "_raw", "_root")

    def __init__(self, raw: bytes, root: Root) -> None:
        verify(raw, root.tables_digest, "tables")
        self._raw = raw
        self._root = root
        self._pages = root.blocks * _BLOCK.size

    def block(self, number: int) -> Block:
        """Give a row of the block table; FormatError if there is none or it lies outside the blocks."""
        if number >= self._root.blocks:
            raise FormatError(f"there is no block {number}")
        offset, stored, raw, codec, padding, digest = _BLOCK.unpack_from(self._raw, number * _BLOCK.size)
        if not HEADER_SIZE <= offset <= offset + stored <= self._root.pages or raw > MAX_BLOCK or any(padding):
            raise FormatError(f"block {number} is not where blocks are")
        return Block(offset, stored, raw, codec, digest)

    def page(self, number: int) -> Page:
        """Give a row of the page table; FormatError if it lies outside the pages."""
        offset, size, digest = _PAGE.unpack_from(self._raw, self._pages + number * _PAGE.size)
        if not self._root.pages <= offset <= offset + size <= self._root.tables or size > MAX_PAGE:
            raise FormatError(f"page {number} is not where pages are")
        return Page(offset, size, digest)


class Row:
    """One member in the index: its content is `size` bytes at `offset` of the raw bytes of `block`.

    `layer` is 0 for every target, else the number of the layer it belongs to. The content of a FOLDER is the sorted
    names of its children, a line each.
    """

    __slots__ = ("block", "digest", "kind", "layer", "offset", "path", "size")

    def __init__(self, path: str, kind: int, layer: int, block: int, offset: int, size: int, digest: bytes) -> None:
        self.path = path
        self.kind = kind
        self.layer = layer
        self.block = block
        self.offset = offset
        self.size = size
        self.digest = digest

    def pack(self) -> bytes:
        """Give the row: fixed fields, then the path in UTF-8."""
        path = self.path.encode()
        return _ROW.pack(len(path), self.kind, self.layer, self.block, self.offset, self.size, self.digest) + path


def read_page(raw: bytes, layers: frozenset[int]) -> dict[bytes, tuple[int, ...]]:
    """Give where in a page the rows of each path are, those of `layers` alone, the most specific layer first."""
    found: dict[bytes, tuple[int, ...]] = {}
    at, end = 0, len(raw)
    last = b"", -1
    while at < end:
        if at + _ROW.size > end:
            raise FormatError("page of the index is damaged")
        start = at + _ROW.size
        length = int.from_bytes(raw[at : at + 2], "little")
        path = raw[start : start + length]
        if len(path) != length:
            raise FormatError("page of the index is damaged")
        layer = raw[at + 3]
        if (path, layer) <= last:
            raise FormatError("page of the index is not sorted")
        last = path, layer
        if layer in layers:
            found[path] = (at, *found[path]) if path in found else (at,)
        at = start + len(path)
    return found


def read_row(raw: bytes, at: int, path: str) -> Row:
    """Parse the row of `path` that begins at `at` of a page."""
    _, kind, layer, block, offset, size, content = _ROW.unpack_from(raw, at)
    if kind not in (FILE, FOLDER):
        raise FormatError("page of the index is damaged")
    return Row(path, kind, layer, block, offset, size, content)


def children_of(rows: Iterable[Row]) -> dict[tuple[str, int], list[str]]:
    """Give the sorted names of the children of every folder, by its path and layer; the root is in layer 0 always.

    FormatError if a path is a file and a folder, in whatever layers.
    """
    rows = list(rows)
    children: dict[tuple[str, int], set[str]] = {("", 0): set()}
    for row in rows:
        path = row.path
        while path:
            folder, _, name = path.rpartition("/")
            children.setdefault((folder, row.layer), set()).add(name)
            path = folder
    for path in {path for path, _ in children} & {row.path for row in rows if row.kind == FILE}:
        raise FormatError("member is both a file and a folder", member=path)
    return {key: sorted(children[key]) for key in sorted(children)}


def listing(names: Iterable[str]) -> bytes:
    """Give the content of a folder with these children."""
    return "".join(f"{name}\n" for name in names).encode()


def read_listing(raw: bytes) -> list[str]:
    """Give the names of the children from the content of a folder."""
    names = _lines(raw, "list of a folder's children")
    if not all(names) or any("/" in name for name in names):
        raise FormatError("list of a folder's children is damaged")
    return names


def page_number(path: str, page_count: int) -> int:
    """Give the page that holds the rows of `path`."""
    return zlib.crc32(path.encode("utf-8", "surrogatepass")) % page_count


def verify(data: bytes, expected: bytes, what: str) -> None:
    """Raise IntegrityError if `data` is not what `expected` is the digest of."""
    if digest(data) != expected:
        raise IntegrityError(f"{what} is damaged")
