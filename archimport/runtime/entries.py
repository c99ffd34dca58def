"""Entries of `sys.path`: those that are mounted, that of a running bundle, and what the machinery remembers of them."""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import PathFinder

from archimport.runtime import metadata
from archimport.runtime.errors import ArchimportError
from archimport.runtime.finder import StoreFinder
from archimport.runtime.lock import Lock
from archimport.runtime.registry import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from archimport.runtime.store import Store

#: How often each entry is mounted, and the string on `sys.path` whose place it took.
_mounts: dict[str, tuple[int, str | None]] = {}
_changing = Lock()


def put_on_path(entry: str, position: int, store: Store) -> bool:
    """Count a mount of an entry, and put it on `sys.path`, in the place of an equal string that is there.

    False, and nothing else, if another thread unmounted the store since it was opened: then it is to be opened again.
    """
    with _changing:
        if not registry.holds(store):
            return False
        count, replaced = _mounts.get(entry, (0, None))
        if entry not in sys.path:
            sys.path.insert(position, entry)
        elif not count:
            at = sys.path.index(entry)
            replaced, sys.path[at] = sys.path[at], entry
        _mounts[entry] = count + 1, replaced
        return True


def take_off_path(entry: str, store: Store) -> None:
    """Count a mount less, and with the last one take the entry off `sys.path`, or put back what it had replaced."""
    with _changing:
        count, replaced = _mounts.pop(entry)
        if count > 1:
            _mounts[entry] = count - 1, replaced
        elif replaced is not None and entry in sys.path:
            sys.path[sys.path.index(entry)] = replaced
        elif entry in sys.path:
            sys.path.remove(entry)
    discard_unmounted(store)


def discard_unmounted(store: Store) -> None:
    """Let go of a store that has no mounted path entry."""
    with _changing:
        if store.location in {found[0].location for found in map(registry.locate, _mounts) if found}:
            return
        registry.discard(store)
    store.flush()
    forget_finders(store.location)


def lead_path(entry: str, path: list[str]) -> None:
    """Let `sys.path` be `entry`, that of the running bundle, and then `path`."""
    forget_finders(entry)
    sys.path[:] = [entry, *path]


def drop_modules_of_environment(store: Store) -> None:
    """Remove modules that the store has and that something else was loaded for: a `.pth` file runs before any app."""
    own = f"{store.location}{os.sep}"
    names = []
    for name in [name for name in list(sys.modules) if "." not in name]:
        origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None) or ""
        is_library = os.path.dirname(origin.removesuffix("__init__.py").rstrip("/\\")) in sys.path
        if os.path.isabs(origin) and not is_library and not os.path.realpath(origin).startswith(own):
            names.append(name)
    _drop_modules(store, "", names)


def drop_own_imports(store: Store, folder: str, before: Collection[str]) -> None:
    """Remove modules of the standard library that were loaded to open a store, where an import finds the store's own.

    `before` are the names that were loaded before that.
    """
    new = [name for name in list(sys.modules) if name not in before]
    _drop_modules(store, folder, [name for name in new if name in sys.stdlib_module_names and name[0] != "_"])


def _drop_modules(store: Store, folder: str, names: Iterable[str]) -> None:
    finder = StoreFinder(store, folder, store.location, unpacks=False)
    for name in names:
        if _is_found_in(store, name, finder):
            for loaded in list(sys.modules):
                if loaded == name or loaded.startswith(f"{name}."):
                    del sys.modules[loaded]


def _is_found_in(store: Store, name: str, finder: StoreFinder) -> bool:
    """Return whether an import of a module would find it in a store; few stores have one that is asked for here."""
    try:
        spec = PathFinder.find_spec(name) if finder.find_spec(name) is not None else None
    except ArchimportError:  # said by who imports it
        return False
    return getattr(spec and spec.loader, "store", None) is store


def forget_finders(location: str) -> None:
    """Drop the finders at and under a location, whoever made them: zipimport may have been first."""
    for entry in list(sys.path_importer_cache):
        path = os.path.realpath(entry) if isinstance(entry, str) else ""
        if path == location or path.startswith(f"{location}{os.sep}"):
            sys.path_importer_cache.pop(entry, None)
    metadata.forget()
