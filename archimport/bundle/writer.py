"""Write a bundle: the same members give the same bytes, and an old file stays whole until the new one is."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from archimport.bundle import format as bundle_format
from archimport.bundle.compress import compressor
from archimport.bundle.format import HEADER_SIZE, Header, Root
from archimport.bundle.index import FILE, FOLDER, Row, cut, folders_of, key_of, pack_page
from archimport.bundle.tables import CODEC_NUMBERS, MAX_BLOCK, Block, PagePlace, pack_tables
from archimport.bundle.tail import write_tail
from archimport.runtime.atomic import replace_file
from archimport.runtime.codec import may_hold
from archimport.runtime.digest import digest
from archimport.runtime.errors import LimitError
from archimport.runtime.names import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: In bytes, before compression: what is imported lazily should not have to read much else.
BLOCK_SIZE = 192 << 10
#: The same by codec, where reading takes three times as long.
_SMALLER = {"deflate": 64 << 10}
PAGE_SIZE = 8192
#: How many blocks may be in the hands of the threads.
_WAITING = 16
LAUNCH = b"#!/usr/bin/env -S python3 -I\n"


class Member(NamedTuple):
    """A file to write: `read` gives its content. `layer` 0 is for every target; others see only their own layer.

    `codec` is one of `CODEC_NUMBERS`.
    """

    path: str
    read: Callable[[], bytes]
    layer: int = 0
    codec: str = "deflate"


def write_bundle(
    path: str,
    members: Iterable[Member],
    *,
    meta: Mapping[str, str],
    tail: Mapping[str, bytes],
    level: int | None = None,
) -> None:
    """Write `members`, in the given order, as an executable bundle at `path`.

    `meta` says what the bundle is (docs/bundle-format.md), `tail` are the files of the zip at its end, `level` is how
    hard compressors try. Blocks that a codec does not make smaller are stored. LimitError or FormatError if the format
    cannot hold it, ConfigError for a codec or level that is not to be had here; OSError passes through.
    """

    def write(file: BinaryIO) -> None:
        file.write(bytes(HEADER_SIZE))
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            blocks = _Blocks(file, level, threads)
            rows = [blocks.add(member) for member in members]
            blocks.finish()
        rows += [Row(folder, FOLDER, layer) for folder, layer in folders_of(rows)]
        _finish(file, rows, blocks.table, dict(meta), tail)

    replace_file(path, write, 0o777)


class _Blocks:
    """Gather contents of one codec into blocks, equal contents once; threads compress them, they are written in order.

    `table` is complete when `finish` has been called.
    """

    def __init__(self, file: BinaryIO, level: int | None, threads: ThreadPoolExecutor) -> None:
        self._file = file
        self._level = level
        self._threads = threads
        self._codec = "stored"
        self._offset = HEADER_SIZE
        self._buffer = bytearray()
        self._places: dict[tuple[str, bytes], tuple[int, int]] = {}
        self._waiting: deque[tuple[str, bytes, Future[bytes]]] = deque()
        self.table: list[Block] = []

    def add(self, member: Member) -> Row:
        path, layer, content = check_name(member.path), member.layer, member.read()
        if len(content) > MAX_BLOCK or layer not in range(256):
            raise LimitError(f"member of {len(content)} bytes in layer {layer} does not fit a bundle", member=path)
        key = member.codec, digest(content)
        if key not in self._places:
            if member.codec != self._codec or len(self._buffer) + len(content) > _SMALLER.get(self._codec, BLOCK_SIZE):
                self._end_block()
                self._codec = member.codec
            self._places[key] = len(self.table) + len(self._waiting), len(self._buffer)
            self._buffer += content
        block, offset = self._places[key]
        return Row(path, FILE, layer, block, offset, len(content), key[1])

    def finish(self) -> None:
        self._end_block()
        while self._waiting:
            self._write_block()

    def _end_block(self) -> None:
        if self._buffer:
            raw = bytes(self._buffer)
            compressed = self._threads.submit(compressor(self._codec, self._level), raw)
            self._waiting.append((self._codec, raw, compressed))
            self._buffer.clear()
        if len(self._waiting) > _WAITING:
            self._write_block()

    def _write_block(self) -> None:
        codec, raw, compressed = self._waiting.popleft()
        stored = compressed.result()
        if not may_hold(len(stored), len(raw)):  # readers take it for a bomb
            codec, stored = "deflate", compressor("deflate")(raw)
        if len(stored) >= len(raw):
            codec, stored = "stored", raw
        self.table.append(Block(self._offset, len(stored), len(raw), CODEC_NUMBERS[codec], digest(stored)))
        self._file.write(stored)
        self._offset += len(stored)


def _finish(
    file: BinaryIO, rows: list[Row], blocks: list[Block], meta: dict[str, str], tail: Mapping[str, bytes]
) -> None:
    """Write pages, tables, root and tail behind the blocks, then the header."""
    pages_at = file.tell()
    pages = list(_write_pages(file, rows))
    tables_at = file.tell()
    tables = pack_tables(blocks, pages)
    file.write(tables)
    root_at = file.tell()
    root_size = bundle_format.root_size(meta)
    tail_at = root_at + root_size
    tail_bytes = write_tail(tail, tail_at)
    header = Header(tail_at + len(tail_bytes), tables_at, root_at, root_size, tail_at)
    raw_header = header.pack(LAUNCH)
    root = Root(
        pages=pages_at,
        blocks=len(blocks),
        page_count=len(pages),
        members=sum(row.kind == FILE for row in rows),
        header_digest=digest(raw_header),
        tables_digest=digest(tables),
        tail_digest=digest(tail_bytes),
        meta=meta,
    )
    packed = root.pack()
    bundle_format.read_root(
        packed, bundle_format.read_header(raw_header, header.size)
    )  # what is not read is not written
    file.write(packed + tail_bytes)
    file.seek(0)
    file.write(raw_header)


def _write_pages(file: BinaryIO, rows: list[Row]) -> Iterator[PagePlace]:
    """Write the pages of the index."""
    for page in cut(rows, PAGE_SIZE):
        raw = pack_page(page)
        yield PagePlace(file.tell(), len(raw), digest(raw), key_of(page[0].path) if page else b"")
        file.write(raw)
