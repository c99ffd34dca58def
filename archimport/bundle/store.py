"""A bundle as a store: immutable, opened by reading its header and its end, verified as far as it is touched."""

from __future__ import annotations

import os
import sys

from archimport.bundle import format as bundle_format
from archimport.bundle.format import HEADER_SIZE
from archimport.bundle.index import FOLDER, Page, key_of
from archimport.bundle.tables import CODECS, MAX_SHARED_BLOCK, Tables
from archimport.runtime.codec import prepare
from archimport.runtime.digest import verify
from archimport.runtime.errors import ArchimportError, ConfigError, FormatError
from archimport.runtime.file import ContainerFile
from archimport.runtime.names import check_name
from archimport.runtime.store import Entry, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from archimport.bundle.index import Row

#: What `mount` may ask of a bundle: nothing.
OPTIONS: frozenset[str] = frozenset()
#: How many decompressed blocks are kept: what is imported together is in one or two; freed memory is used again.
_BLOCKS_KEPT = 3
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
#: With the mark of an interpreter without a global lock, for which libraries are others.
_ABI = f"{_PYTHON}t" if "t" in getattr(sys, "abiflags", "") else _PYTHON
#: What libraries are made for: `linux_x86_64`, `musllinux_aarch64`, `darwin_arm64`, `win32`.
PLATFORM = f"{sys.platform}_{os.uname().machine}" if hasattr(os, "uname") else sys.platform
if getattr(sys.implementation, "_multiarch", "").endswith("musl"):
    PLATFORM = f"musl{PLATFORM}"


def open_store(path: str) -> BundleStore:
    """Open the bundle at `path`: FormatError, IntegrityError or StoreUnavailable if that cannot be."""
    return BundleStore(path)


