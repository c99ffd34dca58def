"""Contents in batches: round trips are what a database costs, so what will be asked for next comes along.

What a program read the last time comes with the first of it, and nothing else. Where that is not known, neighbours of
what is asked for come, in batches that grow while the network is quick and shrink before a statement is out of time.
"""

from __future__ import annotations

import time
from itertools import islice

from archimport.runtime import cache, codec
from archimport.runtime.digest import digest
from archimport.runtime.errors import ArchimportError, FormatError, IntegrityError, ReleaseGone
from archimport.sql.schema import MAX_BATCH, PART_SIZE, select_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeVar

    from archimport.runtime.store import Entry
    from archimport.sql.database import Database, Query, Rows

    Item = TypeVar("Item")

_MIB = 1 << 20
#: How many bytes come unasked, one number after the other; statements to a local database cost too little to go on.
_FAR, _NEAR = (_MIB // 4, _MIB, 4 * _MIB, 16 * _MIB), (_MIB, 4 * _MIB, 0)
#: In seconds: the next number after a batch that took less, the one before after a batch that took more.
_QUICK, _SLOW = 1.0, 4.0
#: How many members are thought of: to look for each in the user's cache takes time too.
_MOST_LIKELY = 4096
#: When more bytes than these wait for being asked for, they are let go before more come.
_MOST_READY = 16 * _MIB
#: So many bytes of what is expected are asked for in one statement.
_EXPECTED = 4 * _MIB
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
        self._expected: dict[bytes, bytes] = {}
        self._sizes = _NEAR if database.local else _FAR
        self._step = self._sizes.index(_MIB)

    def read(self, entry: Entry, known: Iterable[Entry], guessed: Iterable[Entry]) -> bytes:
        """Give the verified content of `entry`; what is `known` to be read next comes too, then what is `guessed`."""
        key = entry.digest or b""
        content = self._expected.get(key) or self._ready.get(key)
        if content is None and not self._database.local:
            content = cache.get(_CACHED, key.hex(), expected=key)
        if content is None:
            content = self._read_batch(entry, known, guessed)
        if len(content) > _SMALL:
            self._ready.pop(key, None)
        return content

    def expect(self, entries: Iterable[Entry]) -> None:
        """Hold the contents of entries that are neither here nor in the user's cache until something else is expected.

        What is wrong with one is raised when it is read.
        """
        wanted = {entry.digest: entry for entry in entries if not self._has(entry.digest or b"")}
        groups = grouped(((entry, entry.size) for entry in wanted.values()), _EXPECTED)
        contents = (content for group in groups for content in self.fetch(group).items())
        self._expected = {key: content for key, content in contents if isinstance(content, bytes)}

    def _read_batch(self, entry: Entry, known: Iterable[Entry], guessed: Iterable[Entry]) -> bytes:
        start = time.monotonic()
        found = self.fetch(self._choose(entry, known, guessed), entry)
        self._adapt(time.monotonic() - start)
        wanted = found[entry.digest or b""]
        if isinstance(wanted, ArchimportError):
            raise wanted
        if sum(map(len, list(self._ready.values()))) > _MOST_READY:
            self._ready.clear()
        self._ready.update({key: content for key, content in found.items() if isinstance(content, bytes)})
        return wanted

    def fetch(self, wanted: Iterable[Entry], needed: Entry | None = None) -> dict[bytes, bytes | ArchimportError]:
        """Return the verified contents of entries by digest, or what is wrong with one: it harms no other.

        ReleaseGone if the `needed` one is not there, StoreUnavailable where it may come yet.
        """
        wanted = list(wanted)

        def select_needed(query: Query) -> dict[bytes, bytes | ArchimportError]:
            contents = select(query, wanted)
            content = contents[needed.digest or b""] if needed else None
            if isinstance(content, ReleaseGone):
                raise content
            return contents

        contents = self._database.read(select_needed)
        if not self._database.local:
            for key, content in contents.items():
                if isinstance(content, bytes):
                    cache.put(_CACHED, key.hex(), content)
        return contents

    def _choose(self, entry: Entry, known: Iterable[Entry], guessed: Iterable[Entry]) -> list[Entry]:
        chosen = {entry.digest: entry}
        unasked = self._sizes[self._step]
        self._add(chosen, known, _MOST_READY if self._database.local else unasked)
        self._add(chosen, guessed, unasked)
        return list(chosen.values())

    def _add(self, chosen: dict[bytes | None, Entry], likely: Iterable[Entry], most: int) -> None:
        room = most - sum(entry.size for entry in chosen.values())
        if room <= 0:
            return
        for entry in islice(likely, _MOST_LIKELY):
            if len(chosen) == MAX_BATCH:
                return
            if entry.size <= room and entry.digest not in chosen and not self._has(entry.digest or b""):
                chosen[entry.digest] = entry
                room -= entry.size

    def _has(self, key: bytes) -> bool:
        return key in self._ready or (not self._database.local and cache.has(_CACHED, key.hex()))

    def _adapt(self, seconds: float) -> None:
        if seconds < _QUICK or self._database.local:
            self._step = min(self._step + 1, len(self._sizes) - 1)
        elif seconds > _SLOW:
            self._step = max(self._step - 1, 0)


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
    except IntegrityError as exc:
        raise IntegrityError(f"content {key[:12]} is damaged: {exc.message}") from exc
    if digest(content).hex() != key:
        raise IntegrityError(f"content {key[:12]} is damaged")
    return content


def split(stored: bytes) -> list[bytes]:
    """Cut what is stored into the parts of its rows; one part, perhaps empty, at least."""
    return [stored[start : start + PART_SIZE] for start in range(0, len(stored), PART_SIZE)] or [b""]


def grouped(sized: Iterable[tuple[Item, int]], most: int) -> Iterator[list[Item]]:
    """Give items, each with its size, in groups for a statement: of `most` bytes, or of one item that is larger."""
    group: list[Item] = []
    total = 0
    for item, size in sized:
        if group and (total + size > most or len(group) == MAX_BATCH):
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group
