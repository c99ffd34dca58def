"""What resource paths have of `pathlib.Path` beside reading: the parts of the name, and patterns."""

from __future__ import annotations

from fnmatch import fnmatchcase
from os import fspath
from pathlib import PurePosixPath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike
    from typing import TypeAlias

    from archimport.runtime.merged import Folder

    #: What is left of a pattern, once for each way in which the parts before can have matched.
    Rests: TypeAlias = "frozenset[tuple[str, ...]]"


class ResourcePath:
    """What follows from `name`, `is_dir` and `iterdir`, as zipfile.Path and pathlib have it."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The last part of the path."""
        raise NotImplementedError

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The last suffix of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def suffixes(self) -> list[str]:
        """The suffixes of the name, with their dots."""
        return PurePosixPath(self.name).suffixes

    def is_dir(self) -> bool:
        """Return whether this is a directory."""
        raise NotImplementedError

    def iterdir(self) -> Iterator[Folder]:
        """Return the children, sorted by name."""
        raise NotImplementedError

    def is_symlink(self) -> bool:
        """Return False: there are no links in a store."""
        return False

    def glob(self, pattern: str | PathLike[str]) -> Iterator[Folder]:
        """Return what matches a relative pattern below this directory, as pathlib of Python 3.13 and newer matches.

        A directory comes before what it holds. `**` matches any number of directories, and at the end of the pattern
        their files too; a pattern that ends in a slash matches directories only. `*` matches leading dots.
        ValueError if the pattern is empty, NotImplementedError if it is absolute.
        """
        parts = PurePosixPath(pattern).parts
        if not parts:
            raise ValueError(f"the pattern is empty: {fspath(pattern)!r}")
        if parts[0].startswith("/"):
            raise NotImplementedError(f"the pattern is not relative: {fspath(pattern)!r}")
        found = _matches(self, _closed([parts])) if self.is_dir() else iter(())  # type: ignore[arg-type]  # is one
        return (path for path in found if path.is_dir()) if fspath(pattern).endswith("/") else found

    def rglob(self, pattern: str | PathLike[str]) -> Iterator[Folder]:
        """Return what matches a relative pattern below this directory or below any directory in it."""
        text = fspath(pattern)
        return self.glob(text if text.startswith("/") else f"**/{text}")


def _matches(path: Folder, rests: Rests) -> Iterator[Folder]:
    """Return the path if it is what the pattern asks for, then what is so below it: no path twice."""
    if () in rests:
        yield path
    if any(rests) and path.is_dir():
        for child in path.iterdir():
            below = _closed(
                rest if rest[0] == "**" else rest[1:]
                for rest in rests
                if rest and (rest[0] == "**" or fnmatchcase(child.name, rest[0]))
            )
            if below:
                yield from _matches(child, below)


def _closed(rests: Iterable[tuple[str, ...]]) -> Rests:
    """Return the rests, and those in which a leading `**` has matched no directory."""
    found = frozenset(rests)
    shorter = {rest[1:] for rest in found if rest[:1] == ("**",)}
    return found | _closed(shorter) if shorter else found
