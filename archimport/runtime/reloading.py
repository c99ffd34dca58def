"""Reloading the modules whose content has changed: all that is new compiles first, and a failure leaves all as it was.

What a module came from, which its loader knows, is compared with what the store has now: the store may have moved
before anybody asked for a reload, since any library may call `importlib.invalidate_caches()`.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, resolve_name
from modulefinder import ModuleFinder
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple

from archimport.runtime.bytecode import cached_member
from archimport.runtime.finder import StoreFinder
from archimport.runtime.lines import tell_linecache
from archimport.runtime.loader import LOADERS, StoreLoader
from archimport.runtime.unit import plan_of
from archimport.runtime.unpacked import Unpacked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from types import ModuleType

    from archimport.runtime.store import Entry, Store


class _Loaded(NamedTuple):
    """A loaded module, and the `entry` that the store has for it now, None if it has none.

    `is_stale` says whether that is another content than was loaded, `has_moved` whether it lies in another extracted
    package now, or no longer in one.
    """

    module: ModuleType
    entry: Entry | None
    is_stale: bool
    has_moved: bool


def reload_changed(store: Store, paths: Collection[str]) -> set[str]:
    """Reload the modules of a store that came from `paths` or from another content, and those that import them.

    Return the members that had changed. Whoever said `from changed import name` has the old object otherwise, and is
    half of each release. What a module imports is reloaded before it. Of an extracted package all modules are reloaded
    if any of its files has changed: they have other places then. Whatever compiling or executing raises passes through,
    after the dictionaries of the modules were restored and modules that were imported on the way were removed.
    """
    loaded = _loaded_of(store)
    stale = {
        name: now.entry.path for name, now in loaded.items() if now.entry and (now.is_stale or now.entry.path in paths)
    }
    if stale:
        store.expect([_read_for_code(store, now.entry) for now in loaded.values() if now.entry])
        try:
            _reload(store, loaded, set(stale))
        finally:
            store.expect(())
    return set(stale.values())


def _reload(store: Store, loaded: dict[str, _Loaded], affected: set[str]) -> None:
    before = set(sys.modules)
    codes = {
        name: _code(store, now) for name, now in loaded.items() if name in affected
    }  # raises before others are read
    codes |= {name: _code(store, now) for name, now in loaded.items() if name not in affected}
    imports = {name: set(_imports(codes[name], loaded[name].module)) & loaded.keys() for name in loaded}
    while more := {name for name in loaded if imports[name] & affected} - affected:
        affected |= more
    saved = {name: (now.module, dict(now.module.__dict__)) for name, now in loaded.items() if name in affected}
    try:
        for name in sorted(saved):  # packages before what lies in them
            if loaded[name].has_moved:
                _follow(loaded[name].module)
        for name in _in_order({name: imports[name] & affected for name in saved}):
            importlib.reload(loaded[name].module)
    except BaseException:
        try:
            _forget(store, before)
        finally:
            for name, (module, namespace) in saved.items():
                _restore(module, namespace)
                sys.modules[name] = module
        raise


def _forget(store: Store, before: set[str]) -> None:
    """Forget the modules of a store that were not loaded before, those apart that other threads are importing."""
    for name, (module, *_) in _loaded_of(store).items():
        if name not in before and not getattr(module.__spec__, "_initializing", False):
            sys.modules.pop(name, None)
            package, _, child = name.rpartition(".")
            if getattr(sys.modules.get(package), child, None) is module:
                delattr(sys.modules[package], child)


def _loaded_of(store: Store) -> dict[str, _Loaded]:
    """Return the modules of a store by name, those of its extracted packages too."""
    modules = {name: module for name, module in list(sys.modules.items()) if isinstance(name, str)}
    loaders = {name: getattr(getattr(module, "__spec__", None), "loader", None) for name, module in modules.items()}
    tops = {name: loader for name, loader in loaders.items() if isinstance(loader, Unpacked) and loader.store is store}
    found: dict[str, _Loaded] = {}
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
    top = next((tops[above] for above in _and_above(name, ".") if above in tops), None)
    file = getattr(loader, "path", None) or ""
    if top is not None and file.startswith(f"{top.root}/"):
        return file.removeprefix(f"{top.root}/"), top.unit
    return "", None


def _compared(store: Store, module: ModuleType, path: str, version: object) -> _Loaded:
    entry = store.lookup(path) or _found_now(store, module.__name__, path)
    if entry is None or entry.is_dir:
        return _Loaded(module, None, is_stale=False, has_moved=False)  # it went: the module stays
    extracted = plan_of(store).unpacked
    unit = next((extracted[above] for above in _and_above(entry.path, "/") if above in extracted), None)
    was_extracted = not isinstance(getattr(module.__spec__, "loader", None), StoreLoader)
    has_moved = version != unit if unit is not None or was_extracted else False
    is_stale = has_moved or (unit is None and (entry.path != path or version != store.version(entry)))
    return _Loaded(module, entry, is_stale, has_moved)


def _found_now(store: Store, name: str, path: str) -> Entry | None:
    """Return the entry of a module whose member went: it may have become a package, or a module without source."""
    directory = path.rpartition("/")[0]
    if path.rpartition("/")[2].startswith("__init__."):
        directory = directory.rpartition("/")[0]
    spec = StoreFinder(store, directory, store.location, unpacks=False).find_spec(name)
    return getattr(spec, "loader_state", None)


def _follow(module: ModuleType) -> None:
    """Let an unpacked package be where it is now, so that its modules are found there."""
    parent = module.__name__.rpartition(".")[0]
    spec = PathFinder.find_spec(module.__name__, sys.modules[parent].__path__ if parent else None)
    if spec is not None and spec.submodule_search_locations is not None:
        module_from_spec(spec)  # unpacks
        module.__spec__, module.__path__ = spec, spec.submodule_search_locations


def _read_for_code(store: Store, entry: Entry) -> Entry:
    """Return what is read for the code of a source: its bytecode, where there is some, else itself."""
    cached = cached_member(entry.path) if entry.path.endswith(".py") else None
    bytecode = store.lookup(cached) if cached is not None else None
    return bytecode if bytecode is not None else entry


def _code(store: Store, loaded: _Loaded) -> CodeType | None:
    """Return the code of what the store has now, None for extension modules; raises what compiling raises."""
    entry, loader = loaded.entry, getattr(loaded.module.__spec__, "loader", None)
    if entry is None:
        return None
    if isinstance(loader, StoreLoader) and loader.entry.path == entry.path:
        kind: type[StoreLoader] | None = type(loader)  # perhaps one that transforms
    else:
        kind = next((kind for suffix, kind in LOADERS if entry.path.endswith(suffix)), None)
    return kind(loaded.module.__name__, f"{store.location}/{entry.path}", store, entry).find_code() if kind else None


def _in_order(graph: dict[str, set[str]]) -> list[str]:
    """Sort modules so that what one imports comes before it; within a circle, one that was imported first begins."""
    order: dict[str, None] = {}
    begun: set[str] = set()
    waiting = list(reversed(graph))
    while waiting:
        name = waiting[-1]
        ahead = [] if name in begun else [other for other in graph if other in graph[name] - begun]
        begun.add(name)
        if ahead:
            waiting.extend(reversed(ahead))
        else:
            order[waiting.pop()] = None
    return list(order)


def _imports(code: CodeType | None, module: ModuleType) -> Iterator[str]:
    """Return the names that code imports; more than there are modules, since `from x import y` may be one."""
    package = getattr(module.__spec__, "parent", None) or ""
    scan = ModuleFinder().scan_opcodes
    for kind, what in (found for part in _and_inner(code) for found in scan(part)):
        if kind == "absolute_import":
            names, base = what
            yield from _and_above(base, ".")
        elif kind == "relative_import":
            level, names, base = what
            try:
                base = resolve_name("." * level + base, package)
            except ImportError:  # what the module itself may catch: it is tried where there is no such package
                continue
            yield base
        else:
            continue
        yield from (f"{base}.{name}" for name in names or ())


def _and_inner(code: CodeType | None) -> Iterator[CodeType]:
    """Return code, and that of the functions and classes in it."""
    if code is not None:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _and_inner(constant)


def _and_above(name: str, separator: str) -> Iterator[str]:
    """Return a module and the packages that it lies in, since `import a.b` binds `a`; or a member and its folders."""
    while name:
        yield name
        name = name.rpartition(separator)[0]


def _restore(module: ModuleType, saved: dict[str, object]) -> None:
    """Bring a module's dictionary back without ever emptying it: other threads use it."""
    namespace = module.__dict__
    namespace.update(saved)
    for name in namespace.keys() - saved.keys():
        del namespace[name]
    loader = getattr(module.__spec__, "loader", None)
    if isinstance(loader, StoreLoader):
        tell_linecache(loader)
