"""Check all of a bundle: what opening and reading check as they go, and what only the whole shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archimport.bundle.format import HEADER_SIZE
from archimport.bundle.index import FILE, FOLDER, folders_of
from archimport.runtime import digest
from archimport.runtime.errors import FormatError, IntegrityError
from archimport.runtime.names import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archimport.bundle.index import Row
    from archimport.bundle.store import BundleStore


def verify(store: BundleStore) -> Iterator[str]:
    """Check every byte of the file and every row of the index, and give a line for each part.

    No byte belongs to nothing, each content has its digest, each row is where it is looked for and occurs once, and
    there is just the folders that files lie in: an inspector sees all that can be imported. FormatError or
    IntegrityError if not.
    """
    tail = store.header.tail
    digest.verify(store.file.read(tail, store.header.size - tail), store.root.tail_digest, "tail")
    position = HEADER_SIZE
    for number in range(store.root.blocks):
        block = store.tables.block(number)
        block.unpack(store.file.read(block.offset, block.stored))
        position = _adjacent(store, position, block.offset, block.stored)
    yield f"{store.root.blocks} blocks"
    for number in range(store.root.page_count):
        page = store.tables.page(number)
        position = _adjacent(store, position, page.offset, page.size)
    _adjacent(store, position, store.header.tables, 0)
    yield f"{store.root.page_count} pages of the index"
    rows = list(_rows(store))
    _check_contents(store, rows)
    _check_folders(store, rows)
    files = sum(row.kind == FILE for row in rows)
    if files != store.root.members:
        raise FormatError(f"index has {files} files instead of {store.root.members}", store=store.location)
    yield f"{files} files"


def _adjacent(store: BundleStore, position: int, offset: int, size: int) -> int:
    if offset != position:
        raise FormatError(f"bytes {position} to {offset} belong to nothing", store=store.location)
    return offset + size


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
    """Check each content's digest; rows that share a content share the check."""
    checked: dict[tuple[int, int, int], bytes] = {}
    for row in sorted((row for row in rows if row.kind == FILE), key=lambda row: row.block):
        place = row.block, row.offset, row.size
        if place not in checked:
            checked[place] = digest.digest(store.content(row))
        if checked[place] != row.digest:
            raise IntegrityError("content differs from its digest", store=store.location, member=row.path)


def _check_folders(store: BundleStore, rows: list[Row]) -> None:
    folders = {(row.path, row.layer) for row in rows if row.kind == FOLDER}
    if folders != folders_of(row for row in rows if row.kind == FILE):
        raise FormatError("folders of the index are not those of its members", store=store.location)
    if any(row.kind == FOLDER and (row.size or row.block or row.offset or any(row.digest)) for row in rows):
        raise FormatError("folder has a content", store=store.location)
