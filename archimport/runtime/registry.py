"""Which stores are open: each is kept under its location, so that loaders outlive their finders."""

from __future__ import annotations

import os
import sys
from _weakref import ref

from archimport.runtime.early import TooEarlyError, opened
from archimport.runtime.errors import ArchimportError, ConfigError, StoreUnavailable
from archimport.runtime.location import VIRTUAL
from archimport.runtime.lock import Lock
from archimport.runtime.unit import plan_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.runtime.schemes import Request
    from archimport.runtime.store import Store


class Registry:
    """The stores that are open in this process, and the opens that failed.

    Nothing is opened, imported or told to anybody while its lock is held.
    """

    def __init__(self) -> None:
        self._held: dict[str, Store] = {}
        self._alive: dict[str, ref[Store]] = {}
        self._by_key: dict[str, tuple[Store, dict[str, object]]] = {}
        self._failed: dict[str, ArchimportError] = {}
        self._unopened: dict[str, ArchimportError] = {}
        self._lock = Lock()

    def locate(self, entry: str) -> tuple[Store, str] | None:
        """Give the open store in which a location-shaped path entry lies, and the folder in it.

        A store that was discarded still serves the folders of packages that were loaded from it.
        """
        try:
            path = os.path.abspath(entry)
        except OSError:  # the current folder is gone
            return None
        found: tuple[Store, str] | None = None
        for location, alive in list(self._alive.items()):
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
        failures = self._failed  # others, once somebody has asked to look again
        failure = failures.get(key) if options is None else None
        if failure is not None:
            raise failure.with_traceback(None)
        try:
            store = self._opened(opened(lambda: request.open(**(options or {}), **(pinned or {}))), key, used)
        except TooEarlyError:
            raise
        except ArchimportError as exc:
            if options is None:
                failures[key] = exc
            raise
        failures.pop(key, None)
        return store

    def _opened(self, store: Store, key: str, options: dict[str, object] | None) -> Store:
        """Keep a store that was opened, or close it: another thread may have been faster."""
        kept: Store | None = None
        try:
            _admit(store)
            with self._lock:
                if key not in self._by_key:
                    self._hold(store)
                    self._by_key[key] = store, options or {}
                kept = self._known(key, options)
            return kept or store
        finally:
            if kept is not store:
                store.close()

    def note_failure(self, entry: str, failure: ArchimportError) -> None:
        """Let imports through a path entry say why its store could not be opened."""
        self._unopened[entry] = failure

    def raise_failure(self, entry: str) -> None:
        """Raise what kept a path entry's store from being opened; StoreUnavailable if only another process has it."""
        failure = self._unopened.get(entry)
        if failure is not None:
            raise failure.with_traceback(None)
        if entry.startswith(f"{VIRTUAL}{os.sep}") and not os.path.lexists(VIRTUAL):
            raise StoreUnavailable("the store is not open in this process", store=entry, hint="mount it here too")

    def _known(self, key: str, options: dict[str, object] | None) -> Store | None:
        store, used = self._by_key.get(key, (None, {}))
        if store is not None and options not in (None, used):
            raise ConfigError("the store is already open in another way", store=store.location, hint="unmount it first")
        return store

    def add(self, store: Store) -> None:
        """Keep an open store; ConfigError if another one has its location, or if it is not for this interpreter."""
        _admit(store)
        with self._lock:
            self._hold(store)

    def holds(self, store: Store) -> bool:
        """Whether a store is kept, and nobody has let go of it meanwhile."""
        return self._held.get(store.location) is store

    def _hold(self, store: Store) -> None:
        if self._held.setdefault(store.location, store) is not store:
            raise ConfigError("two stores have one location", store=store.location, hint="unmount the other one first")
        self._alive[store.location] = ref(store)

    def discard(self, store: Store) -> None:
        """Let go of a store: it closes when the last loader that reads from it goes."""
        with self._lock:
            self._held.pop(store.location, None)
            self._by_key = {key: row for key, row in self._by_key.items() if row[0] is not store}
            self._alive = {location: alive for location, alive in self._alive.items() if alive() is not None}

    def invalidate(self) -> None:
        """Tell every store that its container may have changed, and forget failures."""
        self._failed, self._unopened = {}, {}
        for store in list(self._held.values()):
            store.invalidate()


def _admit(store: Store) -> None:
    sys.audit("archimport.open", store.location)
    try:
        store.check()
        plan_of(store)  # now, and not when a module is looked for
    except ArchimportError as exc:
        exc.store = exc.store or store.location
        raise


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
