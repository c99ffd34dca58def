"""The zstd decoder that a store carries: an extension module, which is loaded as any is, but without its package."""

from __future__ import annotations

import _imp
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import EXTENSION_SUFFIXES

from archimport.runtime.errors import ArchimportError
from archimport.runtime.places import library_path
from archimport.runtime.unit import OWN, unit_of_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from archimport.runtime.store import Store

#: Where decoders lie in a store, each under the file name that its interpreter and platform look for.
DECODERS = f"{OWN}decoder/"


def carried_decoder(store: Store) -> ModuleType | None:
    """Give the decoder for this interpreter, if the store carries one that can be loaded here."""
    for suffix in EXTENSION_SUFFIXES:
        entry = store.lookup(f"{DECODERS}_zstd{suffix}")
        if entry is not None:
            try:
                path = library_path(unit_of_library(store, entry.path), entry.path)
                module: ModuleType = _imp.create_dynamic(ModuleSpec("backports.zstd._zstd", None, origin=path))
                _imp.exec_dynamic(module)
            except (ArchimportError, ImportError):
                continue
            return module
    return None
