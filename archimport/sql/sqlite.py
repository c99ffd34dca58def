"""SQLite through the standard library alone: SQLAlchemy would cost more than most programs that are imported."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from _thread import LockType
from _weakref import ref
from contextlib import closing, contextmanager

from archimport.runtime.errors import ArchimportError, ConfigError, FormatError, LimitError, StoreUnavailable
from archimport.sql.database import CONNECT_LIMIT, STATEMENT_LIMIT, Database, NoTableError, any_text
from archimport.sql.schema import PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archimport.sql.database import Query, Rows

#: What a file by a stranger could do with a reader is turned off (https://sqlite.org/security.html).
_PRAGMAS = ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0")
#: Views, triggers and generated columns compute; ours are tables, which do not.
_COMPUTED = f"""
SELECT s.name FROM sqlite_schema s WHERE lower(s.name) LIKE '{PREFIX.replace("_", "!_")}%' ESCAPE '!'
AND s.type <> 'index' AND (s.type <> 'table' OR s.rootpage = 0
OR EXISTS (SELECT 1 FROM pragma_table_xinfo(s.name) c WHERE c.hidden <> 0))
"""
_STEPS_BETWEEN_LOOKS = 100_000
#: In bytes: what one statement may bring from a small file too, and what a row takes beside its texts and bytes.
_LEAST_RESULT, _ROW = 64 << 20, 64
#: In seconds: how long a fork waits for a read.
_FORK_LIMIT = 1.0
_BUSY = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT))
_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA))
#: Connections of a parent process: SQLite forbids a child even to close them (https://sqlite.org/howtocorrupt.html).
_inherited: list[sqlite3.Connection] = []


class SqliteDatabase(Database):
    """A SQLite file, opened read-only and once: if it is replaced, what was opened stays readable.

    `uri` is what SQLite opens, `path` the file if it is one.
    """

    local = True

    def __init__(self, name: str, uri: str, path: str | None) -> None:
        self._uri = uri
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, ...] | None = None
        self._closed = False
        self._deadline = [0.0]  # what SQLite calls must not hold this object
        super().__init__(name)
        _alive.add(ref(self, _alive.discard))

    def _begin_process(self) -> None:
        if self._connection is not None:
            _inherited.append(self._connection)
        self._connection = None
        super()._begin_process()

    def current(self) -> SqliteDatabase:
        """Give this, or what is to read the file since it was replaced or written."""
        if self._opened is None or self._identity() == self._opened:
            return self
        database = SqliteDatabase(self.name, self._uri, self._path)
        database.reads_any_text = self.reads_any_text
        return database

    def close(self) -> None:
        """Close the connection when nobody reads."""
        self._check_process()
        with self._lock:
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        """Close with the last loader that refers to the store."""
        if hasattr(self, "_connection") and os is not None:  # which it is when the interpreter ends
            self._let_go()

    @contextmanager
    def _session(self) -> Iterator[Query]:
        if self._closed:
            raise StoreUnavailable("the store was closed", store=self.name)
        try:
            self._deadline[0] = time.monotonic() + STATEMENT_LIMIT
            connection = self._connection or self._connect()
            yield lambda statement, parameters: self._rows(connection, statement, parameters)
        except sqlite3.Error as exc:
            raise self._translated(exc) from None
        except (UnicodeError, OverflowError) as exc:
            raise FormatError(f"the database is damaged: {exc}", store=self.name) from None

    def _rows(self, connection: sqlite3.Connection, statement: str, parameters: dict[str, object]) -> Rows:
        """Return what a statement finds; LimitError for more than the file can hold, whose pages may go round."""
        self._deadline[0] = time.monotonic() + STATEMENT_LIMIT
        self.statements += 1
        rows: Rows = []
        size, most = 0, _LEAST_RESULT
        with closing(connection.execute(statement.replace("{schema}", "main."), parameters)) as found:
            for row in found:
                rows.append(row)
                size += _ROW + sum(len(value) for value in row if isinstance(value, (str, bytes)))
                if size > most and size > (most := max(most, self._size())):
                    raise LimitError("the tables hold more than their file", store=self.name)
        return rows

    def _size(self) -> int:
        """Return how many bytes the database has, with its log; it may grow while it is read."""
        if self._path is None:
            return sys.maxsize  # in memory
        files = (f"{self._path}{suffix}" for suffix in ("", "-wal"))
        return sum(os.path.getsize(file) for file in files if os.path.exists(file))

    def _connect(self) -> sqlite3.Connection:
        self._opened = self._identity()
        if self._path is not None and os.path.exists(self._path) and not os.path.isfile(self._path):
            raise FormatError("not a regular file", store=self.name)  # a FIFO would block
        try:
            connection = self._prepared(self._uri)
        except sqlite3.OperationalError as exc:
            if not _cannot_make_files(exc.sqlite_errorcode) or not self._is_on_read_only_media():
                raise
            connection = self._prepared(f"{self._uri}&immutable=1")
        self._connection = connection
        return connection

    def _prepared(self, uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=CONNECT_LIMIT, isolation_level=None, check_same_thread=False, cached_statements=8
        )
        try:
            deadline = self._deadline
            connection.set_progress_handler(lambda: time.monotonic() > deadline[0], _STEPS_BETWEEN_LOOKS)
            if self.reads_any_text:
                connection.text_factory = any_text
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            self._refuse_computed(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_computed(self, connection: sqlite3.Connection) -> None:
        computed = connection.execute(_COMPUTED).fetchone()
        if computed is not None:
            raise FormatError(f"{computed[0]!r} is not one of our tables", store=self.name)

    def _identity(self) -> tuple[int, ...] | None:
        """Say which file is there, and in which state: one that was written over looks the same to SQLite."""
        try:
            status = os.stat(self._path or "")
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _is_on_read_only_media(self) -> bool:
        """Whether a database in WAL mode lies whole in a folder where SQLite cannot write what it needs to read it."""
        if self._path is None or not os.access(self._path, os.R_OK):
            return False
        log = f"{self._path}-wal"
        if os.path.exists(log) and os.path.getsize(log):
            raise ConfigError(
                "the database is in WAL mode, not checkpointed, and its folder is read-only",
                store=self.name,
                hint="ship it after PRAGMA journal_mode=DELETE",
            )
        return True

    def _recover(self) -> bool:
        """Let SQLite undo what a killed writer began, which it cannot on a read-only connection; whether that went."""
        if self._path is None or not os.access(self._path, os.W_OK):
            return False
        try:
            connection = sqlite3.connect(self._uri.replace("?mode=ro", "?mode=rw"), uri=True, timeout=CONNECT_LIMIT)
            try:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            finally:
                connection.close()
        except sqlite3.Error:
            return False
        return True

    def _translated(self, exc: sqlite3.Error) -> ArchimportError:
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_READONLY and self._recover():
            error = StoreUnavailable("a writer was killed; what it left is undone", store=self.name)
            error.retryable = True
            return error
        if code in _DAMAGED:
            if str(exc).startswith(("no such table", "no such column")):
                return NoTableError(f"{exc}", store=self.name, hint="archimport publish makes our tables")
            what = "cannot read the tables" if code == sqlite3.SQLITE_ERROR else "the database is damaged"
            return FormatError(f"{what}: {exc}", store=self.name)
        error = StoreUnavailable(f"cannot read the database: {exc}", store=self.name)
        error.retryable = code in _BUSY and self._deadline[0] > time.monotonic()
        return error


_alive: set[ref[SqliteDatabase]] = set()
_held: list[LockType] = []


def _before_fork() -> None:
    """Wait for threads that read: SQLite has locks of its own, which would stay locked in the child."""
    for alive in list(_alive):
        database = alive()
        lock = database._lock if database is not None and not database.is_read_by_this_thread() else None
        if lock is not None and lock.acquire(timeout=_FORK_LIMIT):
            _held.append(lock)


def _after_fork() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _cannot_make_files(code: int) -> bool:
    """Whether SQLite could not make what it needs beside a database in WAL mode."""
    return code == sqlite3.SQLITE_READONLY_DIRECTORY or code & 0xFF == sqlite3.SQLITE_CANTOPEN
