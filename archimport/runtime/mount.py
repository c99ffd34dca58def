"""Mounting: open a store now, and put a path entry for it on `sys.path`, here and in child processes."""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import PathFinder

from archimport.runtime.entries import (
    discard_unmounted,
    drop_own_imports,
    forget_finders,
    put_on_path,
    take_off_path,
)
from archimport.runtime.errors import ArchimportError, ConfigError
from archimport.runtime.hook import install, keep_finder
from archimport.runtime.opening import Alone
from archimport.runtime.registry import check_folder, registry
from archimport.runtime.schemes import file_request, schemes
from archimport.runtime.store import Changes, Snapshot, Store, changes_between
from archimport.runtime.unit import plan_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from archimport.runtime.watch import Watch

#: Where archimport is: a folder, or the bundle that carries it.
_HOME = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


class PathEntry(str):
    """A path entry that a child process can use: pickled for spawn and forkserver, it opens its store there."""

    __slots__ = ("_options", "_source", "_store")
    _source: str
    _options: dict[str, object]
    _store: Store | None

    def __new__(cls, path: str, source: str, options: dict[str, object], store: Store | None) -> PathEntry:
        """Make the entry `path` of what `mount(source, **options)` opened."""
        self = super().__new__(cls, path)
        self._source, self._options, self._store = source, options, store
        return self

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, dict[str, object]]]:
        """Pickle as an expression, since the child may have to find archimport first: inside a bundle, say."""
        steps = (
            f"__import__('sys').path.append({_HOME!r})",
            "__import__('archimport.runtime.mount', fromlist=['x'])",
            "__import__('sys').path.pop()",
        )
        from archimport.runtime.children import main_of  # deferred: few programs have children

        pinned = self._store.pinned() if self._store else {}
        arguments = str(self), self._source, self._options, pinned, main_of(self._store)
        return eval, (f"[{', '.join(steps)}][1].reopen(*arguments)", {"arguments": arguments})

    def __copy__(self) -> PathEntry:
        """Give this: it never changes."""
        return self

    def __deepcopy__(self, memo: object) -> PathEntry:
        """Give this: it never changes."""
        return self


def reopen(path: str, source: str, options: dict[str, object], pinned: dict[str, object], main: str | None) -> str:
    """Open in a child process what its parent had mounted, with the content it had then, and give the path entry.

    `main` is the parent's main module, if that lies in this store. What cannot be opened is an error of the child's
    imports: one now would end it before its program begins.
    """
    install()
    if main is not None:
        from archimport.runtime.children import promise_main  # deferred: few programs are such children

        promise_main(main)
    if os.path.isfile(_HOME) and source != _HOME:  # what opens the source may be in the bundle that carries this
        _open_quietly(_HOME, {}, {})
    return PathEntry(path, source, options, _open_quietly(source, options, pinned, path))


def _open_quietly(
    source: str, options: dict[str, object], pinned: dict[str, object], path: str | None = None
) -> Store | None:
    try:
        with Alone():
            store = registry.open(schemes.request(source), options, pinned)
    except ArchimportError as exc:
        if path is not None:
            registry.note_failure(path, exc)
        return None
    forget_finders(store.location)
    return store


class Mount:
    """A store whose path entry is on `sys.path`; a context manager that takes it away again.

    `path_entry` is the entry, `store` the store.
    """

    def __init__(self, path_entry: str, store: Store) -> None:
        self.path_entry = path_entry
        self.store = store
        self._seen = store.snapshot()
        self._counts = [self]  # emptied in one step: threads may unmount at once

    def __enter__(self) -> Mount:
        """Give this."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Unmount."""
        self.unmount()

    def __repr__(self) -> str:
        """Name the path entry."""
        return f"<Mount {str(self.path_entry)!r}>"

    def refresh(self, *, reload: bool = False) -> Changes:
        """Move to what the container holds now; return what changed since the last refresh, or since it was mounted.

        Loaded modules stay as they are. With `reload` the modules that were loaded from another content are compiled,
        then they and those that import them are executed again in their dictionaries, what they import first. If one
        raises, everything is as it was before, and that is raised.
        """
        before = self.store.snapshot()
        if before is None:
            after, changes = None, self.store.refresh()
        else:
            self.store.move()
            after = self.store.snapshot()
            changes = changes_between(self._seen, after)
        self._forget(changes)
        if reload:
            changes = self._reload(changes, before)
        self._seen = after
        return changes

    def _reload(self, changes: Changes, before: Snapshot | None) -> Changes:
        from archimport.runtime.reloading import reload_changed  # deferred: loads importlib.util

        try:
            reloaded = reload_changed(self.store, changes.changed) - {*changes.added}
            changes.changed = tuple(sorted({*changes.changed, *reloaded}))
        except BaseException:
            self.store.restore(before)
            self._forget(changes)
            raise
        return changes

    def _forget(self, changes: Changes) -> None:
        plan_of(self.store)
        forget_finders(self.store.location)
        if changes:
            PathFinder.invalidate_caches()  # namespace packages look for new portions
        keep_finder(self.store)

    def watch(self, callback: Callable[[], object], *, interval: float = 5.0) -> Watch:
        """Call `callback` in a thread each time there is newer content to refresh to; give what stops that.

        The store is asked every `interval` seconds; PostgreSQL tells at once, and is asked every ten seconds too.
        """
        if not interval > 0:
            raise ConfigError("a watch needs an interval of more than 0 seconds", store=self.store.location)
        from archimport.runtime.watch import Watch  # deferred: loads threading and logging

        return Watch(self.store, callback, interval, self._seen)

    def unmount(self) -> None:
        """Take the path entry away with the last mount of it; modules that are loaded keep working. Idempotent."""
        try:
            self._counts.pop()
        except IndexError:
            return
        take_off_path(self.path_entry, self.store)


def mount(source: str | os.PathLike[str] | Store | Engine, /, *, position: int = 0, **options: object) -> Mount:
    """Open a store now and put its path entry on `sys.path` at `position`, installing the hook if need be.

    `source` is a path, a URL, a sqlalchemy.Engine or a Store; `options` are the store's (`writable=True`). An entry
    that is there already stays where it is. Raises what opening raises: ConfigError, FormatError, StoreUnavailable
    and their kin.
    """
    before = {*sys.modules}
    install()
    options = {name: value for name, value in options.items() if value is not None}
    while True:
        entry, store, folder = _open(source, options)
        try:
            check_folder(store, folder)
        except ArchimportError:
            discard_unmounted(store)
            raise
        forget_finders(store.location)
        if put_on_path(entry, position, store):
            drop_own_imports(store, folder, before)
            return Mount(entry, store)


def _open(source: str | os.PathLike[str] | Store | Engine, options: dict[str, object]) -> tuple[str, Store, str]:
    """Give the path entry of a source, its store, and the folder in it."""
    if isinstance(source, Store):
        if options:
            raise ConfigError(f"an open store takes no options: {', '.join(sorted(options))}", store=source.location)
        registry.add(source)
        return source.location, source, ""
    with Alone():
        request = schemes.request(source)
        store, folder = registry.open(request, options), request.folder
    entry = f"{store.location}/{folder}" if folder else store.location
    return (entry if request.source is None else PathEntry(entry, request.source, options, store)), store, folder


def open_bundle(location: str) -> Store:
    """Open the bundle that the interpreter was started with, and give its store."""
    install()
    with Alone():
        return registry.open(file_request("bundle", location))