class BundleStore(Store):
    """A bundle. Opening verifies header, root and tables; a lookup one page of the index; a read one block.

    `meta` is what the bundle says of itself; `layers` are those that this interpreter uses.
    """

    kind = "bundle"
    starts_itself = True

    def __init__(self, path: str) -> None:
        self.location = path
        self.file = ContainerFile(path)
        self._pages: dict[int, Page] = {}
        self._blocks: dict[int, bytes] = {}
        try:
            self._open()
        except ArchimportError as exc:
            self.file.close()
            exc.store = path
            raise

    def _open(self) -> None:
        size = self.file.size
        self.header = header = bundle_format.read_header(self.file.read(0, min(size, HEADER_SIZE)), size)
        middle = self.file.read(header.tables, header.tail - header.tables)
        tables_size = header.root - header.tables
        self.root = bundle_format.read_root(middle[tables_size:], header)
        self.tables = Tables(middle[:tables_size], header, self.root)
        self.meta = self.root.meta
        self.targets = _targets(self.meta)
        self.may_have_libraries = self.meta.get("libraries") != "no"
        self._layers = frozenset((0, *(layer for _, _, layer in filter(_is_this, self.targets))))

    def check(self) -> None:
        """Raise ConfigError if the bundle was not made for this version of Python on this platform, or cannot be read.

        Decoders are loaded, before anything is looked for in the bundle.
        """
        if self.targets and not any(map(_is_this, self.targets)):
            names = [python if platform == "any" else f"{python} on {platform}" for python, platform, _ in self.targets]
            raise ConfigError(
                f"{self.location!r} supports Python {', '.join(names)}, not {_ABI} on {PLATFORM}",
                store=self.location,
                hint="run it with one of these, or pack it for this one",
            )
        try:
            if "zstd" in (self.meta.get("codec"), *self.meta.get("bytecode", "").split()):
                prepare("zstd", self._carried_decoder)
        except ArchimportError as exc:
            exc.store = self.location
            if self.meta.get("codec") == "zstd":  # instead of bytecode there are sources
                raise

    def _carried_decoder(self) -> ModuleType | None:
        from archimport.runtime.decoder import carried_decoder  # deferred: from Python 3.14 there is one

        return carried_decoder(self)

    def lookup(self, path: str) -> Entry | None:
        """Give the entry at `path`, or None; reads and verifies one page of the index at most."""
        if not path:
            return Entry(path, is_dir=True)
        key = key_of(path)
        number = self.tables.page_of(key)
        try:
            page = self._pages.get(number) or self.page(number)
            for row in page.rows(path, key):
                if row.layer in self._layers:
                    return _entry_of(row)
        except ArchimportError as exc:
            exc.store = self.location
            raise
        return None

    def list(self, folder: str) -> Sequence[str]:
        """Give the sorted names of the children of `folder`."""
        try:
            return sorted(set(self._children(key_of(f"{folder}/" if folder else ""))))
        except ArchimportError as exc:
            exc.store = self.location
            raise

    def _children(self, prefix: bytes) -> Iterator[str]:
        for number in self.tables.pages_of(prefix):
            for row in self.page(number).rows_below(prefix):
                if row.layer in self._layers:
                    yield check_name(row.path).rpartition("/")[2]

    def read(self, entry: Entry) -> bytes:
        """Give the content of a member; IntegrityError or FormatError if its block is damaged."""
        return self.content(entry.handle)  # type: ignore[arg-type]  # what lookup made

    def page(self, number: int) -> Page:
        """Give a page of the index, verified."""
        if number not in self._pages:
            place = self.tables.page(number)
            raw = self.file.read(place.offset, place.size)
            verify(raw, place.digest, "page of the index")
            self._pages[number] = Page(raw)
        return self._pages[number]

    def content(self, row: Row) -> bytes:
        """Give the content of a row of the index."""
        if not row.size:
            return b""
        try:
            block = self._blocks.get(row.block)
            if block is None:
                block = self._load_block(row.block)
        except ArchimportError as exc:
            exc.store, exc.member = self.location, row.path
            raise
        return self.part(row, block)

    def part(self, row: Row, block: bytes) -> bytes:
        """Return the content of a row from its raw block; FormatError if it is none."""
        end = row.offset + row.size
        if end > len(block) or (len(block) > MAX_SHARED_BLOCK and row.size != len(block)):
            raise FormatError("member is no content of its block", store=self.location, member=row.path)
        return block[row.offset : end]

    def block(self, number: int) -> bytes:
        """Return a block, verified and decompressed; it is not kept."""
        block = self.tables.block(number)
        return block.unpack(self.file.read(block.offset, block.stored))

    def _load_block(self, number: int) -> bytes:
        raw = self.block(number)
        if len(raw) > MAX_SHARED_BLOCK:  # one content, and large
            return raw
        while len(self._blocks) >= _BLOCKS_KEPT:
            self._blocks.pop(next(iter(list(self._blocks)), number), None)
        self._blocks[number] = raw
        return raw

    def describe(self) -> dict[str, object]:
        """Give size, number of members and blocks, codecs, targets, and what the bundle says of itself."""
        content, codecs = 0, set()
        try:
            for block in map(self.tables.block, range(self.root.blocks)):
                content += block.raw
                codecs.add(CODECS[block.codec][0] if block.codec in CODECS else str(block.codec))
        except ArchimportError as exc:
            exc.store = self.location
            raise
        return {
            "format": bundle_format.VERSION,
            "size": self.file.size,
            "members": self.root.members,
            "content": content,
            "blocks": self.root.blocks,
            "compression": ", ".join(sorted(codecs)),
            "signed": bool(self.root.signatures),
            "meta": self.meta,
        }

    def verify(self) -> Iterator[str]:
        """Check every byte of the file and that the index says what there is; a line for each part."""
        from archimport.bundle import verify as whole  # deferred: an import never asks for it

        try:
            yield from whole.verify(self)
        except ArchimportError as exc:
            exc.store = self.location
            raise

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _entry_of(row: Row) -> Entry:
    if row.kind == FOLDER:
        return Entry(row.path, is_dir=True)
    return Entry(row.path, size=row.size, mtime=0, digest=row.digest, handle=row)


def _targets(meta: dict[str, str]) -> list[tuple[str, str, int]]:
    """Parse the line `targets`: `PYTHON/PLATFORM/LAYER`, separated by spaces."""
    try:
        return [
            (python, platform, int(layer))
            for python, platform, layer in (target.split("/") for target in meta.get("targets", "").split())
        ]
    except ValueError:
        raise FormatError("targets of the bundle are damaged") from None


def _is_this(target: tuple[str, str, int]) -> bool:
    python, platform, _ = target
    return python == _PYTHON if platform == "any" else (python, platform) == (_ABI, PLATFORM)
