"""Reloading the modules that a refresh changed: all that is new compiles first, and a failure leaves all as it was."""

from __future__ import annotations

import ast
import importlib
import sys
from importlib.util import resolve_name
from typing import TYPE_CHECKING

from archimport.runtime.lines import tell_linecache
from archimport.runtime.loader import StoreLoader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from archimport.runtime.store import Store


def reload_changed(store: Store, paths: Iterable[str]) -> None:
    """Reload modules of a store that were loaded from changed members, and those of it that import them.

    Whoever said `from changed import name` has the old object otherwise, and is half of each release. What a module
    imports is reloaded before it. Whatever compiling or executing raises passes through, after the dictionaries of the
    modules were restored and modules that were imported on the way forgotten.
    """
    changed = set(paths)
    loaded = set(sys.modules)
    everything = dict(_modules_of(store))
    affected = {name for name, module in everything.items() if _loader_of(module).entry.path in changed}
    for name in affected:
        _compile(everything[name])
    imports = {name: set(_imports(module)) & everything.keys() for name, module in everything.items()}
    while more := {name for name in everything if imports[name] & affected} - affected:
        affected |= more
    saved = {name: (everything[name], dict(everything[name].__dict__)) for name in everything if name in affected}
    try:
        for name in _in_order({name: imports[name] & affected for name in saved}):
            importlib.reload(everything[name])
    except BaseException:
        for name, (module, namespace) in saved.items():
            _restore(module, namespace)
            sys.modules[name] = module
        _forget(store, loaded)
        raise


def _forget(store: Store, loaded: set[str]) -> None:
    """Forget the modules of a store that were not loaded before, those apart that other threads are importing."""
    for name, module in list(_modules_of(store)):
        if name not in loaded and not getattr(module.__spec__, "_initializing", False):
            sys.modules.pop(name, None)
            package, _, child = name.rpartition(".")
            if getattr(sys.modules.get(package), child, None) is module:
                delattr(sys.modules[package], child)


def _modules_of(store: Store) -> Iterator[tuple[str, ModuleType]]:
    for name, module in list(sys.modules.items()):
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if isinstance(loader, StoreLoader) and loader.store is store and loader.name == name:
            yield name, module


def _loader_of(module: ModuleType) -> StoreLoader:
    loader: StoreLoader = module.__spec__.loader  # type: ignore[union-attr, assignment]  # as _modules_of found it
    return loader


def _compile(module: ModuleType) -> None:
    """Raise what compiling the new source raises; a member that went has none, and its module stays."""
    loader = _loader_of(module)
    entry = loader.store.lookup(loader.entry.path)
    if entry is not None:
        type(loader)(loader.name, loader.path, loader.store, entry).find_code()


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


def _imports(module: ModuleType) -> Iterator[str]:
    """Give the names that the new source imports; more than there are modules, since `from x import y` may be one."""
    loader = _loader_of(module)
    entry = loader.store.lookup(loader.entry.path)
    source = loader.store.read(entry) if entry is not None and entry.path.endswith(".py") else b""
    package = module.__spec__.parent if module.__spec__ else None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_packages(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            origin = resolve_name(base, package or "") if node.level else base
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _with_packages(name: str) -> Iterator[str]:
    """Give a module and the packages that it lies in: `import a.b` binds `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _restore(module: ModuleType, saved: dict[str, object]) -> None:
    """Bring a module's dictionary back without ever emptying it: other threads use it."""
    namespace = module.__dict__
    namespace.update(saved)
    for name in namespace.keys() - saved.keys():
        del namespace[name]
    tell_linecache(_loader_of(module))
