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
    from collections.abc import Callable, Iterable

    from archimport.runtime.finder import StoreFinder

#: The standard library's module and its backport, which brings a path reader of its own.
_READERS = ("importlib.metadata", "importlib_metadata")


class MetadataFinder:
    """Stand first on `sys.meta_path`, and teach the reader of path entries to read stores.

    That reader, `FastPath`, walks `sys.path` and knows folders and zip files. What it is taught keeps distributions in
    the exact order of the path and reports none twice, which a finder of its own beside it cannot do.
    """

    def __init__(self, look_again: Callable[[], None], finder_of: Callable[[str], StoreFinder | None]) -> None:
        self._look_again = look_again
        self._finder_of = finder_of
        self._taught: list[tuple[type, object]] = []

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Give None: modules are found through the path hook. `linecache` alone is to be told of what was loaded."""
        return linecache_spec() if fullname == "linecache" else None

    def invalidate_caches(self) -> None:
        """Let every open store look again at what may have changed, and failed ones be tried again."""
        self._look_again()
        forget()

    def find_distributions(self, context: object = None) -> Iterable[object]:
        """Give none; by the time this is asked, the reader that is asked next is loaded and can be taught."""
        for name in _READERS:
            reader = getattr(sys.modules.get(name), "FastPath", None)
            if reader is not None and all(reader is not taught for taught, _ in self._taught):
                self._taught.append((reader, reader.children))
                reader.children = self._children_reader(reader.children)
        return ()

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

    def unteach(self) -> None:
        """Put back what was taught."""
        while self._taught:
            reader, original = self._taught.pop()
            reader.children = original  # type: ignore[attr-defined]  # a FastPath


def forget() -> None:
    """Let the readers look anew at path entries: they remember what they read by the time of the file."""
    for name in _READERS:
        reader = getattr(sys.modules.get(name), "FastPath", None)
        clear = getattr(getattr(reader, "__new__", None), "cache_clear", None)
        if clear is not None:
            clear()
