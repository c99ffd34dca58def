"""The tables of a bundle: where its blocks and the pages of its index are. Rows are read on demand."""

from __future__ import annotations

import struct
from _bisect import bisect_right  # `bisect` itself is one module more

from archimport.bundle.format import HEADER_SIZE
from archimport.bundle.index import MAX_PAGE
from archimport.runtime import codec
from archimport.runtime.digest import verify
from archimport.runtime.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from archimport.bundle.format import Header, Root

#: Codecs of blocks: number to (name, decompressor).
CODECS = {0: ("stored", codec.stored), 1: ("deflate", codec.deflate), 2: ("zstd", codec.zstd)}
CODEC_NUMBERS = {name: number for number, (name, _) in CODECS.items()}
MAX_BLOCK = 1 << 30
#: In raw bytes: a larger block is one content, so that no read of a small member decompresses a large block.
MAX_SHARED_BLOCK = 1 << 20
_BLOCK = struct.Struct("<QIIB3s32s")
_PAGE = struct.Struct("<QI32s")


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


class PagePlace:
    """Where a page of the index is, and its digest; `first` is the key that it begins with."""

    __slots__ = ("digest", "first", "offset", "size")

    def __init__(self, offset: int, size: int, digest: bytes, first: bytes) -> None:
        self.offset = offset
        self.size = size
        self.digest = digest
        self.first = first

    def pack(self) -> bytes:
        """Give the row of the page table."""
        return _PAGE.pack(self.offset, self.size, self.digest)


def pack_tables(blocks: Iterable[Block], pages: Sequence[PagePlace]) -> bytes:
    """Give both tables, and behind them the keys that pages begin with."""
    rows = b"".join([*(block.pack() for block in blocks), *(page.pack() for page in pages)])
    return rows + b"\0".join([page.first for page in pages])


class Tables:
    """The block table and the page table, rows read on demand."""

    __slots__ = ("_end", "_firsts", "_pages", "_raw", "_root")

    def __init__(self, raw: bytes, header: Header, root: Root) -> None:
        verify(raw, root.tables_digest, "table of blocks and pages")
        self._raw = raw
        self._root = root
        self._end = header.tables
        self._pages = root.blocks * _BLOCK.size
        keys = self._pages + root.page_count * _PAGE.size
        if keys > len(raw) or raw.count(b"\0", keys) + 1 != root.page_count:
            raise FormatError("tables are damaged")
        self._firsts = raw[keys:].split(b"\0")

    def block(self, number: int) -> Block:
        """Return a row of the block table; FormatError if there is none or it does not follow the block before it."""
        if number >= self._root.blocks:
            raise FormatError(f"there is no block {number}")
        offset, stored, raw, codec, padding, digest = _BLOCK.unpack_from(self._raw, number * _BLOCK.size)
        begins = self._end_of(_BLOCK, (number - 1) * _BLOCK.size) if number else HEADER_SIZE
        if offset != begins or offset + stored > self._root.pages or raw > MAX_BLOCK or any(padding):
            raise FormatError(f"block {number} is not where blocks are")
        return Block(offset, stored, raw, codec, digest)

    def page(self, number: int) -> PagePlace:
        """Return a row of the page table; FormatError if it does not follow the page before it."""
        place = self._pages + number * _PAGE.size
        offset, size, digest = _PAGE.unpack_from(self._raw, place)
        begins = self._end_of(_PAGE, place - _PAGE.size) if number else self._root.pages
        if offset != begins or offset + size > self._end or size > MAX_PAGE:
            raise FormatError(f"page {number} is not where pages are")
        return PagePlace(offset, size, digest, self._firsts[number])

    def _end_of(self, layout: struct.Struct, place: int) -> int:
        """Return where in the file a block or a page ends, whose row is at `place`."""
        offset, size, *_ = layout.unpack_from(self._raw, place)
        return offset + size  # type: ignore[no-any-return]  # numbers both

    def page_of(self, key: bytes) -> int:
        """Give the number of the page that a key is in, if in any: the last one that does not begin behind it."""
        return bisect_right(self._firsts, key, 1) - 1

    def pages_of(self, prefix: bytes) -> Iterator[int]:
        """Give the numbers of the pages that keys with a prefix are in, if they are anywhere."""
        number = self.page_of(prefix)
        yield number
        while (number := number + 1) < len(self._firsts) and self._firsts[number].startswith(prefix):
            yield number
