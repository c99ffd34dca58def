"""Waiting in a thread for the content of a store to move."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from archimport.runtime.errors import ArchimportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.store import Snapshot, Store

_log = logging.getLogger("archimport")
#: In seconds: how long a fork waits for callbacks, which may be in the middle of a reload, and for looks at stores.
_FORK_LIMIT = 10.0


class Watch:
    """Calls back, in a thread of its own, each time the store's content is no longer the one of the last callback.

    `seen` is the content to begin with. `stop()` ends it, as does leaving it as a context manager. A forked child has
    such a thread too. What the callback raises, and outages, are logged under `archimport`, and it is called again
    after the interval.
    """

    def __init__(self, store: Store, callback: Callable[[], object], interval: float, seen: Snapshot | None) -> None:
        self._store = store
        self._callback = callback
        self._interval = interval
        self._seen = seen and seen.key
        self._busy = threading.RLock()
        _running[self] = None
        self._start()

    def _start(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"archimport {self._store.location}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Watch:
        """Return this."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """End the watch; a callback that runs is waited for, unless it is what calls this."""
        _running.pop(self, None)
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        stopped = self._stopped
        told: object = None
        while not stopped.is_set():
            try:
                now = self._newest()
                if now in (self._seen, told):
                    told = None if now == self._seen else told  # what was told may come again
                    self._store.wait(self._interval, stopped)
                    continue
            except ArchimportError as exc:
                _log.warning("cannot watch: %s", exc)
                stopped.wait(self._interval)
                continue
            if self._call_back(now):
                told = now
            else:
                stopped.wait(self._interval)

    def _newest(self) -> object:
        """Return the key of the newest content, whoever else has moved the store to it."""
        with self._busy:
            newest = self._store.newest()
            return newest if newest is not None else self._read_now()

    def _read_now(self) -> object:
        snapshot = self._store.snapshot()
        return snapshot and snapshot.key

    def _call_back(self, now: object) -> bool:
        """Call back, and return whether that went well: what did not is told again."""
        with self._busy:
            before = self._read_now()
            try:
                self._callback()
            except BaseException:  # noqa: BLE001 - SystemExit too, which a reloaded module may raise
                _log.exception("the callback of a watch failed")
                return False
            after = self._read_now()
            self._seen = after if after in (before, now) else now  # else it moved further: that is told next
            return True

    def pause(self, until: float) -> bool:
        """Wait until this only waits: a child must get neither half of a reload, nor locks of modules and drivers."""
        return self._busy.acquire(timeout=max(0.0, until - time.monotonic()))

    def go_on(self) -> None:
        """Go on after a pause."""
        self._busy.release()

    def start_in_child(self) -> None:
        """Go on in a forked child with a thread of its own, unless the child is what the callback forked."""
        if threading.current_thread() is not self._thread:
            self._busy = threading.RLock()
            try:
                self._start()
            except RuntimeError as exc:  # no more threads, or the process is ending
                _log.warning("a watch cannot go on in the child process: %s", exc)


#: The watches that were not stopped: the child of a fork goes on with them.
_running: dict[Watch, None] = {}
#: Those that a thread has paused to fork.
_paused: dict[int, list[Watch]] = {}


def _before_fork() -> None:
    until = time.monotonic() + _FORK_LIMIT
    _paused[threading.get_ident()] = [watch for watch in tuple(_running) if watch.pause(until)]


def _after_fork() -> None:
    for watch in _paused.pop(threading.get_ident(), ()):
        watch.go_on()


def _after_fork_in_child() -> None:
    _after_fork()
    for watch in tuple(_running):
        watch.start_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
