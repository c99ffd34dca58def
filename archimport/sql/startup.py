"""What a program read from a store the last time, in order: the first batch of its next start."""

from __future__ import annotations

import atexit
import os
import sys
from _weakref import ref

from archimport.runtime import cache
from archimport.runtime.digest import digest

_CACHED = "startup"
_MOST = 4096


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

    def was_read(self, path: str) -> bool:
        """Whether a member was read in this process."""
        return path in self._paths

    def last(self) -> dict[str, None]:
        """Give what was read the last time, in that order, and after it what was read before that."""
        if self._known is None:
            text = cache.get(_CACHED, self._key) or b""
            self._known = dict.fromkeys(filter(None, text.decode("utf-8", "replace").split("\n")))
        return self._known

    def save(self) -> None:
        """Keep what was noted with what is kept already."""
        last = self.last()
        if not self._paths.keys() <= last.keys():
            self._known = {**self._paths, **last}
            cache.put(_CACHED, self._key, "\n".join([*self._known][:_MOST]).encode())


_alive: set[ref[Startup]] = set()


@atexit.register
def _save_all() -> None:
    for known in tuple(_alive):
        record = known()
        if record is not None:
            record.save()
