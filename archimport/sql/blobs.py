"""Contents in batches: round trips are what a database costs, so what is likely to be asked for next comes along.

What a program read the last time comes first, then the neighbours of what is asked for, then the rest; each batch is
allowed four times the one before, so that few statements fetch any program, and little more than it needs.
"""

from __future__ import annotations

from archimport.runtime import cache, codec
from archimport.runtime.digest import digest
from archimport.runtime.errors import ArchimportError, FormatError, IntegrityError, ReleaseGone
from archimport.sql.schema import MAX_BATCH, PART_SIZE, select_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from archimport.runtime.store import Entry
    from archimport.sql.database import Database, Query, Rows

_FIRST_BATCH = 1 << 20
_GROWTH = 4
#: What a slow network brings within the time limit of a statement.
_LARGEST_BATCH = 16 << 20
#: What is not larger stays when it was read: small files are often alike.
_SMALL = 4096
#: How a content is stored.
_CODECS = {"stored": codec.stored, "deflate": codec.deflate}
#: What the user's cache calls contents by digest.
_CACHED = "content"


class Blobs:
    """The contents in a database, by entry. Those of a remote one are kept in the user's cache."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready: dict[bytes, bytes] = {}
        self._batch = _FIRST_BATCH

    def read(self, entry: Entry, likely: Iterable[Entry]) -> bytes:
        """Give the verified content of `entry`, and fetch with it what comes first of `likely`."""
        key = entry.digest or b""
        content = self._ready.get(key)
        if content is None:
            content = None if self._database.local else cache.get(_CACHED, key.hex(), expected=key)
        if content is None:
            found = self.fetch(self._choose(entry, likely))
            wanted = found[key]
            self._ready.update({other: content for other, content in found.items() if isinstance(content, bytes)})
            if isinstance(wanted, ArchimportError):
                raise wanted
            content = wanted
        if len(content) > _SMALL:
            self._ready.pop(key, None)
        return content

    def fetch(self, wanted: Iterable[Entry]) -> dict[bytes, bytes | ArchimportError]:
        """Give the verified contents of entries by digest, or what is wrong with one: it harms no other."""
        wanted = list(wanted)
        contents = self._database.read(lambda query: select(query, wanted))
        if not self._database.local:
            for key, content in contents.items():
                if isinstance(content, bytes):
                    cache.put(_CACHED, key.hex(), content)
        return contents

    def _choose(self, entry: Entry, likely: Iterable[Entry]) -> list[Entry]:
        chosen = {entry.digest: entry}
        room = self._batch - entry.size
        self._batch = min(self._batch * _GROWTH, _LARGEST_BATCH)
        for other in likely:
            key = other.digest
            if key is None or key in chosen or key in self._ready or other.size > room:
                continue
            if not self._database.local and cache.has(_CACHED, key.hex()):
                continue
            chosen[key] = other
            room -= other.size
            if len(chosen) == MAX_BATCH:
                break
        return list(chosen.values())


def select_one(query: Query, wanted: Entry) -> bytes:
    """Give the verified content of an entry; ReleaseGone, FormatError or IntegrityError if that cannot be."""
    (content,) = select(query, [wanted]).values()
    if isinstance(content, ArchimportError):
        raise content
    return content


def select(query: Query, wanted: Iterable[Entry]) -> dict[bytes, bytes | ArchimportError]:
    """Give the verified contents of entries by digest, or what is wrong with one, in a statement for each 900."""
    sizes = {entry.digest or b"": entry.size for entry in wanted}
    keys = list(sizes)
    contents: dict[bytes, bytes | ArchimportError] = {}
    for start in range(0, len(keys), MAX_BATCH):
        named: dict[str, object] = {
            f"d{number}": key.hex() for number, key in enumerate(keys[start : start + MAX_BATCH])
        }
        parts: dict[str, Rows] = {}
        for row in query(select_blobs(len(named)), named):
            parts.setdefault(str(row[0]), []).append(row)
        for key in keys[start : start + MAX_BATCH]:
            try:
                contents[key] = _content(key.hex(), parts.get(key.hex(), []), sizes[key])
            except ArchimportError as exc:
                contents[key] = exc
    return contents


def _content(key: str, rows: Rows, size: int) -> bytes:
    """Put the parts of a content together, and verify it."""
    if not rows:
        raise ReleaseGone(f"content {key[:12]} is no longer in the database", hint="refresh() or restart")
    try:
        rows = sorted(rows, key=lambda row: int(row[1]))  # type: ignore[call-overload]  # whatever a database gives
        decode = _CODECS[str(rows[0][2])]
        stored = b"".join(row[3] for row in rows)  # type: ignore[misc]  # ditto
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise FormatError(f"content {key[:12]} is stored in an unknown way") from exc
    try:
        content = decode(stored, size)
    except ArchimportError as exc:
        raise IntegrityError(f"content {key[:12]} is damaged: {exc.message}") from exc
    if digest(content).hex() != key:
        raise IntegrityError(f"content {key[:12]} is damaged")
    return content


def split(stored: bytes) -> list[bytes]:
    """Cut what is stored into the parts of its rows; one part, perhaps empty, at least."""
    return [stored[start : start + PART_SIZE] for start in range(0, len(stored), PART_SIZE)] or [b""]
