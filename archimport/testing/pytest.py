"""Tests that lie in stores: `pytest --pyargs PACKAGE` collects them, and rewrites their assertions.

pytest looks for files. What `--pyargs` names and a store holds is taken from its arguments and collected here instead;
the store has to be on `sys.path` by then: by `PYTHONPATH` after `archimport enable`, or mounted in a `conftest.py`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import sys
from fnmatch import fnmatch
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.assertion.rewrite import rewrite_asserts

from archimport.runtime.loader import StoreLoader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, ModuleType

_named = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Take from the arguments what lies in stores, and let its assertions be rewritten."""
    if not config.option.pyargs:
        return
    named = config.stash[_named] = [argument for argument in config.args if _spec_of(argument.partition("::")[0])]
    config.args[:] = [argument for argument in config.args if argument not in named]
    if named:
        finder = _RewritingFinder(config)
        sys.meta_path.insert(0, finder)
        config.add_cleanup(lambda: sys.meta_path.remove(finder))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the tests of the packages and modules that were taken from the arguments."""
    known = {item.nodeid for item in items}
    for argument in config.stash.get(_named, []):
        name, *parts = argument.split("::")
        found = [
            item
            for module in _test_modules(name, config)
            for item in session.genitems(_StoreModule.of(session, module))
            if _is_below(item, parts)
        ]
        if parts and not found:
            raise pytest.UsageError(f"not found: {argument}")
        items.extend(item for item in found if item.nodeid not in known)
        known.update(item.nodeid for item in found)


class _StoreModule(pytest.Module):
    """A test module of a store."""

    module_name: str

    @classmethod
    def of(cls, session: pytest.Session, name: str) -> _StoreModule:
        """Give the collector of a module."""
        spec = _spec_of(name)
        place = spec.origin if spec is not None and spec.origin is not None else name
        self: _StoreModule = cls.from_parent(session, path=Path(place), nodeid=place)
        self.module_name = name
        return self

    def _getobj(self) -> ModuleType:
        try:
            return importlib.import_module(self.module_name)
        except Exception as exc:
            raise self.CollectError(f"cannot import {self.module_name}: {exc!r}") from exc


class _RewritingLoader(StoreLoader):
    """Compile as pytest does."""

    config: pytest.Config

    def source_to_code(self, data: Any, path: Any, *_: object, **options: Any) -> CodeType:
        tree = ast.parse(data, str(path))
        rewrite_asserts(tree, bytes(data), str(path), self.config)
        return compile(tree, path, "exec", dont_inherit=True, optimize=options.get("_optimize", -1))


class _RewritingFinder:
    """Stands first on `sys.meta_path` for test modules and `conftest`s of stores."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._loader = type("RewritingLoader", (_RewritingLoader,), {"config": config})

    def find_spec(self, name: str, path: Sequence[str] | None = None, _: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if _is_tested(name, self._config) else None
        found = spec.loader if spec is not None else None
        if spec is None or not isinstance(found, StoreLoader):
            return None
        spec.loader = self._loader(found.name, found.path, found.store, found.entry)
        return spec


def _is_below(item: pytest.Item, parts: Sequence[str]) -> bool:
    """Whether the names of an item and of what holds it begin with these; parameters need not be named."""
    chain = [node.name for node in item.listchain()[2:]]
    return len(chain) >= len(parts) and all(
        part in (name, name.partition("[")[0]) for part, name in zip(parts, chain, strict=False)
    )


def _spec_of(name: str) -> ModuleSpec | None:
    """Give the spec of a module, if it lies in a store."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec if spec is not None and isinstance(spec.loader, StoreLoader) else None


def _is_tested(name: str, config: pytest.Config) -> bool:
    file = f"{name.rpartition('.')[2]}.py"
    return file == "conftest.py" or any(fnmatch(file, pattern) for pattern in config.getini("python_files"))


def _test_modules(name: str, config: pytest.Config) -> Iterator[str]:
    """Give the test modules of a package, or the module itself; `conftest`s are registered as plugins on the way."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        _register(".".join([*parts[:depth], "conftest"]), config)
    spec = _spec_of(name)
    if spec is None or spec.submodule_search_locations is None:
        yield name
        return
    for found in pkgutil.walk_packages(spec.submodule_search_locations, f"{name}."):
        if found.name.endswith(".conftest"):
            _register(found.name, config)
        elif not found.ispkg and _is_tested(found.name, config):
            yield found.name


def _register(conftest: str, config: pytest.Config) -> None:
    """Let pytest know the fixtures and hooks of a `conftest`, if there is one and it is not known yet."""
    if not config.pluginmanager.has_plugin(conftest) and _spec_of(conftest):
        config.pluginmanager.register(importlib.import_module(conftest), conftest)
