"""What a program read from a store the last time, in order: the first batch of its next start."""

from __future__ import annotations

import atexit
import os
import sys
from _weakref import ref

from archimport.runtime import cache
from archimport.runtime.bytecode import cached_member
from archimport.runtime.digest import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archimport.runtime.store import Entry
    from archimport.sql.manifest import ManifestIndex

_CACHED = "startup"
_MOST = 4096
_TRIES = 3


class Startup:
    """A record of members by path, kept in the user's cache when the process ends in peace or the store closes."""

    def __init__(self, location: str) -> None:
        self._key = digest(os.fsencode(f"{sys.implementation.cache_tag} {sys.argv[:1]} {location}")).hex()
        self._paths: dict[str, None] = {}
        self._known: dict[str, None] | None = None
        _alive.add(ref(self, _alive.discard))

    def note(self, path: str) -> None:
        """Note that a member was read."""
        self._paths[path] = None

    def known(self, index: ManifestIndex) -> Iterator[Entry]:
        """Give what was read the last time and not yet now."""
        return self._entries(index, self.last())

    def near(self, index: ManifestIndex, path: str) -> Iterator[Entry]:
        """Give what lies near a member, its package first; nothing for one that was read the last time."""
        return iter(()) if path in self.last() else self._entries(index, _near(index, path))

    def _entries(self, index: ManifestIndex, paths: Iterable[str]) -> Iterator[Entry]:
        for path in paths:
            if path in index.paths and path not in self._paths:
                yield index.lookup(path)  # type: ignore[misc]  # it has it

    def last(self) -> dict[str, None]:
        """Give what was read the last time, in that order, and after it what was read before that."""
        if self._known is None:
            text = cache.get(_CACHED, self._key) or b""
            self._known = dict.fromkeys(filter(None, text.decode("utf-8", "replace").split("\n")))
        return self._known

    def save(self) -> None:
        """Keep what was noted with what is kept already."""
        paths = self._paths.copy()  # other threads may be reading still
        for _ in range(_TRIES):  # processes that end at once write over each other
            self._known = None
            last = self.last()
            if paths.keys() <= last.keys():
                return
            cache.put(_CACHED, self._key, "\n".join([*{**paths, **last}][:_MOST]).encode())


def _near(index: ManifestIndex, path: str) -> Iterator[str]:
    package = f"{path.partition('/')[0]}/"
    is_code = path.endswith((".py", ".pyc"))
    for is_near in (True, False):
        for other in index.paths:
            if other.startswith(package) is is_near and (not is_code or other.endswith(".py")):
                yield _code_of(index, other) if is_code else other


def _code_of(index: ManifestIndex, path: str) -> str:
    """Give what an import of a source reads: its bytecode, where there is some for this Python."""
    cached = cached_member(path)
    return cached if cached is not None and cached in index.paths else path


_alive: set[ref[Startup]] = set()


@atexit.register
def _save_all() -> None:
    for known in list(_alive):
        record = known()
        if record is not None:
            record.save()
