"""Which stores are open, and how a path entry leads to one.

A store is kept under its location, so that loaders outlive their finders and every spelling of a path leads to one
object. What opens which scheme is a table; rows by others come from `register_scheme` and from the entry-point group
`archimport.stores`.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from _weakref import ref

from archimport.runtime.errors import ArchimportError, ConfigError, FormatError, StoreUnavailable
from archimport.runtime.file import unavailable
from archimport.runtime.location import VIRTUAL, split_file, split_scheme
from archimport.runtime.magic import APPLICATION_ID, APPLICATION_ID_OFFSET, BUNDLE_MAGIC, BUNDLE_MAGIC_OFFSET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from archimport.runtime.store import Store

    class StoreModule(Protocol):
        """What the `store` module of a kind of file offers."""

        OPTIONS: frozenset[str]

        def open_store(self, path: str, **options: object) -> Store:
            """Open the file at `path`."""


#: The first bytes of a file say what it is: (kind, offset, what stands there, whether a bare path entry means it).
_MAGICS = (
    ("bundle", BUNDLE_MAGIC_OFFSET, BUNDLE_MAGIC, True),
    ("sql", APPLICATION_ID_OFFSET, APPLICATION_ID, True),
    ("sql", 0, b"SQLite format 3\0", False),
    ("zip", 0, b"PK\x03\x04", False),
    ("zip", 0, b"PK\x05\x06", False),
    ("zip", 0, b"#!", False),  # a zip that runs; the zip's own parser decides
)
_FILE_KINDS = frozenset(("bundle", "zip"))
#: Schemes of URLs that SQLAlchemy reads, without `+driver`, and `sql` for what the host's configuration names.
_DATABASES = frozenset(("sql", "sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle"))
_SNIFFED = 256


class Request:
    """How to open what a path entry names: `open(**options)` gives the store, `folder` the folder inside it.

    `key(options)` is equal for equal stores, since a container may hold several, and gives the options that do not
    choose among them. `source` names it from any folder and in any process; None if nothing can.
    """

    __slots__ = ("folder", "key", "open", "source")

    def __init__(
        self,
        key: Callable[[dict[str, object]], tuple[str, dict[str, object]]],
        open_it: Callable[..., Store],
        source: str | None,
        folder: str = "",
    ) -> None:
        self.key = key
        self.open = open_it
        self.source = source
        self.folder = folder


class Registry:
    """The stores that are open in this process, the schemes it knows, and the opens that failed.

    Nothing is opened or imported while its lock is held, and it is new in a forked child.
    """

    def __init__(self) -> None:
        self._held: dict[str, Store] = {}
        self._alive: dict[str, ref[Store]] = {}
        self._by_key: dict[str, tuple[Store, dict[str, object]]] = {}
        self._openers: dict[str, Callable[..., Store]] = {}
        self._unknown: set[str] = set()
        self._failed: dict[str, ArchimportError] = {}
        self._lock = allocate_lock()

    def register(self, scheme: str, opener: Callable[..., Store]) -> None:
        """Let path entries `scheme:…` be opened by `opener(entry, **options)`; ConfigError if it is none."""
        if split_scheme(f"{scheme}:") is None or scheme in _FILE_KINDS or scheme in _DATABASES:
            raise ConfigError(f"not a scheme that can be registered: {scheme!r}")
        self._openers[scheme] = opener
        self._unknown.discard(scheme)

    def locate(self, entry: str) -> tuple[Store, str] | None:
        """Give the open store in which a location-shaped path entry lies, and the folder in it.

        A store that was discarded still serves the folders of packages that were loaded from it.
        """
        try:
            path = os.path.abspath(entry)
        except OSError:  # the current folder is gone
            return None
        found: tuple[Store, str] | None = None
        for location, alive in tuple(self._alive.items()):
            store = alive()
            behind = path[len(location) :]
            if store is None or not path.startswith(location) or behind[:1] not in (os.sep, "/", ""):
                continue
            folder = behind[1:].replace(os.sep, "/")
            if (folder or location in self._held) and (found is None or len(found[0].location) < len(location)):
                found = store, folder
        return found

    def recognise(self, entry: str, *, bare: bool) -> Request | None:
        """Give how to open `entry`, or None if it is somebody else's; with `bare`, a plain zip is zipimport's.

        Reads at most the first bytes of one regular file. ConfigError for a URL that is ours and cannot be right.
        """
        split = split_scheme(entry)
        if split is None:
            return _recognise_file(entry, bare=bare)
        scheme, rest = split
        if scheme in _FILE_KINDS:
            if not rest.startswith("/") or (rest.startswith("//") and not rest.startswith("///")):
                raise ConfigError(f"a {scheme!r} URL names an absolute path", hint=f"write {scheme}:///folder/file")
            path = "/" + rest.lstrip("/")
            return _file_request(scheme, *(split_file(path) or (os.path.realpath(path), "")))
        if scheme.partition("+")[0] in _DATABASES:
            return _database_request(entry)
        opener = self._openers.get(scheme)
        if opener is None and scheme not in self._unknown:
            opener = _opener_by_others(scheme)
        if opener is None:
            if scheme not in self._unknown and _is_dialect_by_others(scheme):
                return _database_request(entry)
            self._unknown.add(scheme)
            return None
        from archimport.runtime.secrets import refuse_secrets  # deferred: most path entries are no URLs

        refuse_secrets(entry)
        self._openers[scheme] = opener
        return Request(lambda options: (entry, options), lambda **options: opener(entry, **options), entry)

    def open(
        self, request: Request, options: dict[str, object] | None = None, pinned: dict[str, object] | None = None
    ) -> Store:
        """Give the store of a request, opened if it is not open yet; raises what opening raises.

        Without `options`, as a hook asks, a store that is open with other ones is as good, and a failure is raised
        again until `invalidate`: a hook is called for every import. With them the store is used in just that way.
        `pinned` is what another process says of the content that it has (`Store.pinned`).
        """
        key, others = request.key(options or {})
        used = None if options is None else others
        known = self._known(key, used)
        if known is not None:
            return known
        if options is None and key in self._failed:
            raise self._failed[key].with_traceback(None)
        try:
            store = self._opened(_open(request, {**(options or {}), **(pinned or {})}), key, used)
        except ArchimportError as exc:
            if options is None:
                self._failed[key] = exc
            raise
        self._failed.pop(key, None)
        return store

    def _opened(self, store: Store, key: str, options: dict[str, object] | None) -> Store:
        """Keep a store that was opened, or close it: another thread may have been faster."""
        kept: Store | None = None
        try:
            _check(store)
            with self._lock:
                if key not in self._by_key:
                    self._hold(store)
                    self._by_key[key] = store, options or {}
            kept = self._known(key, options) or store
            return kept
        finally:
            if kept is not store:
                store.close()

    def note_failure(self, entry: str, failure: ArchimportError) -> None:
        """Let imports through a path entry say why its store could not be opened."""
        self._failed[entry] = failure

    def raise_failure(self, entry: str) -> None:
        """Raise what kept a path entry's store from being opened; StoreUnavailable if only another process has it."""
        if entry in self._failed:
            raise self._failed[entry].with_traceback(None)
        if entry.startswith(f"{VIRTUAL}{os.sep}") and not os.path.lexists(VIRTUAL):
            raise StoreUnavailable("the store is not open in this process", store=entry, hint="mount it here too")

    def _known(self, key: str, options: dict[str, object] | None) -> Store | None:
        store, used = self._by_key.get(key, (None, {}))
        if store is not None and options is not None and _asked(options) != _asked(used):
            raise ConfigError("the store is already open in another way", store=store.location, hint="unmount it first")
        return store

    def add(self, store: Store) -> None:
        """Keep an open store; ConfigError if another one has its location, or if it is not for this interpreter."""
        _check(store)
        with self._lock:
            self._hold(store)

    def _hold(self, store: Store) -> None:
        if self._held.setdefault(store.location, store) is not store:
            raise ConfigError("two stores have one location", store=store.location, hint="unmount the other one first")
        self._alive[store.location] = ref(store)
        sys.audit("archimport.open", store.location)

    def discard(self, store: Store) -> None:
        """Let go of a store: it closes when the last loader that reads from it goes."""
        with self._lock:
            self._held.pop(store.location, None)
            self._by_key = {key: row for key, row in self._by_key.items() if row[0] is not store}
            self._alive = {location: alive for location, alive in self._alive.items() if alive() is not None}

    def invalidate(self) -> None:
        """Tell every store that its container may have changed, and forget failures."""
        self._failed.clear()
        self._unknown.clear()
        for store in tuple(self._held.values()):
            store.invalidate()

    def after_fork(self) -> None:
        """Take a new lock: a thread that is not in this process may have held the old one."""
        self._lock = allocate_lock()


