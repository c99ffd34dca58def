"""Which stores are open: each is kept under its location, so that loaders outlive their finders."""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from _weakref import ref

from archimport.runtime.errors import ArchimportError, ConfigError, StoreUnavailable
from archimport.runtime.location import VIRTUAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.runtime.schemes import Request
    from archimport.runtime.store import Store


class Registry:
    """The stores that are open in this process, and the opens that failed.

    Nothing is opened or imported while its lock is held, and it is new in a forked child.
    """

    def __init__(self) -> None:
        self._held: dict[str, Store] = {}
        self._alive: dict[str, ref[Store]] = {}
        self._by_key: dict[str, tuple[Store, dict[str, object]]] = {}
        self._failed: dict[str, ArchimportError] = {}
        self._unopened: dict[str, ArchimportError] = {}
        self._lock = allocate_lock()

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

    def open(
        self, request: Request, options: dict[str, object] | None = None, pinned: dict[str, object] | None = None
    ) -> Store:
        """Give the store of a request, opened if it is not open yet; raises what opening raises.

        Without `options`, as a hook asks, a store that is open with other ones is as good, and a failure is raised
        again until `invalidate`: a hook is called for every import. With them the store is used in just that way.
        `pinned` is what another process says of the content that it has (`Store.pinned`).
        """
        key, others = request.key(options or {})
        used = None if options is None else {name: value for name, value in others.items() if value is not False}
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
        self._unopened[entry] = failure

    def raise_failure(self, entry: str) -> None:
        """Raise what kept a path entry's store from being opened; StoreUnavailable if only another process has it."""
        if entry in self._unopened:
            raise self._unopened[entry].with_traceback(None)
        if entry.startswith(f"{VIRTUAL}{os.sep}") and not os.path.lexists(VIRTUAL):
            raise StoreUnavailable("the store is not open in this process", store=entry, hint="mount it here too")

    def _known(self, key: str, options: dict[str, object] | None) -> Store | None:
        store, used = self._by_key.get(key, (None, {}))
        if store is not None and options not in (None, used):
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
        self._unopened.clear()
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


def check_folder(store: Store, folder: str) -> None:
    """Raise ConfigError if there is no such folder in the store."""
    there = store.lookup(folder)
    if there is None or not there.is_dir:
        raise ConfigError("no such folder in the store", store=store.location, member=folder)


registry = Registry()


def store_at(place: str) -> tuple[Store, str]:
    """Give the open store in which a place lies, and the path in it; StoreUnavailable if there is none."""
    found = registry.locate(place)
    if found is None:
        raise StoreUnavailable("the store is not open in this process", store=place, hint="mount it here too")
    return found
