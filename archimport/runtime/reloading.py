"""Reloading the modules that a refresh changed: all that is new compiles first, and a failure leaves all as it was."""

from __future__ import annotations

import ast
import importlib
import sys
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from typing import TYPE_CHECKING

from archimport.runtime.loader import StoreLoader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from archimport.runtime.store import Store


def reload_changed(store: Store, paths: Iterable[str]) -> list[str]:
    """Reload modules that were loaded from changed members, and those that import them; give their names in order.

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
    modules = {name: everything[name] for name in everything if name in affected}
    graph = {name: imports[name] & affected for name in modules}
    saved = {name: dict(module.__dict__) for name, module in modules.items()}
    order = _in_order(graph)
    try:
        for name in order:
            importlib.reload(modules[name])
    except BaseException:
        for name, module in modules.items():
            _restore(module.__dict__, saved[name])
            sys.modules[name] = module
        for name, _ in list(_modules_of(store)):
            if name not in loaded:
                del sys.modules[name]
        raise
    return order


def _modules_of(store: Store) -> Iterator[tuple[str, ModuleType]]:
    for name, module in tuple(sys.modules.items()):
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
        type(loader)(loader.name, loader.path, loader.store, entry).get_code(loader.name)


def _in_order(graph: dict[str, set[str]]) -> list[str]:
    """Sort modules so that what one imports comes before it; in a circle, as they were imported the first time."""
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError:
        return list(graph)


def _imports(module: ModuleType) -> Iterator[str]:
    """Give the names that the new source imports; more than there are modules, since `from x import y` may be one."""
    loader = _loader_of(module)
    entry = loader.store.lookup(loader.entry.path)
    source = loader.store.read(entry) if entry is not None and entry.path.endswith(".py") else b""
    package = module.__spec__.parent if module.__spec__ else None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            origin = resolve_name(base, package or "") if node.level else base
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _restore(namespace: dict[str, object], saved: dict[str, object]) -> None:
    """Bring a module's dictionary back without ever emptying it: other threads use it."""
    namespace.update(saved)
    for name in namespace.keys() - saved.keys():
        del namespace[name]
