"""A zip archive as a store."""

from __future__ import annotations

from archimport.runtime.bytecode import source_of
from archimport.runtime.errors import (
    ArchimportError,
    ConfigError,
    FormatError,
    IntegrityError,
    LimitError,
    StoreChangedError,
    StoreUnavailable,
)
from archimport.runtime.file import ContainerFile
from archimport.runtime.index import MemberIndex
from archimport.runtime.names import are_plain, check_name
from archimport.runtime.store import Entry, Snapshot, Store
from archimport.zip.format import read_directory
from archimport.zip.member import METHODS, check_readable, prepare, read_member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archimport.zip.gathered import Gathered
    from archimport.zip.member import Member

#: What `mount` may ask of a zip.
OPTIONS = frozenset({"writable"})


def open_store(path: str, *, writable: bool = False) -> ZipStore:
    """Open the archive at `path`: FormatError, LimitError or StoreUnavailable if that cannot be."""
    return ZipStore(path, writable=writable)


class _Index(MemberIndex):
    """The index of a directory's members; those that are `odd` besides, by their names as they are."""

    __slots__ = ("odd",)

    def __init__(self, members: list[Member]) -> None:
        named = members if are_plain([member.path for member in members]) else [*filter(_has_name, members)]
        files = [member for member in named if not member.is_dir]
        self._build([member.path for member in files], files, [member.path for member in named if member.is_dir])
        self._check_kinds()
        self.odd = {member.path: member for member in members if member.problem is not None}


class _Opened(Snapshot):
    """What is read from: a `file`, the `members` that its directory names, and their `index`. Replaced as one."""

    __slots__ = ("file", "index", "members")

    def __init__(self, path: str) -> None:
        self.file = ContainerFile(path)
        try:
            self.members = read_directory(self.file.read, self.file.size)
            for member in self.members:
                member.handle = self.file
            self.index = _Index(self.members)
            prepare(self.members)
        except ArchimportError as exc:
            self.file.close()
            exc.store = path
            raise
        except MemoryError:
            self.file.close()
            raise LimitError("the directory does not fit into memory", store=path) from None

    @property
    def key(self) -> object:
        """The file that was opened, in the state it had then."""
        return self.file.identity

    def versions(self) -> dict[str, object]:
        """Return what the directory says of each member's content."""
        return {entry.path: _version(entry) for entry in self.index.files()}


def _has_name(member: Member) -> bool:
    """Return whether a member has a name that a file of a store can have; that is its problem otherwise."""
    try:
        check_name(member.path)
    except ArchimportError as exc:
        member.problem = member.problem or type(exc)(exc.message)
        member.path += "/" if member.is_dir else ""
        member.is_dir = False
        return False
    return True


