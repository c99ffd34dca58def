"""Resources: a store's members as importlib.resources and importlib.metadata see files."""

from __future__ import annotations

import io
import posixpath
from functools import total_ordering
from importlib.resources.abc import TraversableResources
from os import fspath, sep, stat_result
from pathlib import Path, PurePosixPath
from stat import S_IFDIR, S_IFREG

from archimport.runtime import extracted
from archimport.runtime.names import join
from archimport.runtime.paths import ResourcePath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike
    from typing import IO, Self

    from archimport.runtime.store import Entry, Store


@extracted.register
@total_ordering
class StorePath(ResourcePath):
    """A file or directory of a store, existing or not (importlib.resources.abc.Traversable).

    It has what `zipfile.Path` has, and `stat`, `parents` and `resolve` of `pathlib.Path`. Reading raises what `open`
    would: FileNotFoundError, IsADirectoryError.
    """

    __slots__ = ("_store", "path")

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self.path = path

    def __str__(self) -> str:
        """Give what `__file__` of a module here would be."""
        return posixpath.join(self._store.location, self.path) if self.path else self._store.location

    def __repr__(self) -> str:
        """Show the path."""
        return f"StorePath({str(self)!r})"

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, type[StorePath]]]:
        """Pickle as a place, which another process looks for in its own stores."""
        return path_at, (str(self), type(self))

    def __eq__(self, other: object) -> bool:
        """Compare by path."""
        return isinstance(other, StorePath) and str(self) == str(other)

    def __hash__(self) -> int:
        """Hash the path."""
        return hash(str(self))

    def __lt__(self, other: object) -> bool:
        """Order by the parts of the path."""
        return str(self).split("/") < str(other).split("/") if isinstance(other, StorePath) else NotImplemented

    @property
    def name(self) -> str:
        """The last part of the path; of the root, the container's name."""
        return str(self).rpartition("/")[2]

    @property
    def filename(self) -> Path:
        """The path as `pathlib` has it. There is no such file; zipfile.Path has this name too."""
        return Path(str(self))

    @property
    def parent(self) -> Self:
        """The directory that holds this; that of the root lies outside of the store."""
        return self.joinpath("..")

    @property
    def parents(self) -> tuple[Self, ...]:
        """The directories that hold this, the nearest first."""
        return tuple(self.joinpath(parent) for parent in PurePosixPath(str(self)).parents)

    def match(self, pattern: str) -> bool:
        """Return whether the end of the path matches a pattern; of an absolute one, whether the whole path does."""
        return PurePosixPath(str(self)).match(pattern)

    def _entry(self) -> Entry | None:
        return None if self.path.startswith("/") else self._store.lookup(self.path)

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return self._entry() is not None

    def is_dir(self) -> bool:
        """Whether this is a folder."""
        entry = self._entry()
        return entry is not None and entry.is_dir

    def is_file(self) -> bool:
        """Whether this is a file."""
        entry = self._entry()
        return entry is not None and not entry.is_dir

    def stat(self) -> stat_result:
        """Return size, time and mode; FileNotFoundError if there is no such file or directory.

        The time is a number that changes when the content does, as in `loader.path_stats`.
        """
        entry = self._entry()
        if entry is None:
            raise FileNotFoundError(2, "no such member", str(self))
        mode = S_IFDIR | 0o555 if entry.is_dir else S_IFREG | 0o444
        nanoseconds = dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), int(entry.mtime * 10**9))
        return stat_result((mode, 0, 0, 1, 0, 0, entry.size, *[entry.mtime] * 3), nanoseconds)

    def iterdir(self) -> Iterator[Self]:
        """Give the children, sorted by name."""
        if not self.exists():
            raise FileNotFoundError(2, "no such folder", str(self))
        if not self.is_dir():
            raise NotADirectoryError(20, "not a folder", str(self))
        for name in self._store.list(self.path):
            yield type(self)(self._store, join(self.path, name))

    def joinpath(self, *descendants: str | PathLike[str]) -> Self:
        """Give what lies at the path below this one, as `os.path.join` leads to it; outside of the store is nothing."""
        parts = [fspath(descendant).replace(sep, "/") for descendant in descendants]
        path = posixpath.normpath(posixpath.join(str(self), *parts))
        location = self._store.location
        if path == location:
            return type(self)(self._store, "")
        inside = path.startswith(f"{location}/")
        return type(self)(self._store, path[len(location) + 1 :] if inside else path)

    def __truediv__(self, child: str | PathLike[str]) -> Self:
        """Give a child."""
        return self.joinpath(child)

    def resolve(self) -> Self:
        """Give this: there are no links in a store."""
        return self

    def relative_to(self, other: StorePath | str, *, walk_up: bool = False) -> PurePosixPath:
        """Give the path from `other` to this; ValueError if it does not lead there (pathlib.PurePath)."""
        here, there = str(self).split("/"), str(other).rstrip("/").split("/")
        common = 0
        while common < min(len(here), len(there)) and here[common] == there[common]:
            common += 1
        up = len(there) - common
        if up and not walk_up:
            raise ValueError(f"{str(self)!r} is not in the subpath of {str(other)!r}")
        return PurePosixPath(*[".."] * up, *here[common:])

    def open(
        self, mode: str = "r", encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> IO[bytes] | IO[str]:
        """Open for reading, as text (`r`) or bytes (`rb`)."""
        if set(mode) - set("rbt") or "r" not in mode or {"b", "t"} <= set(mode):
            raise ValueError(f"a store's files are opened for reading only, not {mode!r}")
        if "b" in mode and (encoding, errors, newline) != (None, None, None):
            raise ValueError("binary mode takes no encoding, errors or newline argument")
        stream = io.BytesIO(self.read_bytes())
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding or "utf-8", errors, newline)

    def read_bytes(self) -> bytes:
        """Give the content."""
        entry = self._entry()
        if entry is None:
            raise FileNotFoundError(2, "no such member", str(self))
        if entry.is_dir:
            raise IsADirectoryError(21, "is a folder", str(self))
        return self._store.read(entry)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Give the content decoded, newlines translated."""
        with io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding or "utf-8", errors) as stream:
            return stream.read()


class DistributionPath(StorePath):
    """A path of a distribution: `os.path` takes it, as it takes a `pathlib.Path`, since readers of metadata do that.

    Paths of resources have no `__fspath__`, so that opening one as a file is a TypeError and not a missing file.
    """

    __slots__ = ()

    def __fspath__(self) -> str:
        """Return the path, where there is no file."""
        return str(self)


def path_at(place: str, kind: type[StorePath] = StorePath) -> StorePath:
    """Return the file or directory at a place in an open store; StoreUnavailable if there is no such store."""
    from archimport.runtime.registry import store_at

    return kind(*store_at(place))


class StoreReader(TraversableResources):
    """Read the resources of one folder of a store."""

    def __init__(self, store: Store, folder: str) -> None:
        extracted.teach_backport()
        self._root = StorePath(store, folder)

    def files(self) -> StorePath:  # type: ignore[override]  # Traversable in all but its base class
        """Give the folder."""
        return self._root

    def resource_path(self, resource: str) -> str:
        """Refuse: no resource here has a path of the file system; `as_file` makes one."""
        raise FileNotFoundError(2, "is inside a store", str(self._root / resource))
