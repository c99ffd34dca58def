"""Reading from a database: one connection at a time, tries again where waiting may help, errors of one kind.

`SqliteDatabase` and `ServerDatabase` differ in how they connect and in what their driver raises.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, get_ident

from archimport.runtime.errors import ArchimportError, ConfigError, FormatError, ReleaseGone, StoreUnavailable
from archimport.runtime.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from threading import Event
    from typing import TypeVar

    Result = TypeVar("Result")
    Rows = list[tuple[object, ...]]
    #: Runs one statement of `schema` with its parameters.
    Query = Callable[[str, dict[str, object]], Rows]

#: In seconds: to connect, for a statement, and for all tries together.
CONNECT_LIMIT, STATEMENT_LIMIT, TOTAL_LIMIT = 5, 10, 30
#: In seconds: for a publisher's whole transaction.
WRITING_LIMIT = 600
_TRIES = 3
_FIRST_PAUSE = 0.1


_beginning = Lock()


def any_text(stored: bytes) -> str:
    """Return SQLite's text, whatever its bytes are."""
    return stored.decode("utf-8", "surrogateescape")


class NoTableError(FormatError):
    """A table or a column is not there, or not for this user."""


class Database:
    """What stores read from. `name` is without secrets; a `local` one is not worth a copy in the user's cache."""

    local = False
    #: Whether SQLite's text that is no UTF-8 is read, with surrogates for its bytes: a bad row must not hide others.
    reads_any_text = False

    def __init__(self, name: str) -> None:
        self.name = name
        #: How many statements were sent, those of drivers and SQLAlchemy not counted.
        self.statements = 0
        self._take_lock()

    def _begin_process(self) -> None:
        """Hold nothing of a parent process: its lock may be taken for ever, its connections have its answers."""
        self._take_lock()

    def _take_lock(self) -> None:
        self._lock = allocate_lock()
        self._reader: int | None = None
        self._process = os.getpid()

    def read(self, work: Callable[[Query], Result]) -> Result:
        """Give what `work` reads with the query function it is given; it may be called again (reads only).

        StoreUnavailable after three tries or 30 seconds; FormatError for tables that are not ours.
        """
        deadline = time.monotonic() + TOTAL_LIMIT
        pause = _FIRST_PAUSE
        tries = 0
        while True:
            try:
                return self._try(work, deadline)
            except StoreUnavailable as exc:
                tries += 1
                pause *= 1 + os.urandom(1)[0] / 255  # processes that failed together must not come back together
                is_late = time.monotonic() + pause + CONNECT_LIMIT + STATEMENT_LIMIT > deadline
                if tries == _TRIES or is_late or not exc.retryable:
                    raise
                time.sleep(pause)
                pause *= 2

    def _try(self, work: Callable[[Query], Result], deadline: float) -> Result:
        self._check_process()
        if self.is_read_by_this_thread():
            raise StoreUnavailable("the driver imports from the database that it reads", store=self.name)
        lock = self._lock
        if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise StoreUnavailable("other threads wait for the database", store=self.name)
        self._reader = get_ident()
        try:
            with self._session() as query:
                return self._answer(work, query)
        finally:
            self._reader = None
            lock.release()

    def _answer(self, work: Callable[[Query], Result], query: Query) -> Result:
        """Return what `work` reads. A replica lags: a release or channel that it does not have may come yet."""
        try:
            return work(query)
        except (ReleaseGone, ConfigError) as exc:
            if self._is_replica(query):
                raise _late(exc) from None
            raise

    def _is_replica(self, query: Query) -> bool:  # noqa: ARG002 - to ask
        """Return whether another database is copied to this one."""
        return False

    def _check_process(self) -> None:
        if self._process != os.getpid():
            with _beginning:
                if self._process != os.getpid():
                    self._begin_process()

    def is_read_by_this_thread(self) -> bool:
        """Whether the driver itself, in the middle of a read, is what asks for a module."""
        return self._reader == get_ident() and self._process == os.getpid()

    def _session(self) -> AbstractContextManager[Query]:
        """Connect, and translate what the driver raises."""
        raise NotImplementedError

    def quote(self, name: str) -> str:
        """Give the name of a table or column as it stands in statements."""
        return f"`{name}`"  # in double quotes SQLite would take a missing column for text

    def verbatim(self, text: str) -> str:
        """Return SQL that somebody else wrote as it stands in statements of `schema`."""
        return text

    def wait(self, seconds: float, stopped: Event, is_over: Callable[[Query], bool]) -> None:  # noqa: ARG002 - to ask
        """Return after some time, when something was published, if `is_over` says so, or when `stopped` is set."""
        stopped.wait(seconds)

    def current(self) -> Database:
        """Give what the name leads to now: this, or another database that has taken its place."""
        return self

    def close(self) -> None:
        """Let go of what is held open; what is read after that is a StoreUnavailable."""


def _late(missing: ArchimportError) -> StoreUnavailable:
    error = StoreUnavailable(f"{missing.message}, but this is a replica, which may get it yet", hint="try again")
    error.retryable = True
    return error
