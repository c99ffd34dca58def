"""A channel of a database as a store: one release, pinned."""

from __future__ import annotations

from archimport.runtime.bytecode import cached_member
from archimport.runtime.errors import ArchimportError, ConfigError, StoreUnavailable
from archimport.runtime.names import check_name
from archimport.runtime.store import Changes, Entry, Store
from archimport.sql import pin as pins
from archimport.sql import schema
from archimport.sql.blobs import Blobs, grouped
from archimport.sql.startup import Startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event

    from archimport.sql.address import Address
    from archimport.sql.database import Database
    from archimport.sql.pin import Pin

#: What `mount` may ask of a database.
OPTIONS = frozenset({"channel", "release", "stale_ok", "writable"})
#: So many bytes are asked for at once to verify them.
_VERIFIED = 1 << 20


def open_store(address: Address, pinned: str | None = None, **options: object) -> SqlStore:
    """Open a channel of the database at an address; `pinned` is the digest of the release to begin with.

    `options` win over the host's configuration; ConfigError where they say again what the URL says.
    """
    said = {key: value for key, value in address.said.items() if key in OPTIONS}
    for key in said.keys() & options.keys():
        raise ConfigError(f"the URL and an option both name a {key}", store=address.place)
    settings = {key: value for key, value in address.settings.items() if key in OPTIONS}
    chosen = {"channel": schema.MAIN, **settings, **said, **options}
    return SqlStore(address, pinned, **chosen)  # type: ignore[arg-type]  # their names were checked


def open_database(address: Address) -> Database:
    """Give what reads from the database at an address: SQLite by the standard library, others by SQLAlchemy."""
    if address.engine is None and address.uri is not None:
        from archimport.sql.sqlite import SqliteDatabase

        return SqliteDatabase(address.place, address.uri, address.file)
    from archimport.sql.server import ServerDatabase

    return ServerDatabase(address)