class ZipStore(Store):
    """A zip archive. The directory is read once, a member at each `read`, its checksum verified.

    The archive may be replaced while open: what was found stays readable, and what is new is found after `invalidate`
    or `refresh`. If there is no whole archive then, what was opened goes on; `refresh` says so.
    """

    kind = "zip"

    def __init__(self, path: str, *, writable: bool = False) -> None:
        self.location = path
        self.writable = writable
        self._opened = _Opened(path)
        self._gathered = self._gather() if writable else None
        self._asked = self._looked = object()  # the last time that somebody wanted a look, and the last one done

    def _gather(self) -> Gathered:
        """Return what keeps bytecode until the store is closed or the process ends."""
        import atexit  # deferred: most archives are read only

        from archimport.zip.gathered import Gathered

        gathered = Gathered(self.location)
        atexit.register(gathered.write)
        return gathered

    def _current(self) -> _Index:
        asked = self._asked
        if self._looked is not asked:
            try:
                self._look_again()
            except ArchimportError:  # gone or half written: what was opened is still whole
                return self._opened.index
            finally:
                self._looked = asked
        return self._opened.index

    def _look_again(self) -> None:
        if not self._opened.file.is_current():
            self._opened = _Opened(self.location)

    def lookup(self, path: str) -> Entry | None:
        """Return the entry at `path`, that of an odd member by its name as it is; or None."""
        current = self._current()
        found = current.lookup(path) or current.odd.get(path)
        return found if self._gathered is None else self._gathered.lookup(path, found, current)

    def list(self, folder: str) -> list[str]:
        """Give the sorted names of the children of `folder`."""
        current = self._current()
        names = current.list(folder)
        return names if self._gathered is None else self._gathered.list(folder, names, current)

    def read(self, entry: Entry) -> bytes:
        """Return the content of a member; FormatError or IntegrityError if it is damaged, or what is odd about it.

        If the file was written over since, that is the content of the member of that path now, as in a directory.
        StoreChangedError if there is none, or if the file is not whole, which it may be later.
        """
        if isinstance(entry.handle, bytes):  # gathered
            return entry.handle
        member = _member(entry)
        try:
            return self._read(member)
        except (FormatError, IntegrityError) as exc:
            if member.problem is not None or _file(member).is_current():
                raise
            return self._read_anew(member.path, exc)

    def _read(self, member: Member) -> bytes:
        try:
            check_readable(member)
            return read_member(member, _file(member).read(member.offset, member.span))
        except ArchimportError as exc:
            exc.store, exc.member = self.location, exc.member or member.path
            raise
        except MemoryError:
            raise LimitError("member does not fit into memory", store=self.location, member=member.path) from None

    def _read_anew(self, path: str, damage: ArchimportError) -> bytes:
        """Return the content at `path` of the file that is there now; raise `damage` of the old one if none is."""
        try:
            self._look_again()
            found = self._opened.index.lookup(path)
            if found is None or found.is_dir:
                raise FormatError("it has no such member now")
            return self._read(_member(found))
        except StoreUnavailable:
            raise damage from None
        except ArchimportError as exc:
            raise StoreChangedError(
                f"the file was written over while open: {exc.message}",
                store=self.location,
                member=path,
                hint="if it is being written, try again",
            ) from exc

    def write(self, path: str, data: bytes) -> None:
        """Rewrite the archive with `data` at `path`, whole or not at all; bytecode in its place waits for `flush`."""
        if self._gathered is None:
            raise ConfigError("the archive is mounted read-only", store=self.location, hint="mount it writable=True")
        source = source_of(check_name(path))
        if source is not None and self._current().lookup(source) is not None:
            self._gathered.add(path, data, self._current())
            return
        from archimport.zip.rewrite import rewrite  # deferred: loaded with what is gathered

        self.flush()
        rewrite(self.location, lambda _: {path: data})
        self._opened = _Opened(self.location)

    def flush(self) -> None:
        """Write the bytecode that was gathered; it stays as it was, if the archive cannot be read then."""
        written = self._gathered.write() if self._gathered else {}
        if self._gathered and written:
            try:
                self._look_again()
            except ArchimportError:
                return
            self._gathered.forget(written)

    def verify(self) -> Iterator[str]:
        """Read every member, the entries of folders too, which no lookup does."""
        opened = self._opened
        for member in opened.members:
            if member.is_dir:
                self.read(member)
        yield from super().verify()

    def odd(self, folder: str = "") -> Iterable[Entry]:
        """Return the members that cannot be read: links, encrypted ones, and those whose names are not allowed."""
        below = f"{folder}/" if folder else ""
        found = self._current().odd
        return [found[path] for path in sorted(found) if path.startswith(below)]

    def invalidate(self) -> None:
        """Note that the archive may have been replaced."""
        self._asked = object()

    def move(self) -> None:
        """Read the archive's directory again if the file was replaced."""
        self._look_again()

    def snapshot(self) -> Snapshot:
        """Return the archive that is open now, which stays readable after the file is replaced."""
        return self._opened

    def restore(self, snapshot: Snapshot | None) -> None:
        """Read from the archive of a snapshot."""
        if isinstance(snapshot, _Opened):
            self._opened = snapshot

    def version(self, entry: Entry) -> object:
        """Return size, time and checksum of a member."""
        return _version(entry)

    def newest(self) -> object:
        """Say which file is there now, if it is another one than was opened."""
        file = self._opened.file
        return None if file.is_current() else file.current()

    def describe(self) -> dict[str, object]:
        """Give size, number of members and compression methods."""
        opened = self._opened
        members = [_member(entry) for entry in opened.index.files()]
        names = {METHODS[m.method][0] if m.method in METHODS else m.method for m in members}
        return {
            "size": opened.file.size,
            "members": len(members),
            "odd": len(opened.index.odd),
            "content": sum(member.size for member in members),
            "compression": ", ".join(sorted(map(str, names))),
            "runs": "__main__.py" in opened.index.paths,
        }

    def close(self) -> None:
        """Write what was gathered, and close the file."""
        self.flush()
        if self._gathered is not None:
            import atexit  # deferred: as above

            atexit.unregister(self._gathered.write)
        self._opened.file.close()


def _member(entry: Entry) -> Member:
    return entry  # type: ignore[return-value]  # what an index of ours returned


def _file(member: Member) -> ContainerFile:
    """Return the file that a member was found in: it may have been replaced since."""
    return member.handle  # type: ignore[return-value]  # an object to everybody else


def _version(entry: Entry) -> object:
    return entry.size, entry.mtime, getattr(entry, "crc", None)
