"""The object on `sys.meta_path`: it lets importlib.metadata see into stores, and receives the call to look again.

importlib.metadata asks `sys.meta_path` and never a path entry finder; Python drops the finders of scheme entries on
`invalidate_caches` without telling them.
"""

from __future__ import annotations

import sys

from archimport.runtime.lines import linecache_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

    from archimport.runtime.finder import StoreFinder

#: The standard library's module and its backport, which brings a path reader of its own.
_READERS = ("importlib.metadata", "importlib_metadata")


class MetadataFinder:
    """Stand first on `sys.meta_path`, and patch the reader of path entries so that it reads stores.

    That reader, `FastPath`, walks `sys.path` and knows directories and zip files. The patch keeps distributions in
    the exact order of the path and reports none twice, which a finder of its own beside it cannot do.
    """

    def __init__(self, look_again: Callable[[], None], finder_of: Callable[[str], StoreFinder | None]) -> None:
        self._look_again = look_again
        self._finder_of = finder_of
        self._patched: list[tuple[object, str, object]] = []

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return None: modules are found through the path hook. Two that remember files are patched when they load."""
        if fullname == "linecache":
            return linecache_spec()
        if fullname == "stevedore._cache":
            from archimport.runtime import stevedore  # deferred: few programs have it

            return stevedore.patching_spec(path, self._patch_stevedore)
        return None

    def invalidate_caches(self) -> None:
        """Let every open store look again at what may have changed, and failed ones be tried again."""
        self._look_again()
        forget()

    def find_distributions(self, context: object = None) -> Iterable[object]:
        """Return none; by the time this is asked, the reader that is asked next is loaded and can be patched."""
        for name in _READERS:
            reader = getattr(sys.modules.get(name), "FastPath", None)
            if reader is not None and all(reader is not patched for patched, *_ in self._patched):
                self._patch(reader, "children", self._children_reader(reader.children))
        return ()

    def _patch(self, owner: object, name: str, value: object) -> None:
        self._patched.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def _patch_stevedore(self, module: ModuleType) -> None:
        from archimport.runtime.stevedore import hash_with_stores

        name = "_hash_settings_for_path"
        if hasattr(module, name):
            self._patch(module, name, hash_with_stores(getattr(module, name), self._finder_of))

    def patch_loaded(self) -> None:
        """Patch what was loaded before this stood on `sys.meta_path`."""
        stevedore = sys.modules.get("stevedore._cache")
        if stevedore is not None:
            self._patch_stevedore(stevedore)

    def _children_reader(self, original: Callable[[object], Iterable[str]]) -> Callable[[object], Iterable[str]]:
        def children(self_: object) -> Iterable[str]:
            from archimport.runtime.resources import DistributionPath  # deferred: loads importlib.resources

            finder = self._finder_of(self_.root)  # type: ignore[attr-defined]  # a FastPath
            if finder is None:
                return original(self_)
            path = DistributionPath(finder.store, finder.folder)
            self_.joinpath = path.joinpath  # type: ignore[attr-defined]  # ditto
            return finder.store.list(finder.folder)

        return children

    def restore(self) -> None:
        """Restore what was patched."""
        while self._patched:
            setattr(*self._patched.pop())


def forget() -> None:
    """Let the readers look anew at path entries: they remember what they read by the time of the file."""
    for name in _READERS:
        reader = getattr(sys.modules.get(name), "FastPath", None)
        clear = getattr(getattr(reader, "__new__", None), "cache_clear", None)
        if clear is not None:
            clear()
    if "stevedore" in sys.modules:
        from archimport.runtime import stevedore  # deferred: few programs have it

        stevedore.forget()
