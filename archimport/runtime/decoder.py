"""The zstd decoder that a store carries: an extension module, which is loaded as any is, but without its package."""

from __future__ import annotations

import _imp
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import EXTENSION_SUFFIXES

from archimport.runtime.errors import ConfigError
from archimport.runtime.places import library_path
from archimport.runtime.unit import OWN, unit_of_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from archimport.runtime.store import Store

#: Where decoders lie in a store, each under the file name that its interpreter and platform look for.
DECODERS = f"{OWN}decoder/"


def carried_decoder(store: Store) -> ModuleType | None:
    """Give the decoder that a store carries for this interpreter, if any; ConfigError if it cannot be loaded here."""
    paths = [f"{DECODERS}_zstd{suffix}" for suffix in EXTENSION_SUFFIXES]
    path = next((path for path in paths if store.lookup(path) is not None), None)
    if path is None:
        return None
    library = library_path(unit_of_one(store, path), path)
    try:
        module: ModuleType = _imp.create_dynamic(ModuleSpec("backports.zstd._zstd", None, origin=library))
        _imp.exec_dynamic(module)
    except ImportError as exc:
        raise ConfigError(f"the decoder that is carried cannot be loaded: {exc}", member=path) from None
    return module