class SqlStore(Store):
    """One release of a database. What it holds never changes; `refresh` moves to the channel's newest one.

    Raises at opening: StoreUnavailable, FormatError for what are not our tables, ConfigError for an unknown channel,
    ReleaseGone for an unknown release.
    """

    kind = "sql"
    keeps_bytecode = False  # a release for each module that is compiled would bury those of people

    def __init__(
        self,
        address: Address,
        pinned: str | None = None,
        *,
        channel: str,
        release: str | int | None = None,
        writable: bool = False,
        stale_ok: bool = False,
    ) -> None:
        if writable and release is not None:
            raise ConfigError("a release cannot be written to", hint="mount its channel")
        self.location = address.location(channel)
        self.writable = writable
        self.address = address
        self._selector = pins.Selector(channel, release)
        self._stale_ok = stale_ok
        self._database = open_database(address)
        self._blobs = Blobs(self._database)
        self._startup = Startup(self.location)
        self._pin = self._first_pin(pinned)

    def _first_pin(self, pinned: str | None) -> Pin:
        """Give the release that a parent process has, from the user's cache without a statement if that has it."""
        if pinned is None:
            return self._find(self._selector)
        return pins.from_cache(bytes.fromhex(pinned)) or self._find(pins.Selector(self._selector.channel, pinned))

    def _find(self, selector: pins.Selector) -> Pin:
        try:
            pin = self._database.read(selector.read)
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
        return self._pin

    def pinned(self) -> dict[str, object]:
        """Give what makes another process open the release that this one has."""
        return {"pinned": self._pin.manifest.hex()}

    def lookup(self, path: str) -> Entry | None:
        """Give the entry at `path`, or None; nothing to a driver that imports while it reads."""
        return None if self._database.is_read_by_this_thread() else self._pin.index.lookup(path)

    def list(self, folder: str) -> list[str]:
        """Give the sorted names of the children of `folder`."""
        return self._pin.index.list(folder)

    def read(self, entry: Entry) -> bytes:
        """Give the content of a member; ReleaseGone, StoreUnavailable or IntegrityError if that cannot be."""
        self._startup.note(entry.path)
        try:
            return self._blobs.read(entry, self._entries(self._startup.last()), self._entries(self._near(entry.path)))
        except ArchimportError as exc:
            exc.store, exc.member = self.location, entry.path
            raise

    def _entries(self, paths: Iterable[str]) -> Iterator[Entry]:
        """Give the entries of those members that were not read yet."""
        files, startup = self._pin.index, self._startup
        for path in paths:
            if path in files.paths and not startup.was_read(path):
                yield files.lookup(path)  # type: ignore[misc]  # it has it

    def _near(self, path: str) -> Iterator[str]:
        """Give what lies near a member; nothing if this program read that the last time: then the rest is known."""
        if path in self._startup.last():
            return
        package = f"{path.partition('/')[0]}/"
        is_code = path.endswith((".py", ".pyc"))
        for is_near in (True, False):
            for other in self._pin.index.paths:
                if other.startswith(package) is is_near and (not is_code or other.endswith(".py")):
                    yield self._code_of(other) if is_code else other

    def _code_of(self, path: str) -> str:
        """Give what an import of a source reads: its bytecode, where there is some for this Python."""
        cached = cached_member(path)
        return cached if cached is not None and cached in self._pin.index.paths else path

    def write(self, path: str, data: bytes) -> None:
        """Publish a release that differs from the pinned one in `path`, and pin it.

        ConflictError if the channel has moved since the release was pinned; then nothing is written.
        """
        if not self.writable:
            raise ConfigError("the database is mounted read-only", store=self.location, hint="mount it writable=True")
        from archimport.sql.writer import derive  # deferred: reading a SQLite database needs no SQLAlchemy

        derive(self.address, self._selector.channel, self._pin, check_name(path), data)
        self._pin = self._find(self._selector)

    def refresh(self) -> Changes:
        """Move to the channel's newest release, and give what changed; a release mounted by its name stays."""
        go_back = self._database.hold()
        self._database.reopen()
        before = self._pin
        try:
            self._pin = self._find(self._selector)
        except ArchimportError:
            go_back()
            raise
        return Changes(_digests(before), _digests(self._pin))

    def hold(self) -> Callable[[], None]:
        """Give a function that pins again the release that is pinned now."""
        pin, reopen = self._pin, self._database.hold()

        def go_back() -> None:
            reopen()
            self._pin = pin

        return go_back

    def newest(self) -> object:
        """Say which release the channel points to, if it is not the pinned one."""
        go_back = self._database.hold()
        self._database.reopen()
        try:
            found = self._database.read(self._selector.manifest)
        finally:
            go_back()
        return None if found == self._pin.manifest else found

    def wait(self, seconds: float, stopped: Event) -> None:
        """Wait for the time, or for the publisher's word where the database passes it on."""
        self._database.wait(seconds, stopped)

    def describe(self) -> dict[str, object]:
        """Give channel, release and size."""
        files = self._pin.index.files()
        return {
            "channel": self._selector.channel,
            "serial": self._pin.serial,
            "release": self._pin.number,
            "digest": self._pin.manifest.hex(),
            "members": len(files),
            "content": sum(entry.size for entry in files),
            "runs": "__main__.py" in self._pin.index.paths,
        }

    def verify(self) -> Iterator[str]:
        """Read the release's contents from the database, past the user's cache."""
        files = self._pin.index.files()
        for batch in grouped(((entry, entry.size) for entry in files), _VERIFIED):
            found = self._blobs.fetch(batch)
            for entry in batch:
                content = found[entry.digest or b""]
                if isinstance(content, ArchimportError):
                    content.store, content.member = self.location, entry.path
                    raise content
        yield f"release {self._pin.number}: {len(files)} files"

    def close(self) -> None:
        """Close the connection, and keep what start-up read for the next time."""
        self._startup.save()
        self._database.close()


def _digests(pin: Pin) -> dict[str, object]:
    return {entry.path: entry.digest for entry in pin.index.files()}
