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
    """Reload the modules that were loaded from changed members, what they import before them; give their names.

    Whatever compiling or executing raises passes through, after the dictionaries of the modules were restored and
    modules that were imported on the way forgotten.
    """
    changed = set(paths)
    loaded = set(sys.modules)
    modules = {name: module for name, module in _modules_of(store) if _member_of(module) in changed}
    for module in modules.values():
        _compile(module)
    saved = {name: dict(module.__dict__) for name, module in modules.items()}
    order = _in_order_of_import(modules)
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


def _member_of(module: ModuleType) -> str:
    return _loader_of(module).entry.path


def _loader_of(module: ModuleType) -> StoreLoader:
    loader: StoreLoader = module.__spec__.loader  # type: ignore[union-attr, assignment]  # as _modules_of found it
    return loader


def _compile(module: ModuleType) -> None:
    """Raise what compiling the new source raises; a member that went has none, and its module stays."""
    loader = _loader_of(module)
    entry = loader.store.lookup(loader.entry.path)
    if entry is not None:
        type(loader)(loader.name, loader.path, loader.store, entry).get_code(loader.name)


def _in_order_of_import(modules: dict[str, ModuleType]) -> list[str]:
    """Sort modules so that what one imports comes before it; in a circle, as they were imported the first time."""
    graph = {name: {other for other in _imports(module) if other in modules} for name, module in modules.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError:
        return list(modules)


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
