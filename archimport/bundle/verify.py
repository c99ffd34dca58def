"""Check all of a bundle: what opening and reading check as they go, and what only the whole shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archimport.bundle.format import HEADER_SIZE
from archimport.bundle.index import FILE, FOLDER, folders_of
from archimport.runtime import digest
from archimport.runtime.codec import MAX_RATIO
from archimport.runtime.errors import FormatError, IntegrityError, LimitError
from archimport.runtime.names import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archimport.bundle.index import Row
    from archimport.bundle.store import BundleStore


def verify(store: BundleStore) -> Iterator[str]:
    """Check every byte of the file and every row of the index, and return a line for each part.

    No byte belongs to nothing, each content has its digest, each row is where it is looked for and occurs once, and
    there are just the directories that files lie in: an inspector sees all that can be imported. One block is in memory
    at a time. FormatError, IntegrityError or LimitError if not.
    """
    tail = store.header.tail
    digest.verify(store.file.read(tail, store.header.size - tail), store.root.tail_digest, "tail")
    _check_ends(store)
    rows = list(_rows(store))
    _check_contents(store, rows)
    yield f"{store.root.blocks} blocks"
    yield f"{store.root.page_count} pages of the index"
    _check_folders(store, rows)
    files = sum(row.kind == FILE for row in rows)
    if files != store.root.members:
        raise FormatError(f"index has {files} files instead of {store.root.members}", store=store.location)
    yield f"{files} files"


def _check_ends(store: BundleStore) -> None:
    """Check that blocks and pages, each of which follows the one before, end where their part of the file does."""
    total, end = 0, HEADER_SIZE
    for number in range(store.root.blocks):
        block = store.tables.block(number)
        total, end = total + block.raw, block.offset + block.stored
    if total > store.header.size * MAX_RATIO:
        raise LimitError(f"contents of {total} bytes are too large for their file", store=store.location)
    last = store.tables.page(store.root.page_count - 1)
    for begins, ends in ((end, store.root.pages), (last.offset + last.size, store.header.tables)):
        if begins != ends:
            raise FormatError(f"bytes {begins} to {ends} belong to nothing", store=store.location)


def _rows(store: BundleStore) -> Iterator[Row]:
    """Give all rows, in the one order in which each is found."""
    last = b"", 0
    for number in range(store.root.page_count):
        page = store.page(number)
        first = page.keys[0] if page.keys else b""
        if first != store.tables.page(number).first or (number and first <= last[0]):
            raise FormatError(f"page {number} does not begin where the tables say", store=store.location)
        for place in range(len(page.keys)):
            row = page.row(place)
            if row.order <= last:
                raise FormatError("row occurs twice or in the wrong place", store=store.location, member=row.path)
            last = row.order
            check_name(row.path)
            yield row


def _check_contents(store: BundleStore, rows: list[Row]) -> None:
    """Check each block, and the digest of each content."""
    in_blocks: dict[int, list[Row]] = {}
    for row in rows:
        if row.kind == FILE and row.size:
            in_blocks.setdefault(row.block, []).append(row)
        elif row.kind == FILE:
            _check_digest(store, row, digest.digest(b""))
    for number in sorted({*range(store.root.blocks), *in_blocks}):
        _check_block(store, number, in_blocks.get(number, []))


def _check_block(store: BundleStore, number: int, rows: list[Row]) -> None:
    """Check a block and the contents in it; rows that share a content share the check."""
    raw = store.block(number)
    place, found = (0, 0), b""
    for row in sorted(rows, key=lambda row: (row.offset, row.size)):
        if (row.offset, row.size) != place:
            if row.offset < sum(place):
                raise FormatError("contents overlap", store=store.location, member=row.path)
            place, found = (row.offset, row.size), digest.digest(store.part(row, raw))
        _check_digest(store, row, found)


def _check_digest(store: BundleStore, row: Row, found: bytes) -> None:
    if row.digest != found:
        raise IntegrityError("content differs from its digest", store=store.location, member=row.path)


def _check_folders(store: BundleStore, rows: list[Row]) -> None:
    folders = {(row.path, row.layer) for row in rows if row.kind == FOLDER}
    if folders != folders_of(row for row in rows if row.kind == FILE):
        raise FormatError("folders of the index are not those of its members", store=store.location)
    if any(row.kind == FOLDER and (row.size or row.block or row.offset or any(row.digest)) for row in rows):
        raise FormatError("folder has a content", store=store.location)
