"""Finding a release: in the database, or in what the user's cache keeps of it."""

from __future__ import annotations

import os

from archimport.runtime import cache
from archimport.runtime.digest import DIGEST_SIZE, digest
from archimport.runtime.errors import ConfigError, FormatError, LimitError, ReleaseGone
from archimport.runtime.store import Entry
from archimport.runtime.unit import digest_of
from archimport.sql import schema
from archimport.sql.blobs import select_one
from archimport.sql.manifest import MAX_MANIFEST, ManifestIndex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.sql.database import Query

_MANIFESTS = "manifest"
_POINTERS = "pointer"


class Pin:
    """A release that was found: its `number`, the `manifest`'s digest, the channel's `serial`, and the `index`.

    `number` and `serial` are None where the database was not asked.
    """

    __slots__ = ("index", "manifest", "number", "serial")

    def __init__(self, index: ManifestIndex, key: bytes, number: int | None = None, serial: int | None = None) -> None:
        self.manifest = key
        self.index = index
        self.number = number
        self.serial = serial


class Selector:
    """Which release is meant: the newest of a `channel`, one by number, or one by the digest of its manifest."""

    def __init__(self, channel: str, release: object = None) -> None:
        self.channel = channel
        self.release = release
        text = str(release)
        self._parameters: dict[str, object] = {"channel": channel}
        self._statement = schema.CHANNEL_HEAD
        if release is None:
            return
        if text.isdecimal() and len(text) < 19:
            self._statement = schema.RELEASE_BY_NUMBER
            self._parameters["release"] = int(text)
        elif len(text) == 2 * DIGEST_SIZE and not text.strip("0123456789abcdef"):
            self._statement = schema.RELEASE_BY_DIGEST
            self._parameters["release"] = text
        else:
            raise ConfigError(f"not a release: {text[:70]!r}", hint="it is a number, or the digest of a manifest")

    def read(self, query: Query) -> Pin:
        """Read the pointer and, if the user's cache has it not, the manifest: two statements of one connection."""
        entry, number, serial = self._head(query)
        if not 0 <= entry.size <= MAX_MANIFEST:
            raise LimitError(f"no manifest has {entry.size} bytes")
        key = entry.digest or b""
        index = _index_from_cache(key)
        if index is None:
            content = select_one(query, entry)
            index = ManifestIndex(content)
            cache.put(_MANIFESTS, key.hex(), content)
        return Pin(index, key, number, serial)

    def head(self, query: Query) -> tuple[bytes, int | None]:
        """Read the digest of the manifest and the channel's serial alone: one statement."""
        entry, _, serial = self._head(query)
        return entry.digest or b"", serial

    def _head(self, query: Query) -> tuple[Entry, int, int | None]:
        rows = query(self._statement, self._parameters)
        if not rows:
            raise FormatError("no modules were published here", hint="archimport publish does")
        if len(rows) > 1:
            raise FormatError("the tables say two versions")
        version, channel, serial, number, key, size = rows[0]
        if version != schema.VERSION:
            said = f"{version!r}"[:20]
            raise FormatError(f"the tables have version {said}, not {schema.VERSION}", hint="archimport upgrade")
        if self.release is None and channel != self.channel:  # a collation may know no case
            raise ConfigError(f"there is no channel {self.channel!r}", hint="archimport channels lists them")
        if number is None:
            raise ReleaseGone(f"there is no release {self.release!r}", hint="archimport log lists them")
        try:
            entry = Entry("", size=int(str(size)), digest=digest_of(str(key)))
            return entry, int(str(number)), None if serial is None else int(str(serial))
        except ValueError as exc:
            raise FormatError("the pointer to the release is damaged") from exc


def from_cache(key: bytes, serial: int | None = None) -> Pin | None:
    """Give the release with that manifest, if the user's cache has it."""
    index = _index_from_cache(key)
    return Pin(index, key, serial=serial) if index is not None else None


def is_older(serial: int | None, than: int | None) -> bool:
    """Return whether a serial is older than another one, None older than all: the database did not say it."""
    return than is not None and (serial is None or serial < than)


def _index_from_cache(key: bytes) -> ManifestIndex | None:
    """Give the index of a manifest that was checked before it was kept."""
    content = cache.get(_MANIFESTS, key.hex(), key)
    return ManifestIndex(content, is_checked=True) if content is not None else None


def remember(location: str, pin: Pin) -> None:
    """Keep which release a location led to, for when the database is down."""
    cache.put(_POINTERS, digest(os.fsencode(location)).hex(), pin.manifest)


def remembered(location: str) -> Pin | None:
    """Give the release that a location led to the last time."""
    key = cache.get(_POINTERS, digest(os.fsencode(location)).hex())
    return from_cache(key) if key is not None else None
