"""Write a bundle: the same members give the same bytes, and an old file stays whole until the new one is."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from archimport.bundle import format as bundle_format
from archimport.bundle.format import CODEC_NUMBERS, FILE, FOLDER, HEADER_SIZE, Block, Header, Page, Root, Row
from archimport.bundle.tail import write_tail
from archimport.runtime.atomic import replace_file
from archimport.runtime.digest import digest
from archimport.runtime.errors import ConfigError, FormatError, LimitError
from archimport.runtime.names import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

BLOCK_SIZE = 192 << 10
PAGE_SIZE = 4096
LAUNCH = b"#!/usr/bin/env -S python3 -I\n"


class Member(NamedTuple):
    """A file to write: `read` gives its content. `layer` 0 is for every target; others see only their own layer."""

    path: str
    read: Callable[[], bytes]
    layer: int = 0


def write_bundle(
    path: str,
    members: Iterable[Member],
    *,
    meta: Mapping[str, str],
    tail: Mapping[str, bytes],
    codec: str = "deflate",
) -> None:
    """Write `members`, in the given order, as an executable bundle at `path`.

    `meta` says what the bundle is (docs/bundle-format.md), `tail` are the files of the zip at its end, `codec` is one
    of `CODEC_NUMBERS`; blocks that it does not make smaller are stored. LimitError or FormatError if the format cannot
    hold it, ConfigError for a codec that is not to be had here; OSError passes through.
    """
    compress = _compressor(codec)

    def write(file: BinaryIO) -> None:
        file.write(bytes(HEADER_SIZE))
        blocks = _Blocks(file, compress)
        rows = [blocks.add(member) for member in members]
        rows += [
            blocks.add_folder(folder, layer, names)
            for (folder, layer), names in bundle_format.children_of(rows).items()
        ]
        blocks.flush()
        _finish(file, rows, blocks.table, dict(meta), tail)

    replace_file(path, write, 0o777)


class _Blocks:
    """Gather contents into blocks, equal contents once, and write each block when it is full."""

    def __init__(self, file: BinaryIO, compress: Callable[[bytes], tuple[int, bytes]]) -> None:
        self._file = file
        self._compress = compress
        self._offset = HEADER_SIZE
        self._buffer = bytearray()
        self._places: dict[bytes, tuple[int, int]] = {}
        self.table: list[Block] = []

    def add(self, member: Member) -> Row:
        return self._add(check_name(member.path), FILE, member.layer, member.read())

    def add_folder(self, folder: str, layer: int, names: list[str]) -> Row:
        return self._add(folder, FOLDER, layer, bundle_format.listing(names))

    def _add(self, path: str, kind: int, layer: int, content: bytes) -> Row:
        if len(content) > bundle_format.MAX_BLOCK or layer not in range(256):
            raise LimitError(f"member of {len(content)} bytes in layer {layer} does not fit a bundle", member=path)
        key = digest(content)
        if key not in self._places:
            if self._buffer and len(self._buffer) + len(content) > BLOCK_SIZE:
                self.flush()
            self._places[key] = len(self.table), len(self._buffer)
            self._buffer += content
        block, offset = self._places[key]
        return Row(path, kind, layer, block, offset, len(content), key)

    def flush(self) -> None:
        if not self._buffer:
            return
        codec, stored = self._compress(bytes(self._buffer))
        self.table.append(Block(self._offset, len(stored), len(self._buffer), codec, digest(stored)))
        self._file.write(stored)
        self._offset += len(stored)
        self._buffer.clear()


def _finish(
    file: BinaryIO, rows: list[Row], blocks: list[Block], meta: dict[str, str], tail: Mapping[str, bytes]
) -> None:
    """Write pages, tables, root and tail behind the blocks, then the header."""
    pages_at = file.tell()
    pages = list(_write_pages(file, rows))
    tables_at = file.tell()
    tables = b"".join([*(block.pack() for block in blocks), *(page.pack() for page in pages)])
    file.write(tables)
    root_at = file.tell()
    root_size = bundle_format.root_size(meta)
    tail_bytes = write_tail(tail, root_at + root_size)
    header = Header(root_at + root_size + len(tail_bytes), root_at, root_size, root_at + root_size)
    raw_header = header.pack(LAUNCH)
    root = Root(
        pages=pages_at,
        tables=tables_at,
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


def _write_pages(file: BinaryIO, rows: list[Row]) -> Iterator[Page]:
    """Spread the rows over pages by the hash of their path; within a page they are sorted by path and layer."""
    packed: dict[tuple[str, int], bytes] = {}
    for row in rows:
        if (row.path, row.layer) in packed:
            raise FormatError("member occurs twice", member=row.path)
        packed[row.path, row.layer] = row.pack()
    count = max(1, round(sum(map(len, packed.values())) / PAGE_SIZE))
    pages: list[list[bytes]] = [[] for _ in range(count)]
    for path, layer in sorted(packed):
        pages[bundle_format.page_number(path, count)].append(packed[path, layer])
    for page in pages:
        raw = b"".join(page)
        yield Page(file.tell(), len(raw), digest(raw))
        file.write(raw)


def _compressor(codec: str) -> Callable[[bytes], tuple[int, bytes]]:
    """Give a function from raw bytes to codec number and stored bytes, the smaller of compressed and stored."""
    if codec not in CODEC_NUMBERS:
        raise ConfigError(f"unknown codec {codec!r}", hint=f"one of {', '.join(CODEC_NUMBERS)}")
    squeeze: Callable[[bytes], bytes] = {"stored": bytes, "deflate": _deflate, "zstd": _zstd}[codec]  # type: ignore[assignment]  # bytes copies

    def compress(raw: bytes) -> tuple[int, bytes]:
        stored = squeeze(raw)
        return (CODEC_NUMBERS[codec], stored) if len(stored) < len(raw) else (0, raw)

    return compress


def _deflate(raw: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(raw) + compressor.flush()


def _zstd(raw: bytes) -> bytes:
    from archimport.runtime.codec import zstd_module

    module = zstd_module()
    return module.compress(raw, 19)  # type: ignore[no-any-return]  # one of two modules of the same interface
