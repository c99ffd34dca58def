"""A channel of a database as a store: one release, pinned."""

from __future__ import annotations

import os

from archimport.runtime.errors import ArchimportError, ConfigError, StoreUnavailable
from archimport.runtime.lock import Lock
from archimport.runtime.names import check_name
from archimport.runtime.store import Entry, Snapshot, Store
from archimport.sql import pin as pins
from archimport.sql.blobs import Blobs, grouped
from archimport.sql.startup import Startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from threading import Event

    from archimport.sql.address import Address
    from archimport.sql.database import Database, Query
    from archimport.sql.pin import Pin

#: What `mount` may ask of a database, beside what its URL may say.
OPTIONS = frozenset({"stale_ok", "writable"})
#: So many bytes are asked for at once to verify them.
_VERIFIED = 1 << 20


def open_database(address: Address) -> Database:
    """Give what reads from the database at an address: SQLite by the standard library, others by SQLAlchemy."""
    if address.engine is None and address.uri is not None:
        from archimport.sql.sqlite import SqliteDatabase

        return SqliteDatabase(address.place, address.uri, address.file)
    from archimport.sql.server import ServerDatabase

    return ServerDatabase(address)


_moving = Lock()


class _Opened(Snapshot):
    """What is read from: a `pin`, the `database` that has it, and its contents. Never changed, but replaced as one."""

    __slots__ = ("blobs", "database", "pin")

    def __init__(self, database: Database, pin: Pin) -> None:
        self.database = database
        self.pin = pin
        self.blobs = Blobs(database)

    @property
    def key(self) -> object:
        """The digest of the release's manifest."""
        return self.pin.manifest

    def versions(self) -> dict[str, object]:
        """Return the digest of each member."""
        return {entry.path: entry.digest for entry in self.pin.index.files()}


