"""Waiting in a thread for the content of a store to move."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from archimport.runtime.errors import ArchimportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.store import Store

_log = logging.getLogger("archimport")


class Watch:
    """Calls back, in a thread of its own, each time the store has something newer than what is read from.

    `stop()` ends it, as does leaving it as a context manager. A forked child has no such thread: watch there. What the
    callback raises, and outages, are logged under `archimport`, and it is called again after the interval.
    """

    def __init__(self, store: Store, callback: Callable[[], object], interval: float) -> None:
        self._store = store
        self._callback = callback
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"archimport {store.location}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Watch:
        """Give this."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """End the watch; a callback that runs is waited for, unless it is what calls this."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        told: object = None
        while not self._stopped.is_set():
            try:
                newest = self._store.newest()
                if newest is None or newest == told:
                    told = newest  # forgotten when what is read is the newest: the same may come again
                    self._store.wait(self._interval, self._stopped)
                    continue
            except ArchimportError as exc:
                _log.warning("cannot watch: %s", exc)
                self._stopped.wait(self._interval)
                continue
            if self._tell():
                told = newest
            else:
                self._stopped.wait(self._interval)

    def _tell(self) -> bool:
        """Call back, and give whether that went well: what did not is told again."""
        try:
            self._callback()
        except BaseException:  # noqa: BLE001 - SystemExit too, which a reloaded module may raise
            _log.exception("the callback of a watch failed")
            return False
        return True
