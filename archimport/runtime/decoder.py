"""The zstd decoder that a store carries: an extension module, from memory, so that a start writes nothing."""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import EXTENSION_SUFFIXES

from archimport.runtime.codec import load_extension
from archimport.runtime.errors import ArchimportError, ConfigError, LimitError
from archimport.runtime.memory import file_in_memory
from archimport.runtime.unit import OWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from archimport.runtime.store import Store

#: Where decoders lie in a store, each under the file name that its interpreter and platform look for.
DECODERS = f"{OWN}decoder/"
#: In bytes; today's decompressors have less than one MiB.
_MAX_DECOMPRESSOR = 16 << 20


def carried_decoder(store: Store) -> ModuleType | None:
    """Return the decompressor that a store carries for this interpreter, if any.

    ConfigError if it cannot be loaded here, LimitError if it is larger than any decompressor.
    """
    entries = (store.lookup(f"{DECODERS}_zstd{suffix}") for suffix in EXTENSION_SUFFIXES)
    entry = next((entry for entry in entries if entry is not None), None)
    if entry is None:
        return None
    if entry.size > _MAX_DECOMPRESSOR:
        raise LimitError(f"decompressor of {entry.size} bytes is too large", member=entry.path)
    sys.audit("archimport.load", "backports.zstd._zstd", store.location, entry.path)
    try:
        return _load(file_in_memory("_zstd", store.read(entry)))
    except (OSError, ImportError) as exc:
        if isinstance(exc, ArchimportError):
            raise
    from archimport.runtime.places import library_path  # deferred: on Linux there is memory
    from archimport.runtime.unit import unit_of_one

    try:
        return _load(library_path(unit_of_one(store, entry.path), entry.path))
    except ImportError as exc:
        raise ConfigError(f"the decoder that is carried cannot be loaded: {exc}", member=entry.path) from None


def _load(path: str) -> ModuleType:
    """Load it without its package, whose modules would cost as much again."""
    return load_extension(ModuleSpec("backports.zstd._zstd", None, origin=path))