class SqlStore(Store):
    """One release of a database. What it holds never changes; `refresh` moves to the channel's newest one.

    `pinned` is the digest of the release to begin with, and the channel's serial then. A channel's serial only grows:
    a server with a smaller one is a replica that lags. Raises at opening: StoreUnavailable, FormatError for what are
    not our tables, ConfigError for an unknown channel, ReleaseGone for an unknown release.
    """

    kind = "sql"
    keeps_bytecode = False  # a release for each module that is compiled would bury those of people

    def __init__(
        self,
        address: Address,
        pinned: tuple[str, int | None] | None = None,
        *,
        writable: bool = False,
        stale_ok: bool | None = None,
    ) -> None:
        release = address.said.get("release")
        if writable and release is not None:
            raise ConfigError("a release cannot be written to", hint="mount its channel")
        self.location = address.location
        self.writable = writable
        self.address = address
        self._selector = pins.Selector(address.channel, release)
        self._stale_ok = bool(address.settings.get("stale_ok") if stale_ok is None else stale_ok)
        self._startup = Startup(self.location)
        database = open_database(address)
        self._opened = _Opened(database, self._first_pin(database, pinned))
        self._newest: bytes | None = None

    def _first_pin(self, database: Database, pinned: tuple[str, int | None] | None) -> Pin:
        """Give the release that a parent process has, from the user's cache without a statement if that has it."""
        if pinned is None:
            return self._find(database, self._selector)
        release, serial = pinned
        selector = pins.Selector(self._selector.channel, release)
        return pins.from_cache(bytes.fromhex(release), serial) or self._find(database, selector)

    def _find(self, database: Database, selector: pins.Selector) -> Pin:
        try:
            pin = database.read(selector.read)
        except StoreUnavailable:
            stale = pins.remembered(self.location) if self._stale_ok and selector.release is None else None
            if stale is None:
                raise
            return stale
        except ArchimportError as exc:
            exc.store = self.location
            raise
        if self._stale_ok and selector.release is None:
            pins.remember(self.location, pin)
        return pin

    @property
    def pin(self) -> Pin:
        """The release that is read from."""
        return self._opened.pin

    def pinned(self) -> dict[str, object]:
        """Give what makes another process open the release that this one has."""
        return {"pinned": (self.pin.manifest.hex(), self.pin.serial)}

    def lookup(self, path: str) -> Entry | None:
        """Give the entry at `path`, or None; nothing to a driver that imports while it reads."""
        opened = self._opened
        return None if opened.database.is_read_by_this_thread() else opened.pin.index.lookup(path)

    def list(self, folder: str) -> list[str]:
        """Give the sorted names of the children of `folder`."""
        return self._opened.pin.index.list(folder)

    def read(self, entry: Entry) -> bytes:
        """Give the content of a member; ReleaseGone, StoreUnavailable or IntegrityError if that cannot be."""
        self._startup.note(entry.path)
        return self.read_once(entry)

    def read_once(self, entry: Entry) -> bytes:
        """Give the content of a member, and do not think of it at the next start."""
        opened, startup = self._opened, self._startup
        index = opened.pin.index
        try:
            return opened.blobs.read(entry, startup.known(index), startup.near(index, entry.path))
        except ArchimportError as exc:
            exc.store, exc.member = self.location, entry.path
            raise

    def write(self, path: str, data: bytes) -> None:
        """Publish a release that differs from the pinned one in `path`, and pin it.

        ConflictError if the channel has moved since the release was pinned; then nothing is written.
        """
        if not self.writable:
            raise ConfigError("the database is mounted read-only", store=self.location, hint="mount it writable=True")
        from archimport.sql.writer import derive  # deferred: reading a SQLite database needs no SQLAlchemy

        opened = self._opened
        pin = derive(self.address, self._selector.channel, opened.pin, check_name(path), data)
        self._opened = _Opened(opened.database, pin)

    def move(self) -> None:
        """Move to the channel's newest release; one that was mounted by its name stays."""
        while True:
            before = self._opened
            database = before.database.current()
            pin = self._find(database, self._selector)
            is_behind = not database.local and pins.is_older(pin.serial, before.pin.serial)
            opened = before if is_behind else _Opened(database, pin)
            with _moving:
                if self._opened is before:  # else another thread moved meanwhile, perhaps further
                    self._opened = opened
                    return

    def snapshot(self) -> Snapshot:
        """Return the release that is pinned now."""
        return self._opened

    def restore(self, snapshot: Snapshot | None) -> None:
        """Pin the release of a snapshot again."""
        if isinstance(snapshot, _Opened):
            self._opened = snapshot

    def expect(self, entries: Iterable[Entry]) -> None:
        """Fetch contents that will be read soon, in a statement for each 900."""
        self._opened.blobs.expect(entries)

    def newest(self) -> object:
        """Say which release the channel points to, if it is not the pinned one."""
        self._newest = self._opened.database.current().read(self._find_newer)
        return self._newest

    def _find_newer(self, query: Query) -> bytes | None:
        opened = self._opened
        manifest, serial = self._selector.head(query)
        is_behind = not opened.database.local and pins.is_older(serial, opened.pin.serial)
        return None if is_behind or manifest == opened.pin.manifest else manifest

    def wait(self, seconds: float, stopped: Event) -> None:
        """Wait for the time, or for the publisher's word where the database passes it on."""
        newest = self._newest
        self._opened.database.wait(seconds, stopped, lambda query: self._find_newer(query) != newest)

    def describe(self) -> dict[str, object]:
        """Give channel, release and size."""
        pin = self.pin
        files = pin.index.files()
        file = self.address.file
        return {
            **({"size": os.path.getsize(file)} if file and os.path.exists(file) else {}),
            "channel": self._selector.channel,
            "serial": pin.serial,
            "release": pin.number,
            "digest": pin.manifest.hex(),
            "members": len(files),
            "content": sum(entry.size for entry in files),
            "runs": "__main__.py" in pin.index.paths,
        }

    def verify(self) -> Iterator[str]:
        """Read the release's contents from the database, past the user's cache."""
        opened = self._opened
        files = opened.pin.index.files()
        contents = {(entry.digest, entry.size): entry for entry in files}.values()
        for batch in grouped(((entry, entry.size) for entry in contents), _VERIFIED):
            self._check(batch, opened.blobs)
        yield f"release {opened.pin.number}: {len(files)} files"

    def _check(self, batch: Collection[Entry], blobs: Blobs) -> None:
        found = blobs.fetch(batch)
        for entry in batch:
            content = found[entry.digest or b""]
            if isinstance(content, ArchimportError):
                content.store, content.member = self.location, entry.path
                raise content

    def close(self) -> None:
        """Close the connection, and keep what start-up read for the next time."""
        self._startup.save()
        self._opened.database.close()