def _check(store: Store) -> None:
    try:
        store.check()
    except ArchimportError as exc:
        exc.store = exc.store or store.location
        raise


def _open(request: Request, options: dict[str, object]) -> Store:
    try:
        return request.open(**options)
    except ImportError as exc:  # which would mean that the entry is not ours
        raise ConfigError(f"the store cannot be opened here: {exc.msg}", store=request.source) from exc


def _asked(options: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not False}


def _recognise_file(path: str, *, bare: bool) -> Request | None:
    split = split_file(path)
    kind = _sniff(split[0], bare=bare) if split else None
    return _file_request(kind, *split) if split and kind else None


def _file_request(kind: str, file: str, folder: str) -> Request:
    if kind == "sql":
        return _database_request(file, folder)

    def open_it(**options: object) -> Store:
        module: StoreModule = __import__(f"archimport.{kind}.store", fromlist=("open_store",))
        for option in options.keys() - module.OPTIONS:
            raise ConfigError(f"a {kind} takes no option {option!r}", store=file)
        return module.open_store(file, **options)

    return Request(lambda options: (file, options), open_it, os.path.join(file, folder).rstrip("/"), folder)


def _database_request(source: object, folder: str = "") -> Request:
    """Give how to open a database: the only stores that need more than a path."""
    try:
        request: Request = __import__("archimport.sql.request", fromlist=("request",)).request(source, folder)
    except ImportError as exc:  # which would mean that the entry is not ours
        raise ConfigError(f"databases cannot be mounted here: {exc.msg}") from None
    return request


