"""Source lines for tracebacks, warnings and debuggers: `linecache` is told where those of a module come from."""

from __future__ import annotations

import sys
from _frozen_importlib_external import PathFinder, SourceFileLoader, decode_source
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from collections.abc import Callable
    from types import ModuleType

    from archimport.runtime.loader import StoreLoader
    from archimport.runtime.store import Store

_unseeded: dict[str, tuple[ref[StoreLoader], ref[Store], str]] = {}


def tell_linecache(loader: StoreLoader) -> None:
    """Let `linecache` find the source of a module without the module: warnings, pdb and inspect need that.

    Done here and not in `exec_module`, where it would leave a frame of ours in every traceback. What is loaded before
    `linecache` is told to it once it is there: before Python 3.13 it is worth twenty modules.
    """
    _unseeded[loader.path] = ref(loader), ref(loader.store), loader.entry.path
    if sys.version_info >= (3, 13):
        import linecache  # alone since then  # noqa: F401
    _seed()


def _seed() -> None:
    lines: dict[str, object] | None = getattr(sys.modules.get("linecache"), "cache", None)  # none while it is imported
    if lines is not None:
        for path in list(_unseeded):
            unseeded = _unseeded.pop(path, None)
            if unseeded is not None:
                lines[path] = (_lines_of(*unseeded),)  # the lazy entry that linecache.lazycache makes


def linecache_spec() -> ModuleSpec | None:
    """Give the spec by which `linecache` is imported and told of all that was loaded before it."""
    spec = PathFinder.find_spec("linecache")
    if spec is not None and isinstance(spec.loader, SourceFileLoader):
        spec.loader = _LinecacheLoader(spec.loader.name, spec.loader.path)
    return spec


class _LinecacheLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _seed()


def _lines_of(alive: ref[StoreLoader], store_alive: ref[Store], path: str) -> Callable[[], str | None]:
    """Give what `linecache` calls for the source; it must not keep a store open, nor raise in a traceback's stead.

    The loader knows what it loaded. That of a module whose import failed is gone: then the store's content is it.
    """

    def lines() -> str | None:
        try:
            loader, store = alive(), store_alive()
            if loader is not None:
                return loader.get_source(loader.name)
            entry = store.lookup(path) if store is not None else None
            return decode_source(store.read(entry)) if store is not None and entry is not None else None
        except Exception:  # noqa: BLE001 - whatever a store by others raises
            return None

    return lines
