"""One transaction of a writer: the tables exist, no other writer is at work, and all or nothing becomes visible."""

from __future__ import annotations

import errno
import getpass
import os
import socket
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from archimport.runtime.errors import ConfigError, FormatError
from archimport.runtime.file import unavailable
from archimport.runtime.magic import APPLICATION_ID
from archimport.sql import tables
from archimport.sql.database import WRITING_LIMIT
from archimport.sql.engine import connected, create_engine, default_schema
from archimport.sql.schema import VERSION
from archimport.sql.translate import codes_of, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from archimport.sql.address import Address


#: How a transaction is isolated, whatever is the default: who has waited for another writer must see what that one did.
#: MySQL's snapshot begins with the first read, which is behind the wait; its binary log may not take READ COMMITTED.
_LEVELS = {
    "postgresql": "READ COMMITTED",
    "cockroachdb": "READ COMMITTED",
    "oracle": "READ COMMITTED",
    "mysql": "REPEATABLE READ",
    "mariadb": "REPEATABLE READ",
}
#: What PostgreSQL and its kin, and MySQL, say of a level that comes after another statement.
_TOO_LATE = frozenset(("25001", 1568))


@contextmanager
def transaction(address: Address, *, create: bool = False) -> Iterator[Connection]:
    """Give a connection within a transaction that other writers wait for; committed at the end, if nothing raises.

    With `create`, tables that are not there are made. StoreUnavailable if the database cannot be used or is busy,
    FormatError where there are no tables of this version.
    """
    engine = engine_of(address, create=create)
    with translated(address.place, writing=True):
        if create:
            create_tables(engine, address)
        with begun(engine, address) as connection:
            found = lock(connection)
            if found != VERSION:
                raise FormatError(f"the tables have version {found}, not {VERSION}", store=address.place)
            yield connection


def lock(connection: Connection) -> int:
    """Wait for other writers, and give the version of the tables; FormatError if they say none.

    Before anything is read: whoever has locked the row reads what the one before has committed.
    """
    every = update(tables.version).with_dialect_options(**tables.ALL_ROWS)
    locked = connection.execute(every.values(version=tables.version.c.version))
    if locked.rowcount != 1:
        raise FormatError("the tables do not say their version", hint="archimport upgrade")
    return connection.scalar(select(tables.version.c.version)) or 0


@contextmanager
def reading(address: Address) -> Iterator[Connection]:
    """Give a connection for reading with SQLAlchemy; errors as those of `transaction`."""
    with translated(address.place), begun(engine_of(address), address) as connection:
        yield connection


def engine_of(address: Address, *, create: bool = False) -> Engine:
    """Give the engine that was handed over, or a new one; to connect to a SQLite file that is not there would make it.

    StoreUnavailable if there is none and none is to be made.
    """
    if not create and not is_there(address):
        raise unavailable(address.file or "", FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    return address.engine or create_engine(address, reading=False)


def is_there(address: Address) -> bool:
    """Whether there is a database: of a server that is said only once one connects."""
    return address.file is None or os.path.exists(address.file)


@contextmanager
def begun(engine: Engine, address: Address) -> Iterator[Connection]:
    """Begin a transaction in which our tables are those of the address's schema; ConfigError for an engine without.

    It begins a second time, by another connection, if the server has closed a pooled one; and at the level of its
    engine, if a listener of that has sent a statement first, after which no level can be set.
    """
    level = _LEVELS.get(engine.dialect.name)
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(_begun(engine, address, level))
        except DBAPIError as exc:
            is_too_late = bool(codes_of(exc) & _TOO_LATE)
            if not (exc.connection_invalidated or is_too_late):
                raise
            connection = stack.enter_context(_begun(engine, address, None if is_too_late else level))
        yield connection


@contextmanager
def _begun(engine: Engine, address: Address, level: str | None) -> Iterator[Connection]:
    """Begin a transaction and say how it is isolated, if that is to be another way than the engine's.

    Nothing is found by a search path in it: what it finds in PostgreSQL may be anybody's (CVE-2018-1058).
    """
    schema = address.schema or default_schema(engine)
    with connected(engine) as plain:
        if _commits_by_itself(plain.connection.driver_connection):
            raise ConfigError("an engine in AUTOCOMMIT mode has no transactions", hint="hand over another engine")
        connection = plain.execution_options(schema_translate_map={None: schema}) if schema else plain
        with connection.begin():
            connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL {level}") if level else select(1))
            if engine.dialect.name == "postgresql":
                limit = "" if address.engine else f"; SET LOCAL statement_timeout = {WRITING_LIMIT * 1000}"
                connection.exec_driver_sql(f"SET LOCAL search_path = ''{limit}")
            yield connection


def _commits_by_itself(driver: Any) -> bool:
    """Ask the driver's connection, which knows whatever set it: sqlite3, then psycopg and others, then PyMySQL."""
    told = getattr(driver, "get_autocommit", None)
    silent = getattr(driver, "isolation_level", "") is None and hasattr(driver, "total_changes")
    return silent or getattr(driver, "autocommit", False) is True or (told is not None and told() is True)


def has_tables(engine: Engine, address: Address) -> bool:
    """Whether our tables are there, all of them: the row with their version is written last."""
    with begun(engine, address) as connection:
        schema = address.schema or default_schema(engine)
        if not inspect(connection).has_table(tables.version.name, schema=schema):
            return False
        return bool(connection.scalar(select(func.count()).select_from(tables.version)))


def create_tables(engine: Engine, address: Address) -> None:
    """Make the tables that are not there; somebody else may do so at this moment."""
    for last in (False, False, True):
        if has_tables(engine, address):
            return
        try:
            _create(engine, address)
        except DBAPIError:
            if last and not has_tables(engine, address):
                raise


def _create(engine: Engine, address: Address) -> None:
    with begun(engine, address) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # sqlite3 begins by itself only before changes of rows
            if not inspect(connection).get_table_names():
                connection.exec_driver_sql(f"PRAGMA application_id = 0x{APPLICATION_ID.hex()}")
        tables.metadata.create_all(connection)
        if connection.scalar(select(func.count()).select_from(tables.version)) == 0:
            connection.execute(insert(tables.version).values(version=VERSION))


def now() -> datetime:
    """Give the time in UTC as all databases keep it; for people only, serials say what came after what."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def who() -> str:
    """Give who does this, for the audit trail."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as containers have
        user = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return f"{user}@{socket.gethostname()}"[:255]