def open_for_mount(registry: Registry, source: object) -> Request:
    """Give how to open what a person named: a path, a URL or an engine. Raises a typed error that says why not."""
    if not isinstance(source, str | os.PathLike):
        return _database_request(source)
    text = os.fspath(source)
    request = registry.recognise(text, bare=False)
    if request is not None:
        return request
    split = split_scheme(text)
    if split is not None:
        from archimport.runtime.secrets import refuse_secrets  # deferred: most path entries are no URLs

        refuse_secrets(text)
        raise ConfigError(f"unknown scheme {split[0]!r}", hint="register_scheme adds one")
    if "://" in text and not os.path.lexists(text):
        raise ConfigError("not a URL of a store", hint="a scheme has lower-case letters, digits, + - and .")
    if os.path.isdir(text):
        raise ConfigError(f"{text!r} is a folder", hint="put it on sys.path as it is")
    if split_file(text) is None:
        try:
            os.stat(text)
        except (OSError, ValueError) as exc:
            raise unavailable(text, exc) from exc
        raise FormatError(f"not a regular file: {text!r}")
    raise FormatError(f"neither a bundle, a zip nor a SQLite database: {text!r}")


def check_folder(store: Store, folder: str) -> None:
    """Raise ConfigError if there is no such folder in the store."""
    there = store.lookup(folder)
    if there is None or not there.is_dir:
        raise ConfigError("no such folder in the store", store=store.location, member=folder)


def _sniff(file: str, *, bare: bool) -> str | None:
    try:
        with open(file, "rb") as stream:
            header = stream.read(_SNIFFED)
    except OSError as exc:
        if bare:
            return None
        raise unavailable(file, exc) from exc
    for kind, offset, magic, is_bare in _MAGICS:
        if header[offset : offset + len(magic)] == magic and (is_bare or not bare):
            return kind
    return None


def _opener_by_others(scheme: str) -> Callable[..., Store] | None:
    from importlib.metadata import entry_points  # deferred: only for schemes that nobody registered

    for point in entry_points(group="archimport.stores", name=scheme):
        try:
            opener: Callable[..., Store] = point.load()
        except Exception as exc:  # an ImportError would mean that the entry is not ours
            raise ConfigError(f"what opens {scheme!r} cannot be loaded: {exc}") from exc
        return opener
    return None


def _is_dialect_by_others(scheme: str) -> bool:
    """Whether somebody has taught SQLAlchemy this scheme (its entry points say `dialect.driver`)."""
    from importlib.metadata import entry_points

    return bool(entry_points(group="sqlalchemy.dialects", name=scheme.replace("+", ".")))


registry = Registry()


def store_at(place: str) -> tuple[Store, str]:
    """Give the open store in which a place lies, and the path in it; StoreUnavailable if there is none."""
    found = registry.locate(place)
    if found is None:
        raise StoreUnavailable("the store is not open in this process", store=place, hint="mount it here too")
    return found
