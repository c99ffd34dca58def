"""The index of a bundle: rows sorted by folder, then name, cut into pages.

So what a program imports lies close together: a lookup loads one page, a folder's list those that its children are in.
"""

from __future__ import annotations

import struct
from _bisect import bisect_left  # `bisect` itself is one module more

from archimport.runtime.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FILE, FOLDER = 0, 1
MAX_PAGE = 1 << 24
_RECORD = struct.Struct("<BBIII32s")
_COUNT = 4


class Row:
    """One member: its content is `size` bytes at `offset` of the raw bytes of `block`; a FOLDER has none.

    `layer` is 0 for every target, else the number of the layer it belongs to.
    """

    __slots__ = ("block", "digest", "kind", "layer", "offset", "path", "size")

    def __init__(
        self, path: str, kind: int, layer: int, block: int = 0, offset: int = 0, size: int = 0, digest: bytes = b""
    ) -> None:
        self.path = path
        self.kind = kind
        self.layer = layer
        self.block = block
        self.offset = offset
        self.size = size
        self.digest = digest

    @property
    def order(self) -> tuple[bytes, int]:
        """By what rows are sorted."""
        return key_of(self.path), self.layer

    def pack(self) -> bytes:
        """Give the record: all but the path."""
        return _RECORD.pack(self.kind, self.layer, self.block, self.offset, self.size, self.digest)


def key_of(path: str) -> bytes:
    r"""Give the key of a path: its folder and its name with a line end between them, which is in no path.

    >>> key_of("pkg/mod.py")
    b'pkg\nmod.py'
    """
    folder, _, name = path.rpartition("/")
    return f"{folder}\n{name}".encode("utf-8", "surrogatepass")


def path_of(key: bytes) -> str:
    """Give the path of a key; FormatError if that is no text."""
    try:
        folder, _, name = key.decode().partition("\n")
    except UnicodeDecodeError:
        raise FormatError(f"path is no text: {key!r}") from None
    return f"{folder}/{name}" if folder else name


class Page:
    """A page that was verified: its keys are sorted, and each has a record."""

    __slots__ = ("_numbers", "_raw", "_records", "keys")

    def __init__(self, raw: bytes) -> None:
        count = int.from_bytes(raw[:_COUNT], "little")
        self._raw = raw
        self._records = len(raw) - count * _RECORD.size
        if self._records <= _COUNT:
            raise FormatError("page of the index is damaged")
        if raw.count(b"\0", _COUNT, self._records) != count + 1:
            raise FormatError("page of the index is damaged")
        first, *keys, last = raw[_COUNT : self._records].split(b"\0")
        if first or last or keys != sorted(keys):
            raise FormatError("page of the index is damaged")
        self.keys = keys
        self._numbers = dict(zip(keys, range(count), strict=True))

    def rows(self, path: str, key: bytes) -> list[Row]:
        """Give the rows of a path, by its key; the highest layer first."""
        number = self._numbers.get(key, -1)
        found: list[Row] = []
        while number >= 0 and self.keys[number] == key:
            row = self._row(number, path)
            if found and row.layer >= found[-1].layer:
                raise FormatError("page of the index is not sorted")
            found.append(row)
            number -= 1
        return found

    def rows_below(self, prefix: bytes) -> Iterator[Row]:
        """Return the rows whose keys begin with a prefix; they follow each other."""
        number = bisect_left(self.keys, prefix)
        while number < len(self.keys) and self.keys[number].startswith(prefix):
            yield self.row(number)
            number += 1

    def row(self, number: int) -> Row:
        """Give a row by its number in the page."""
        path = path_of(self.keys[number])
        if key_of(path) != self.keys[number]:  # a name with a slash in it: no lookup would find it
            raise FormatError("page of the index is damaged", member=path)
        return self._row(number, path)

    def _row(self, number: int, path: str) -> Row:
        kind, layer, block, offset, size, content = _RECORD.unpack_from(
            self._raw, self._records + number * _RECORD.size
        )
        if kind not in (FILE, FOLDER):
            raise FormatError("page of the index is damaged")
        return Row(path, kind, layer, block, offset, size, content)


def pack_page(rows: Sequence[Row]) -> bytes:
    """Give a page: the number of rows, their keys, and their records."""
    keys = b"".join(b"\0" + key_of(row.path) for row in rows)
    return len(rows).to_bytes(_COUNT, "little") + keys + b"\0" + b"".join(row.pack() for row in rows)


def cut(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Sort rows and cut them into pages of about `size` bytes, one at least; those of one path stay together.

    FormatError for two rows of one path and layer.
    """
    page: list[Row] = []
    filled = 0
    for row in sorted(rows, key=lambda row: row.order):
        if page and page[-1].order == row.order:
            raise FormatError("member occurs twice", member=row.path)
        if filled > size and row.path != page[-1].path:
            yield page
            page, filled = [], 0
        page.append(row)
        filled += len(row.path) + 1 + _RECORD.size
    yield page


def folders_of(rows: Iterable[Row]) -> set[tuple[str, int]]:
    """Give the folders that rows lie in, each with the layers that have something in it; FormatError if one is a file.

    The root is none of them: it is always there.
    """
    found = set()
    files = set()
    for row in rows:
        if row.kind == FILE:
            files.add(row.path)
        folder = row.path.rpartition("/")[0]
        while folder and (folder, row.layer) not in found:
            found.add((folder, row.layer))
            folder = folder.rpartition("/")[0]
    for path, _ in found:
        if path in files:
            raise FormatError("member is both a file and a folder", member=path)
    return found
