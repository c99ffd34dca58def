"""A lock that a forked child finds free, whatever threads its parent had."""

from __future__ import annotations

import os
from _thread import RLock


class Lock:
    """A context manager that one thread at a time is in, as often as it likes. For modules: it is kept for ever."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        """Wait for the thread that is in, if any."""
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        """Let another thread in."""
        self._lock.release()
