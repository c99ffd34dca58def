"""Entry points for stevedore, which keeps them on disk for as long as the times of path entries stay what they were.

A path entry of a store is no directory with a time, and the file of a database changes unseen. So what stevedore makes
of the path says too which entry points the stores on it have now.
"""

from __future__ import annotations

import sys
from _frozen_importlib_external import PathFinder

from archimport.runtime.names import join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType
    from typing import Any

    from archimport.runtime.finder import StoreFinder

    FinderOf = Callable[[str], "StoreFinder | None"]

#: The module of stevedore that keeps entry points.
CACHE = "stevedore._cache"


class _PatchingLoader:
    """The loader of a module that is patched once it was executed; then it is the original's."""

    def __init__(self, loader: Any, patch: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._patch = patch

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let the original do it."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module as its original loader does, and patch it."""
        module.__spec__.loader = module.__loader__ = self._loader  # type: ignore[union-attr]  # it has one by now
        self._loader.exec_module(module)
        self._patch(module)


def patching_spec(path: Sequence[str] | None, patch: Callable[[ModuleType], None]) -> ModuleSpec | None:
    """Return the spec by which stevedore's cache is imported and patched."""
    spec = PathFinder.find_spec(CACHE, path)
    if spec is not None and spec.loader is not None:
        spec.loader = _PatchingLoader(spec.loader, patch)  # type: ignore[assignment]  # as loaders are
    return spec


def hash_with_stores(original: Callable[..., tuple[str, object]], finder_of: FinderOf) -> Callable[..., object]:
    """Return what takes the place of stevedore's hash of a path."""

    def hash_settings_for_path(path: tuple[str, ...]) -> tuple[str, object]:
        from hashlib import blake2b  # deferred: loaded by stevedore

        key, settings = original(path)
        finders = [finder for finder in map(finder_of, path) if finder is not None]
        held = repr([(finder.path, *_entry_points(finder)) for finder in finders])
        return blake2b(f"{key}{held}".encode(), digest_size=32).hexdigest() if finders else key, settings

    return hash_settings_for_path


def _entry_points(finder: StoreFinder) -> Iterator[tuple[object, ...]]:
    for name in finder.store.list(finder.folder):
        if name.endswith((".dist-info", ".egg-info")):
            entry = finder.store.lookup(join(finder.folder, f"{name}/entry_points.txt"))
            yield (name, entry.digest or finder.store.read(entry)) if entry is not None else (name,)


def forget() -> None:
    """Let stevedore read entry points anew in this process."""
    cache = getattr(sys.modules.get(CACHE), "_c", None)
    manager = getattr(sys.modules.get("stevedore.extension"), "ExtensionManager", None)
    for kept in (getattr(cache, "_internal", None), getattr(manager, "ENTRY_POINT_CACHE", None)):
        if kept:
            kept.clear()
