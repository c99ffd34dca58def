"""The loaded modules of a store, each compared with what the store has for it now.

What a module came from, which its loader knows, is compared: the store may have moved before anybody asked for a
reload, since any library may call `importlib.invalidate_caches()`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from archimport.runtime.finder import StoreFinder
from archimport.runtime.loader import StoreLoader
from archimport.runtime.unit import plan_of
from archimport.runtime.unpacked import Unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from archimport.runtime.store import Entry, Store


class LoadedModule(NamedTuple):
    """A loaded module, and the `entry` that the store has for it now, None if it has none.

    `is_stale` says whether that is another content than was loaded, `has_moved` whether it lies in another extracted
    package now, or no longer in one.
    """

    module: ModuleType
    entry: Entry | None
    is_stale: bool
    has_moved: bool


def loaded_of(store: Store) -> dict[str, LoadedModule]:
    """Return the modules of a store by name, those of its extracted packages too."""
    modules = {name: module for name, module in list(sys.modules.items()) if isinstance(name, str)}
    loaders = {name: getattr(getattr(module, "__spec__", None), "loader", None) for name, module in modules.items()}
    tops = {name: loader for name, loader in loaders.items() if isinstance(loader, Unpacked) and loader.store is store}
    found: dict[str, LoadedModule] = {}
    for name, loader in loaders.items():
        if getattr(loader, "name", None) == name:  # under another name it is something else
            path, version = _origin_of(name, loader, store, tops)
            if path:
                found[name] = _compared(store, modules[name], path, version)
    return found


def _origin_of(name: str, loader: object, store: Store, tops: Mapping[str, Unpacked]) -> tuple[str, object]:
    """Return the member that a module was loaded from, if any, and its version: the unit, if it was extracted."""
    if isinstance(loader, StoreLoader) and loader.store is store:
        return loader.entry.path, store.version(loader.entry)
    top = next((tops[above] for above in and_above(name, ".") if above in tops), None)
    file = getattr(loader, "path", None) or ""
    if top is not None and file.startswith(f"{top.root}/"):
        return file.removeprefix(f"{top.root}/"), top.unit
    return "", None


def _compared(store: Store, module: ModuleType, path: str, version: object) -> LoadedModule:
    entry = _found_now(store, module.__name__, path) or store.lookup(path)
    if entry is None or entry.is_dir or entry.problem is not None:
        return LoadedModule(module, None, is_stale=False, has_moved=False)  # it went or is none: the module stays
    extracted = plan_of(store).unpacked
    unit = next((extracted[above] for above in and_above(entry.path, "/") if above in extracted), None)
    was_extracted = not isinstance(getattr(module.__spec__, "loader", None), StoreLoader)
    has_moved = version != unit if unit is not None or was_extracted else False
    is_stale = has_moved or (unit is None and (entry.path != path or version != store.version(entry)))
    return LoadedModule(module, entry, is_stale, has_moved)


def _found_now(store: Store, name: str, path: str) -> Entry | None:
    """Return the entry that an import finds now: a module may have become a package, or one without source."""
    directory = path.rpartition("/")[0]
    if path.rpartition("/")[2].startswith("__init__."):
        directory = directory.rpartition("/")[0]
    spec = StoreFinder(store, directory, store.location, unpacks=False).find_spec(name)
    return getattr(spec, "loader_state", None)


def and_above(name: str, separator: str) -> Iterator[str]:
    """Return a module and the packages that it lies in, as `import a.b` binds `a`; or a member and its directories."""
    while name:
        yield name
        name = name.rpartition(separator)[0]
