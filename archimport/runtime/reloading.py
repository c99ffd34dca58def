"""Reloading the modules whose content has changed: what is new compiles first, and a failure leaves all as it was."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, resolve_name
from modulefinder import ModuleFinder
from types import CodeType
from typing import TYPE_CHECKING

from archimport.runtime.bytecode import cached_member
from archimport.runtime.lines import tell_linecache
from archimport.runtime.loaded import LoadedModule, and_above, loaded_of
from archimport.runtime.loader import LOADERS, StoreLoader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import ModuleType

    from archimport.runtime.store import Entry, Store


def reload_changed(store: Store, paths: Collection[str]) -> set[str]:
    """Reload the modules of a store that came from `paths` or from another content, and those that import them.

    Return the members that had changed. Whoever said `from changed import name` has the old object otherwise, and is
    half of each release. What a module imports is reloaded before it. Of an extracted package all modules are reloaded
    if any of its files has changed: they have other places then. Whatever compiling or executing raises passes through,
    after the dictionaries of the modules were restored and modules that were imported on the way were removed.
    """
    loaded = loaded_of(store)
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


def _reload(store: Store, loaded: dict[str, LoadedModule], affected: set[str]) -> None:
    before = set(sys.modules)
    changed_first = sorted(loaded, key=lambda name: name not in affected)
    codes = {name: _code(store, loaded[name]) for name in changed_first}
    imports = {name: set(_imports(codes[name], now.module)) & loaded.keys() for name, now in loaded.items()}
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
    for name, (module, *_) in loaded_of(store).items():
        if name not in before and not getattr(module.__spec__, "_initializing", False):
            sys.modules.pop(name, None)
            package, _, child = name.rpartition(".")
            if getattr(sys.modules.get(package), child, None) is module:
                delattr(sys.modules[package], child)


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


def _code(store: Store, loaded: LoadedModule) -> CodeType | None:
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
            yield from and_above(base, ".")
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


def _restore(module: ModuleType, saved: dict[str, object]) -> None:
    """Bring a module's dictionary back without ever emptying it: other threads use it."""
    namespace = module.__dict__
    namespace.update(saved)
    for name in namespace.keys() - saved.keys():
        del namespace[name]
    loader = getattr(module.__spec__, "loader", None)
    if isinstance(loader, StoreLoader):
        tell_linecache(loader)
