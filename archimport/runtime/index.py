"""An index of members in memory, with the folders that their paths imply."""

from __future__ import annotations

from archimport.runtime.errors import FormatError, LimitError
from archimport.runtime.names import MAX_NAME, check_names
from archimport.runtime.store import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, KeysView, Sequence

    _Names = list[str]  # `list` is a method below

#: In bytes: how much memory the directories that paths imply may take, and how much each takes beside its name.
MAX_DIRECTORIES, _DIRECTORY = 64 << 20, 64


class MemberIndex:
    """Answer `lookup` and `list` from members held in memory; what it says never changes, so threads may share it.

    Folders need no entry of their own. FormatError if a name occurs twice, cannot be a member's, or is both a file
    and a folder: an archive has one meaning. A subclass may hold less than an entry for each file, and make that when
    it is asked for: most members of most archives are never looked at.
    """

    __slots__ = ("_children", "_folders", "_rows")

    def __init__(self, entries: Iterable[Entry]) -> None:
        entries = tuple(entries)
        files = [entry for entry in entries if not entry.is_dir]
        paths, folders = [entry.path for entry in files], [entry.path for entry in entries if entry.is_dir]
        self._check_names(paths, folders)
        self._build(paths, files, folders)
        self._check_kinds()

    def _build(self, paths: Sequence[str], rows: Iterable[object], folders: Collection[str] = ()) -> None:
        """Take files by path, each with what `_entry` makes its entry of, and folders that may be empty."""
        self._rows = dict(zip(paths, rows, strict=True))
        self._folders = with_parents({*folders, *[path.rpartition("/")[0] for path in paths]})
        self._children: dict[str, Sequence[str]] | None = None

    def _check_names(self, *names: Collection[str]) -> None:
        """Raise FormatError or LimitError for names that cannot be; before `_build`, which costs what they ask for."""
        for named in names:
            check_names(named)
            if len(set(named)) != len(named):
                raise FormatError("member occurs twice", member=_first_again(named))

    def _check_kinds(self) -> None:
        for path in self._rows.keys() & self._folders:
            raise FormatError("member is both a file and a folder", member=path)

    def _entry(self, path: str, row: object) -> Entry:
        """Give the entry of a file."""
        return row  # type: ignore[return-value]  # what the constructor was given

    @property
    def paths(self) -> KeysView[str]:
        """The paths of all files."""
        return self._rows.keys()

    def files(self) -> list[Entry]:
        """Give the entries of all files."""
        return [self._entry(path, row) for path, row in self._rows.items()]

    def lookup(self, path: str) -> Entry | None:
        """Give the entry at `path`, or None."""
        row = self._rows.get(path)
        if row is not None:
            return self._entry(path, row)
        return Entry(path, is_dir=True) if path in self._folders else None

    def list(self, folder: str) -> list[str]:
        """Give the sorted names of the children of `folder`; none where there is no such folder."""
        if self._children is None:  # imports do without
            self._children = self._by_folder()
        return [*self._children.get(folder, ())]

    def _by_folder(self) -> dict[str, Sequence[str]]:
        children: dict[str, _Names] = {folder: [] for folder in self._folders}
        for path in (self._rows.keys() | self._folders) - {""}:
            folder, _, name = path.rpartition("/")
            children[folder].append(name)
        return {folder: sorted(names) for folder, names in children.items()}


def with_parents(folders: Iterable[str]) -> set[str]:
    """Return directories and all that they lie in, the root too; LimitError if those are too many."""
    found = {""}
    room = MAX_DIRECTORIES
    for folder in folders:
        parent = folder
        while parent not in found:
            found.add(parent)
            room -= _DIRECTORY + len(parent)
            if room < 0:
                raise LimitError("too many directories", member=folder[:MAX_NAME])
            parent = parent.rpartition("/")[0]
    return found


def _first_again(names: Iterable[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # None
