"""Packages and modules that have to be real files: their spec says where these will be, and loading puts them there."""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import (
    ExtensionFileLoader,
    SourceFileLoader,
    SourcelessFileLoader,
    spec_from_file_location,
)

from archimport.runtime.loader import BytecodeStoreLoader, StoreLoader
from archimport.runtime.native import ExtensionLoader
from archimport.runtime.places import package_folder, planned_folder
from archimport.runtime.unit import unit_named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from types import ModuleType
    from typing import Any

    from archimport.runtime.store import Entry, Store


class Unpacked:
    """What makes a loader of files unpack them first, whatever it is asked for.

    They come from `unit`, a name of one of `store`; in it `member` is the module's file.
    """

    name: str
    path: str
    store: Store
    unit: str
    member: str
    _is_there = False

    @property
    def root(self) -> str:
        """The folder that the unit is unpacked into."""
        return self.path.removesuffix(f"/{self.member}")

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Unpack, and let the spec say where that went: there may have been no place where it was planned."""
        planned = os.path.dirname(self.path)
        self._unpack()
        folder = os.path.dirname(self.path)
        if folder != planned:
            spec.origin = self.path
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations[:] = [folder]
        return super().create_module(spec)  # type: ignore[misc, no-any-return]  # of the loader this is mixed into

    def get_data(self, path: str) -> bytes:
        """Give the content of a file."""
        self._unpack()
        return super().get_data(path)  # type: ignore[misc, no-any-return]  # ditto

    def get_resource_reader(self, fullname: str) -> object:
        """Give the reader of the module's folder."""
        self._unpack()
        return super().get_resource_reader(fullname)  # type: ignore[misc]  # ditto

    def _unpack(self) -> None:
        if not self._is_there:
            folder = package_folder(unit_named(self.store, self.unit), self.name)
            self.path = f"{folder}/{self.member}"
            self._is_there = True
            for entry in list(sys.path_importer_cache):
                if entry.startswith(folder):  # somebody looked before there was anything
                    sys.path_importer_cache.pop(entry, None)


class UnpackedSourceLoader(Unpacked, SourceFileLoader):  # type: ignore[misc]  # typeshed has other signatures
    """Load an unpacked module from source."""

    def path_stats(self, path: str) -> dict[str, float]:
        """Give time and size of a file."""
        self._unpack()
        return dict(super().path_stats(path))


class UnpackedBytecodeLoader(Unpacked, SourcelessFileLoader):  # type: ignore[misc]  # ditto
    """Load an unpacked module that has no source."""


class UnpackedExtensionLoader(Unpacked, ExtensionFileLoader):  # type: ignore[misc]  # ditto
    """Load an unpacked extension module."""


_LOADERS: dict[type[StoreLoader], Any] = {
    StoreLoader: UnpackedSourceLoader,
    BytecodeStoreLoader: UnpackedBytecodeLoader,
    ExtensionLoader: UnpackedExtensionLoader,
}


def unpacked_spec(fullname: str, kind: type[StoreLoader], store: Store, unit: str, entry: Entry) -> ModuleSpec:
    """Give the spec of a module, or of a package if `entry` is its `__init__`, whose files are a unit's."""
    path = f"{planned_folder(unit, store.location)}/{entry.path}"
    loader = _LOADERS[kind](fullname, path)
    loader.store, loader.unit, loader.member = store, unit, entry.path
    is_package = entry.path.rpartition("/")[2].startswith("__init__.")
    locations = [os.path.dirname(path)] if is_package else None
    spec = spec_from_file_location(fullname, path, loader=loader, submodule_search_locations=locations)
    spec.loader_state = entry  # type: ignore[union-attr]  # None is given without a loader alone
    return spec  # type: ignore[return-value]  # ditto
