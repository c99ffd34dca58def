"""The contract between a store and the runtime: what it holds, and nothing about modules."""

from __future__ import annotations

from archimport.runtime.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event

    from archimport.runtime.errors import ArchimportError
    from archimport.runtime.unit import Plan


class Entry:
    """One file or folder of a store.

    `path` is relative to the store's root, with `/` between names and no `..`; the root itself is `""`. `size` is in
    bytes. `mtime` is any number that changes when the content does (seconds, a revision). `digest` is the BLAKE2b-256
    of the content where the store knows it without reading. `handle` is the store's own: how it finds the bytes.
    `problem` is what `read` raises, where the store knows without reading that the file cannot be read: it is odd.
    """

    __slots__ = ("digest", "handle", "is_dir", "mtime", "path", "problem", "size")

    def __init__(
        self,
        path: str,
        *,
        is_dir: bool = False,
        size: int = 0,
        mtime: int = 0,
        digest: bytes | None = None,
        handle: object = None,
        problem: ArchimportError | None = None,
    ) -> None:
        self.path = path
        self.is_dir = is_dir
        self.size = size
        self.mtime = mtime
        self.digest = digest
        self.handle = handle
        self.problem = problem

    def __reduce__(self) -> tuple[Callable[..., Entry], tuple[object, ...]]:
        """Pickle what another process can use: not how this store finds the bytes."""
        return _entry, (self.path, self.is_dir, self.size, self.mtime, self.digest)

    def __repr__(self) -> str:
        """Show the path as a listing would."""
        return f"<Entry {self.path + '/' if self.is_dir else self.path!r}>"


def _entry(path: str, is_dir: bool, size: int, mtime: int, digest: bytes | None) -> Entry:
    return Entry(path, is_dir=is_dir, size=size, mtime=mtime, digest=digest)


class Changes:
    """What a refresh brought: `added`, `changed` and `removed`, each a sorted tuple of member paths."""

    __slots__ = ("added", "changed", "removed")

    def __init__(self, before: dict[str, object] | None = None, after: dict[str, object] | None = None) -> None:
        before, after = before or {}, after or {}
        self.added = tuple(sorted(after.keys() - before.keys()))
        self.removed = tuple(sorted(before.keys() - after.keys()))
        self.changed = tuple(sorted(path for path in after.keys() & before.keys() if after[path] != before[path]))

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.added or self.changed or self.removed)

    def __repr__(self) -> str:
        """Show the three tuples."""
        return f"Changes(added={self.added}, changed={self.changed}, removed={self.removed})"


class Snapshot:
    """The content of a store at one time, kept to compare with and to go back to."""

    __slots__ = ()

    @property
    def key(self) -> object:
        """Stands for the content: equal keys, equal content."""
        raise NotImplementedError

    def versions(self) -> dict[str, object]:
        """Return, for each path, a value that changes when the content does."""
        raise NotImplementedError


def changes_between(before: Snapshot | None, after: Snapshot | None) -> Changes:
    """Return what changed from one snapshot to another; nothing where there are none."""
    if before is None or after is None or before is after:
        return Changes()
    return Changes(before.versions(), after.versions())


class Store:
    """A read-mostly tree of members.

    A store must set `location` and define `lookup`, `list` and `read`; the rest has a meaning by default. `lookup`
    and `list` run under the global import lock: they must not wait for a network, a lock or another thread, and they
    answer for any string. `read` may raise any ArchimportError; nothing else may escape.
    """

    #: Shaped like an absolute path, unchanged by `os.path.abspath`: what `__file__` of every module starts with.
    location: str
    #: What the command line calls it.
    kind = "store"
    #: Whether `write` works.
    writable = False
    #: Whether bytecode of what is compiled at run time is written into the store, where that is writable.
    keeps_bytecode = True
    #: Whether an interpreter that is started with the container finds in it, as a zip archive, what to run.
    starts_itself = False
    #: Whether there may be extension modules: where there are none, no lookup asks for them.
    may_have_libraries = True
    #: What `archimport.runtime.unit` read last, and from which entry.
    plan: tuple[Entry | None, Plan | None] = (None, None)

    def lookup(self, path: str) -> Entry | None:
        """Give the entry at `path`, or None. The root is `""` and always a folder."""
        raise NotImplementedError

    def list(self, folder: str) -> Iterable[str]:
        """Give the names of the children of `folder`, sorted; nothing where there is no such folder."""
        raise NotImplementedError

    def read(self, entry: Entry) -> bytes:
        """Give the content of a file that `lookup` found, verified."""
        raise NotImplementedError

    def read_once(self, entry: Entry) -> bytes:
        """Give the content of a file that no later start will ask for, since it is kept elsewhere."""
        return self.read(entry)

    def write(self, path: str, data: bytes) -> None:
        """Put `data` at `path`, durably, all or nothing; ConfigError where the store is read-only.

        Bytecode in its place (PEP 3147) may be kept back until `flush`; `lookup` and `read` see it at once.
        """
        raise ConfigError(f"cannot write {path!r}: the store is read-only", store=self.location)

    def flush(self) -> None:
        """Write the bytecode that `write` has kept back, which it may: where that fails it is compiled again."""

    def check(self) -> None:
        """Raise ConfigError if this interpreter is not one that the content was made for."""

    def invalidate(self) -> None:
        """Note that what the container holds may have changed: look with the next lookup, or now, if that may wait."""

    def move(self) -> None:
        """Read from now on what the container holds now, where that can change."""

    def refresh(self) -> Changes:
        """Move to what the container holds now; return what changed."""
        before = self.snapshot()
        self.move()
        return changes_between(before, self.snapshot())

    def snapshot(self) -> Snapshot | None:
        """Return the content that is read now; None where it never changes."""
        return None

    def restore(self, snapshot: Snapshot | None) -> None:
        """Read again the content of a snapshot that this store made, after a refresh that failed."""

    def version(self, entry: Entry) -> object:
        """Return a value that changes when the content of an entry does."""
        return entry.digest or (entry.size, entry.mtime)

    def expect(self, entries: Iterable[Entry]) -> None:
        """Fetch contents that will be read soon, perhaps twice, in few round trips; drop what was expected before."""

    def newest(self) -> object:
        """Return the key of the content that `refresh` would move to; None if what is read is the newest."""
        return None

    def wait(self, seconds: float, stopped: Event) -> None:
        """Return after some time, when there may be newer content, or when `stopped` is set."""
        stopped.wait(seconds)

    def pinned(self) -> dict[str, object]:
        """Give options with which another process opens just the content that this one has; none if it is fixed."""
        return {}

    def describe(self) -> dict[str, object]:
        """Give facts about the container for people and programs: JSON-able, in the order to show them."""
        return {}

    def verify(self) -> Iterator[str]:
        """Read everything, raising on the first damage; give a line on each part that was checked."""
        yield f"{sum(1 for entry in self.walk() if self.read(entry) is not None)} files"

    def close(self) -> None:
        """Let go of what the store holds open. Loaded modules may not read from it afterwards."""

    def walk(self, folder: str = "") -> Iterator[Entry]:
        """Return every file below `folder` that can be read, sorted by path."""
        for name in self.list(folder):
            entry = self.lookup(f"{folder}/{name}" if folder else name)
            if entry is not None and entry.is_dir:
                yield from self.walk(entry.path)
            elif entry is not None and entry.problem is None:
                yield entry

    def odd(self, folder: str = "") -> Iterable[Entry]:
        """Return the files below `folder` that have a `problem`, sorted by path: some have names that no file has."""
        return ()
