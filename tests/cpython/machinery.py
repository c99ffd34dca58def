"""`importlib.machinery` with our finder and loaders under the names of those for files."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from unittest import TestSuite

from cpython.mirror import DirectoryStore

from archimport import Entry
from archimport.runtime.finder import StoreFinder
from archimport.runtime.loader import BytecodeStoreLoader, StoreLoader


def _in_its_folder(path: str) -> tuple[DirectoryStore, Entry]:
    folder, name = os.path.split(str(path))
    store = DirectoryStore(folder)
    return store, store.lookup(name) or Entry(name)


class SourceFileLoader(StoreLoader):
    def __init__(self, fullname: str, path: str) -> None:
        super().__init__(fullname, path, *_in_its_folder(path))


class SourcelessFileLoader(BytecodeStoreLoader):
    def __init__(self, fullname: str, path: str) -> None:
        super().__init__(fullname, path, *_in_its_folder(path))


class FileFinder(StoreFinder):
    def __init__(self, path: str, *_: object) -> None:
        path = os.path.abspath(path or ".")
        super().__init__(DirectoryStore(path), "", path)

    @classmethod
    def path_hook(cls, *_: object) -> Callable[[str], FileFinder]:
        def hook(path: str) -> FileFinder:
            if not os.path.isdir(path or "."):
                raise ImportError("only directories are supported", path=path)
            return cls(path)

        return hook


_OURS = {cls.__name__: cls for cls in (SourceFileLoader, SourcelessFileLoader, FileFinder)}
_MACHINERY = SimpleNamespace(**{**vars(importlib.machinery), **_OURS})
_STOCK = {getattr(importlib.machinery, name): ours for name, ours in _OURS.items()}


def stand_in() -> None:
    """Let the standard library's names lead to our classes, for tests that ask for the type of what they are given."""
    spec_of = importlib.util.spec_from_file_location

    def spec_from_file_location(*args: object, **options: object) -> ModuleSpec:
        spec = spec_of(*args, **options)
        if type(spec.loader) in _STOCK:
            spec.loader = _STOCK[type(spec.loader)].__base__(spec.name, spec.origin, *_in_its_folder(spec.origin))
        return spec

    importlib.util.spec_from_file_location = spec_from_file_location
    importlib.machinery.FileFinder = StoreFinder


def substituted(suite: TestSuite) -> TestSuite:
    """Give the tests of the interpreter's own importlib, not those of its Python copy, with our classes."""
    kept = TestSuite()
    for test in suite:
        if isinstance(test, TestSuite):
            kept.addTest(substituted(test))
            continue
        case = type(test)
        if case.__name__.startswith("Source_"):
            continue
        if hasattr(case, "machinery"):
            case.machinery = _MACHINERY
        if getattr(case, "loader", None) in _STOCK:
            case.loader = _STOCK[case.loader]
        kept.addTest(test)
    return kept
