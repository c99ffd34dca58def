"""Opening the store of a bare path entry: the hook does it in the middle of imports, of other threads and its own."""

from __future__ import annotations

import _imp
import os
from _thread import LockType, allocate_lock, get_ident

from archimport.runtime.early import TooEarlyError
from archimport.runtime.registry import registry
from archimport.runtime.schemes import schemes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.runtime.store import Store

#: The threads that are opening a store, and whose turn it is to open an entry.
_opening: set[int] = set()
_turns: dict[str, LockType] = {}
#: In seconds: how long a thread waits for another one that is opening an entry; it may be one that this one waits for.
_PATIENCE = 5.0


def is_being_opened(entry: str) -> bool:
    """Whether this thread is opening what may be this store: even to recognise an entry may import."""
    return get_ident() in _opening and registry.locate(entry) is None


def open_entry(entry: str) -> tuple[Store, str] | None:
    """Open the store that a path entry names; None if it is not ours. TooEarlyError if that cannot be now."""
    if get_ident() in _opening:
        return None
    turn = _turns.setdefault(entry, allocate_lock())
    with Alone(), _Unlocked():
        if not turn.acquire(timeout=_PATIENCE):
            raise TooEarlyError("the store is being opened by another thread", store=entry)
        try:
            request = schemes.recognise(entry, bare=True)
            return (registry.open(request), request.folder) if request else None
        finally:
            turn.release()
            _turns.pop(entry, None)


def is_waited_for(entry: str) -> bool:
    """Whether some thread is opening an entry."""
    return entry in _turns


class Alone:
    """While a thread is in here, the hook postpones for it every path entry that may be ours and is not open yet."""

    def __enter__(self) -> None:
        self._is_outermost = get_ident() not in _opening
        _opening.add(get_ident())

    def __exit__(self, *exc_info: object) -> None:
        if self._is_outermost:
            _opening.discard(get_ident())


class _Unlocked:
    """While a thread is in here, it does not hold the import lock, under which importlib calls hooks.

    To open a store may mean to wait for another thread to import what opens it, which needs that lock.
    """

    def __enter__(self) -> None:
        self._depth = 0
        try:
            while True:
                _imp.release_lock()
                self._depth += 1
        except RuntimeError:  # it was not this thread's
            return

    def __exit__(self, *exc_info: object) -> None:
        for _ in range(self._depth):
            _imp.acquire_lock()


def _after_fork() -> None:
    """Forget what other threads were doing: they are not in this process."""
    _opening.intersection_update({get_ident()})
    _turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
