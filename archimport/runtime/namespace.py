"""Resources of namespace packages whose portions lie in stores, in folders, or in both.

The import machinery gives every namespace package a loader of its own, whose reader knows folders and zip files. It is
taught to ask for a merged view where a portion is ours; elsewhere it does as before.
"""

from __future__ import annotations

from _frozen_importlib_external import NamespaceLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.finder import StoreFinder

_original = NamespaceLoader.get_resource_reader


def teach(finder_of: Callable[[str], StoreFinder | None]) -> None:
    """Let namespace packages read resources from stores; `finder_of` gives our finder of a path entry, or None."""

    def get_resource_reader(self: NamespaceLoader, fullname: str) -> object:
        entries: list[str] = list(self._path)  # type: ignore[attr-defined]  # what its own methods use
        finders = [finder_of(entry) for entry in entries]
        if not any(finders):
            return _original(self, fullname)  # type: ignore[arg-type]  # a name, whatever typeshed says
        from pathlib import Path  # deferred: a plain import reads no resources

        from archimport.runtime.merged import MergedReader  # deferred: loads importlib.resources
        from archimport.runtime.resources import StorePath

        return MergedReader(
            [
                StorePath(finder.store, finder.folder) if finder else Path(entry)
                for finder, entry in zip(finders, entries, strict=True)
            ]
        )

    NamespaceLoader.get_resource_reader = get_resource_reader  # type: ignore[method-assign, assignment]  # until `unteach`


def unteach() -> None:
    """Put back what was taught."""
    NamespaceLoader.get_resource_reader = _original  # type: ignore[method-assign]  # as it was
