"""Reloading the modules that a refresh changed: all that is new compiles first, and a failure leaves all as it was."""

from __future__ import annotations

import ast
import importlib
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, resolve_name
from typing import TYPE_CHECKING, NamedTuple

from archimport.runtime.lines import tell_linecache
from archimport.runtime.loader import StoreLoader
from archimport.runtime.unit import plan_of
from archimport.runtime.unpacked import Unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import ModuleType

    from archimport.runtime.store import Store


class _Loaded(NamedTuple):
    """A module, the member that it was loaded from, and whether that is another file by now: unpacked, or packed."""

    module: ModuleType
    path: str
    has_moved: bool = False


def reload_changed(store: Store, paths: Iterable[str]) -> None:
    """Reload modules of a store that were loaded from changed members, and those of it that import them.

    Whoever said `from changed import name` has the old object otherwise, and is half of each release. What a module
    imports is reloaded before it. Of an unpacked package all modules are reloaded if any of its files has changed:
    they have other places then. Whatever compiling or executing raises passes through, after the dictionaries of the
    modules were restored and modules that were imported on the way forgotten.
    """
    changed = set(paths)
    before = set(sys.modules)
    loaded = _loaded_of(store)
    affected = {name for name, (_, path, has_moved) in loaded.items() if has_moved or path in changed}
    for name in affected:
        _compile(store, loaded[name])
    imports = {name: set(_imports(store, of)) & loaded.keys() for name, of in loaded.items()}
    while more := {name for name in loaded if imports[name] & affected} - affected:
        affected |= more
    saved = {name: (of.module, dict(of.module.__dict__)) for name, of in loaded.items() if name in affected}
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
    for name, (module, _, _) in _loaded_of(store).items():
        if name not in before and not getattr(module.__spec__, "_initializing", False):
            sys.modules.pop(name, None)
            package, _, child = name.rpartition(".")
            if getattr(sys.modules.get(package), child, None) is module:
                delattr(sys.modules[package], child)


def _loaded_of(store: Store) -> dict[str, _Loaded]:
    """Give the modules of a store by name, those of its unpacked packages too."""
    modules = {name: module for name, module in list(sys.modules.items()) if isinstance(name, str)}
    loaders = {name: getattr(getattr(module, "__spec__", None), "loader", None) for name, module in modules.items()}
    tops = {name: loader for name, loader in loaders.items() if isinstance(loader, Unpacked) and loader.store is store}
    unpacked = plan_of(store).unpacked
    found: dict[str, _Loaded] = {}
    for name, loader in loaders.items():
        path, unit = _member_of(name, loader, store, tops)
        if path:
            now = next((unpacked[above] for above in _and_above(path, "/") if above in unpacked), None)
            found[name] = _Loaded(modules[name], path, unit != now and store.lookup(path) is not None)
    return found


def _member_of(name: str, loader: object, store: Store, tops: Mapping[str, Unpacked]) -> tuple[str, str | None]:
    """Give the member that a module was loaded from, if any, and the unit that was unpacked for that."""
    if getattr(loader, "name", None) == name:  # under another name it is something else
        if isinstance(loader, StoreLoader) and loader.store is store:
            return loader.entry.path, None
        top = next((tops[above] for above in _and_above(name, ".") if above in tops), None)
        file = getattr(loader, "path", None) or ""
        if top is not None and file.startswith(f"{top.root}/"):
            return file.removeprefix(f"{top.root}/"), top.unit
    return "", None


def _follow(module: ModuleType) -> None:
    """Let an unpacked package be where it is now, so that its modules are found there."""
    parent = module.__name__.rpartition(".")[0]
    spec = PathFinder.find_spec(module.__name__, sys.modules[parent].__path__ if parent else None)
    if spec is not None and spec.submodule_search_locations is not None:
        module_from_spec(spec)  # unpacks
        module.__spec__, module.__path__ = spec, spec.submodule_search_locations


def _compile(store: Store, loaded: _Loaded) -> None:
    """Raise what compiling the new source raises; a member that went has none, and its module stays."""
    entry = store.lookup(loaded.path)
    loader = getattr(loaded.module.__spec__, "loader", None)
    if entry is None:
        return
    if isinstance(loader, StoreLoader):
        type(loader)(loader.name, loader.path, store, entry).find_code()
    elif entry.path.endswith(".py"):
        compile(store.read(entry), entry.path, "exec", dont_inherit=True)


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


def _imports(store: Store, loaded: _Loaded) -> Iterator[str]:
    """Give the names that the new source imports; more than there are modules, since `from x import y` may be one."""
    entry = store.lookup(loaded.path)
    source = store.read(entry) if entry is not None and entry.path.endswith(".py") else b""
    package = getattr(loaded.module.__spec__, "parent", None)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _and_above(alias.name, ".")
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            try:
                origin = resolve_name(base, package or "") if node.level else base
            except ImportError:  # what the module itself may catch: it is tried where there is no such package
                continue
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _and_above(name: str, separator: str) -> Iterator[str]:
    """Give a module and the packages that it lies in, since `import a.b` binds `a`; or a member and its folders."""
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
