"""An index of members in memory, with the folders that their paths imply."""

from __future__ import annotations

from archimport.runtime.errors import FormatError
from archimport.runtime.names import check_name
from archimport.runtime.store import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class MemberIndex:
    """Answer `lookup` and `list` from entries held in memory; never changed once made, so threads may share it.

    Folders need no entry of their own. FormatError if a name occurs twice, cannot be a member's, or is both a file
    and a folder: an archive has one meaning.
    """

    __slots__ = ("_children", "files")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.files: dict[str, Entry] = {}
        folders: set[str] = set()
        self._children: dict[str, dict[str, None]] = {"": {}}
        for entry in entries:
            path = check_name(entry.path)
            if path in self.files or path in folders:
                raise FormatError("member occurs twice", member=path)
            if entry.is_dir:
                folders.add(path)
                self._children.setdefault(path, {})
            else:
                self.files[path] = entry
            self._add_to_folders(path)
        for path in self.files.keys() & self._children.keys():
            raise FormatError("member is both a file and a folder", member=path)

    def _add_to_folders(self, path: str) -> None:
        while path:
            folder, _, name = path.rpartition("/")
            if folder in self._children:
                self._children[folder][name] = None
                return
            self._children[folder] = {name: None}
            path = folder

    def lookup(self, path: str) -> Entry | None:
        """Give the entry at `path`, or None."""
        entry = self.files.get(path)
        if entry is None and path in self._children:
            return Entry(path, is_dir=True)
        return entry

    def list(self, folder: str) -> list[str]:
        """Give the sorted names of the children of `folder`; none where there is no such folder."""
        return sorted(self._children.get(folder, ()))
