"""Check all of a bundle: what opening and reading check as they go, and what only the whole shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archimport.bundle import format as bundle_format
from archimport.bundle.format import FILE, FOLDER, HEADER_SIZE, Row
from archimport.runtime.digest import digest
from archimport.runtime.errors import FormatError, IntegrityError
from archimport.runtime.names import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archimport.bundle.store import BundleStore

_ALL_LAYERS = frozenset(range(256))


def verify(store: BundleStore) -> Iterator[str]:
    """Check every byte of the file and every row of the index, and give a line for each part.

    No byte belongs to nothing, each content has its digest, each row is in its page and occurs once, and the folders
    list just what can be found: an inspector sees all that can be imported. FormatError or IntegrityError if not.
    """
    position = HEADER_SIZE
    for number in range(store.root.blocks):
        block = store.tables.block(number)
        block.unpack(store.file.read(block.offset, block.stored))
        position = _adjacent(store, position, block.offset, block.stored)
    yield f"{store.root.blocks} blocks"
    for number in range(store.root.page_count):
        page = store.tables.page(number)
        position = _adjacent(store, position, page.offset, page.size)
    _adjacent(store, position, store.root.tables, 0)
    yield f"{store.root.page_count} pages of the index"
    rows = [row for number in range(store.root.page_count) for row in _rows_of_page(store, number)]
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


def _rows_of_page(store: BundleStore, number: int) -> Iterator[Row]:
    raw, _ = store.load_page(number)
    for path, places in bundle_format.read_page(raw, _ALL_LAYERS).items():
        try:
            name = path.decode()
        except UnicodeDecodeError:
            raise FormatError(f"path is no text: {path!r}", store=store.location) from None
        if bundle_format.page_number(name, store.root.page_count) != number:
            raise FormatError("member is in the wrong page", store=store.location, member=name)
        yield from (bundle_format.read_row(raw, at, check_name(name) if name else "") for at in places)


def _check_contents(store: BundleStore, rows: list[Row]) -> None:
    """Check each content's digest; rows that share a content share the check."""
    checked: dict[tuple[int, int, int], bytes] = {}
    for row in sorted(rows, key=lambda row: row.block):
        place = row.block, row.offset, row.size
        if place not in checked:
            checked[place] = digest(store.content(row))
        if checked[place] != row.digest:
            raise IntegrityError("content differs from its digest", store=store.location, member=row.path)


def _check_folders(store: BundleStore, rows: list[Row]) -> None:
    if len({(row.path, row.layer) for row in rows}) != len(rows):
        raise FormatError("a path occurs twice in the index", store=store.location)
    expected = bundle_format.children_of(rows)
    folders = {(row.path, row.layer): row for row in rows if row.kind == FOLDER}
    if folders.keys() != expected.keys():
        raise FormatError("folders of the index are not those of its members", store=store.location)
    for key, row in folders.items():
        if store.content(row) != bundle_format.listing(expected[key]):
            raise FormatError("folder does not list its children", store=store.location, member=row.path)
