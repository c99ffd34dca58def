"""Bytecode that was compiled at run time: seen at once, and written into its archive by one rewrite.

A rewrite costs what the archive is large, so one for each module would make imports quadratic. What is lost with a
killed process is compiled again.
"""

from __future__ import annotations

import os
import zlib

from archimport.runtime.bytecode import source_of
from archimport.runtime.errors import ArchimportError
from archimport.runtime.index import MemberIndex
from archimport.runtime.store import Entry
from archimport.zip.rewrite import rewrite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from archimport.zip.member import Member

    _State = tuple[object, object]
    _Names = list[str]  # `list` is a method below


#: The end of the names of directories that may be new: those above a source are in the archive.
_CACHE = "__pycache__"


class Gathered:
    """The bytecode of one open archive that is not in it yet. Threads may share it; a forked child writes its own only.

    Each is kept with the state of the two members that matter: its source, and what it replaces. It is written if both
    are then as they were: somebody else may have put another archive there, or written the same.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._process = os.getpid()
        self._entries: dict[str, Entry] = {}
        self._unwritten: dict[str, tuple[Entry, _State]] = {}

    def add(self, path: str, data: bytes, index: MemberIndex) -> None:
        """Keep bytecode that was compiled for what `index` has now."""
        entry = Entry(path, size=len(data), mtime=zlib.crc32(data), handle=bytes(data))
        self._leave_to_parent()
        self._unwritten[path] = entry, _state(path, index.lookup)
        self._entries[path] = entry

    def lookup(self, path: str, found: Entry | None, index: MemberIndex) -> Entry | None:
        """Return what is gathered at `path`, or else what was `found` in the archive, whose members `index` has."""
        entry = self._entries.get(path)
        if entry is not None and _has_source(path, index):
            return entry
        is_new = found is None and path.endswith(_CACHE) and any(self._below(f"{path}/", index))
        return Entry(path, is_dir=True) if is_new else found

    def list(self, directory: str, names: _Names, index: MemberIndex) -> _Names:
        """Return the sorted `names` that the archive has in a directory, and those that are gathered."""
        below = f"{directory}/" if directory else ""
        return sorted({*names, *(path[len(below) :].partition("/")[0] for path in self._below(below, index))})

    def _below(self, prefix: str, index: MemberIndex) -> Iterator[str]:
        return (path for path in (*self._entries,) if path.startswith(prefix) and _has_source(path, index))

    def write(self) -> dict[str, Entry]:
        """Write what is gathered and return it; where that fails nothing is raised, and the next call tries again."""
        self._leave_to_parent()
        taken = {path: kept for path in (*self._unwritten,) if (kept := self._unwritten.pop(path, None))}
        if not taken:
            return {}
        try:
            rewrite(self._path, lambda members: _wanted(taken, {member.path: member for member in members}))
        except (ArchimportError, OSError):
            self._unwritten = {**taken, **self._unwritten}
            return {}
        return {path: entry for path, (entry, _) in taken.items()}

    def forget(self, written: Mapping[str, Entry]) -> None:
        """Forget what the archive has by now, as it was opened since."""
        for path, entry in written.items():
            if self._entries.get(path) is entry:
                del self._entries[path]

    def _leave_to_parent(self) -> None:
        """Write nothing that was gathered before a fork: the parent does."""
        if self._process != os.getpid():
            self._process, self._unwritten = os.getpid(), {}


def _has_source(path: str, index: MemberIndex) -> bool:
    """Return whether the archive has the source of bytecode: it may have been replaced since that was compiled."""
    return index.lookup(source_of(path) or "") is not None


def _state(path: str, lookup: Callable[[str], Entry | None]) -> _State:
    """Return what changes with the source of bytecode, or with the bytecode that is there."""
    return _content(lookup(source_of(path) or "")), _content(lookup(path))


def _content(member: Entry | None) -> object:
    return member and (member.size, getattr(member, "crc", None))


def _wanted(taken: Mapping[str, tuple[Entry, _State]], members: Mapping[str, Member]) -> dict[str, bytes]:
    unchanged = (entry for path, (entry, state) in taken.items() if _state(path, members.get) == state)
    return {entry.path: entry.handle for entry in unchanged}  # type: ignore[misc]  # bytes, which `add` put there
