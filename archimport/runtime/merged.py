"""Several folders seen as one: the portions of a namespace package as importlib.resources sees them."""

from __future__ import annotations

from importlib.resources.abc import TraversableResources

from archimport.runtime import extracted
from archimport.runtime.paths import ResourcePath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike, stat_result
    from pathlib import Path
    from typing import NoReturn, TypeAlias

    from archimport.runtime.resources import StorePath

    Folder: TypeAlias = "StorePath | Path | MergedFolder"


@extracted.register
class MergedFolder(ResourcePath):
    """Folders seen as one (importlib.resources.abc.Traversable): equal names merge if folders, else the first is it."""

    def __init__(self, folders: Sequence[Folder]) -> None:
        self._folders = folders

    def __repr__(self) -> str:
        """Name the folders."""
        return f"MergedFolder({', '.join(map(repr, map(str, self._folders)))})"

    @property
    def name(self) -> str:
        """The name of the folders."""
        return self._folders[0].name

    def exists(self) -> bool:
        """Return True."""
        return True

    def stat(self) -> stat_result:
        """Return what the first of the directories returns."""
        return self._folders[0].stat()

    def is_dir(self) -> bool:
        """Give True."""
        return True

    def is_file(self) -> bool:
        """Give False."""
        return False

    def iterdir(self) -> Iterator[Folder]:
        """Give the children, sorted by name."""
        names = {child.name for folder in self._folders if folder.is_dir() for child in folder.iterdir()}
        for name in sorted(names):
            yield self.joinpath(name)

    def joinpath(self, *descendants: str | PathLike[str]) -> Folder:
        """Give what lies at the path below: a file of the first folder that has it, or all such folders merged."""
        found = [folder.joinpath(*descendants) for folder in self._folders]
        there = [child for child in found if child.is_file() or child.is_dir()]
        if len(there) < 2 or there[0].is_file():
            return (there or found)[0]
        return MergedFolder([child for child in there if child.is_dir()])

    def __truediv__(self, child: str | PathLike[str]) -> Folder:
        """Give a child."""
        return self.joinpath(child)

    def read_bytes(self) -> NoReturn:
        """Raise IsADirectoryError."""
        raise IsADirectoryError(21, "is a folder", repr(self))

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> NoReturn:
        """Raise IsADirectoryError."""
        raise IsADirectoryError(21, "is a folder", repr(self))

    def open(self, mode: str = "r", *args: object, **kwargs: object) -> NoReturn:
        """Raise IsADirectoryError."""
        raise IsADirectoryError(21, "is a folder", repr(self))


class MergedReader(TraversableResources):
    """Read the resources of a namespace package."""

    def __init__(self, folders: Sequence[Folder]) -> None:
        extracted.teach_backport()
        self._root = MergedFolder(folders)

    def files(self) -> MergedFolder:  # type: ignore[override]  # Traversable in all but its base class
        """Give the merged folders."""
        return self._root

    def resource_path(self, resource: str) -> str:
        """Give the path of a resource that is a file of the file system; FileNotFoundError for others."""
        found = self._root.joinpath(resource)
        if not hasattr(found, "__fspath__") or not found.is_file():
            raise FileNotFoundError(2, "is no file of the file system", resource)
        return str(found)
