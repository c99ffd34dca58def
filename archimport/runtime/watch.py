"""Waiting in a thread for the content of a store to move."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

from archimport.runtime.errors import ArchimportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.store import Snapshot, Store

_log = logging.getLogger("archimport")
#: In seconds: how long a fork waits for a callback, which may be in the middle of a reload, or for a look at the store.
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
        self._start()
        _running.add(self)

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
        _running.discard(self)
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
            if self._call_back():
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

    def _call_back(self) -> bool:
        """Call back, and return whether that went well: what did not is told again."""
        with self._busy:
            try:
                self._callback()
            except BaseException:  # noqa: BLE001 - SystemExit too, which a reloaded module may raise
                _log.exception("the callback of a watch failed")
                return False
            self._seen = self._read_now()
            return True

    def before_fork(self) -> None:
        """Wait until this only waits: a child must get neither half of a reload, nor locks of modules and drivers."""
        self._has_paused = self._busy.acquire(timeout=_FORK_LIMIT)

    def after_fork(self, *, is_child: bool) -> None:
        """Go on, in the child with a thread of its own, unless the child is what the callback forked."""
        if self._has_paused:
            self._busy.release()
        if is_child and threading.current_thread() is not self._thread:
            self._busy = threading.RLock()
            try:
                self._start()
            except RuntimeError as exc:  # no more threads, or the process is ending
                _log.warning("a watch cannot go on in the child process: %s", exc)


#: What the child of a fork goes on with.
_running: WeakSet[Watch] = WeakSet()


def _before_fork() -> None:
    for watch in list(_running):
        watch.before_fork()


def _after_fork(*, is_child: bool) -> None:
    for watch in list(_running):
        watch.after_fork(is_child=is_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(is_child=False),
        after_in_child=lambda: _after_fork(is_child=True),
    )
