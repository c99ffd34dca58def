"""Reading through SQLAlchemy."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from archimport.sql.database import STATEMENT_LIMIT, Database, any_text
from archimport.sql.engine import connected, create_engine, default_schema
from archimport.sql.translate import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from sqlalchemy import Connection

    from archimport.sql.address import Address
    from archimport.sql.database import Query, Rows

#: What a publisher tells PostgreSQL's listeners, and how long a listener is deaf for a call to stop, in seconds.
NOTIFICATION = "archimport"
_SLICE = 0.5


#: By database, what asks whether the server is a replica. One of MySQL's takes no changes, which all can see.
_IS_REPLICA = {
    "mariadb": "SELECT @@read_only, @@innodb_read_only",
    "mysql": "SELECT @@read_only, @@innodb_read_only",
    "postgresql": "SELECT pg_catalog.pg_is_in_recovery()",
}
_NO = frozenset(("0", "FALSE", "NONE", "OFF"))


class ServerDatabase(Database):
    """A database that an engine reaches. One connection at a time, open only while something is read or waited for.

    An engine that was handed over is used as it is; in a forked child its pool is new.
    """

    def __init__(self, address: Address) -> None:
        self._engine = address.engine or create_engine(address, reading=True)
        schema = address.schema or default_schema(self._engine)
        quote = self._engine.dialect.identifier_preparer.quote_schema
        self._schema = f"{quote(schema)}." if schema else ""
        self.local = self._engine.dialect.name == "sqlite"
        self._passes_on = (self._engine.dialect.name, self._engine.dialect.driver) == ("postgresql", "psycopg")
        super().__init__(address.place)

    def _begin_process(self) -> None:
        if not isinstance(self._engine.pool, StaticPool | SingletonThreadPool):
            self._engine.dispose(close=False)  # its connections are the parent's
        super()._begin_process()

    @contextmanager
    def _session(self) -> Iterator[Query]:
        with translated(self.name), connected(self._engine) as connection, self._any_text(connection):
            yield lambda statement, parameters: self._rows(connection, statement, parameters)

    @contextmanager
    def _any_text(self, connection: Connection) -> Iterator[None]:
        """Read text of any bytes through an engine for SQLite, if that was asked for, and leave no trace of it."""
        driver: Any = connection.connection.driver_connection
        if not (self.reads_any_text and hasattr(driver, "text_factory")):
            yield
            return
        factory, driver.text_factory = driver.text_factory, any_text
        try:
            yield
        finally:
            driver.text_factory = factory

    def _rows(self, connection: Connection, statement: str, parameters: dict[str, object]) -> Rows:
        self.statements += 1
        text = sqlalchemy.text(statement.replace("{schema}", self._schema))
        return [tuple(row) for row in connection.execute(text, parameters)]

    def _is_replica(self, query: Query) -> bool:
        statement = _IS_REPLICA.get(self._engine.dialect.name)
        answers = query(statement, {})[0] if statement else ()
        return any(str(answer).upper() not in _NO for answer in answers)

    def quote(self, name: str) -> str:
        """Give the name of a table or column as it stands in statements of this dialect."""
        return str(self._engine.dialect.identifier_preparer.quote(name))

    def verbatim(self, text: str) -> str:
        """Return SQL that somebody else wrote as it stands in statements: no name after a colon is a parameter."""
        return text.replace(":", "\\:")

    def wait(self, seconds: float, stopped: Event, is_over: Callable[[Query], bool]) -> None:
        """Listen to PostgreSQL, on a connection of its own; elsewhere wait for the time."""
        if self._passes_on:
            with translated(self.name), connected(self._engine) as connection:
                self._passes_on = _passes_on(connection)
                if self._passes_on:
                    self._listen(connection, min(seconds, STATEMENT_LIMIT), stopped, is_over)
                    return
        super().wait(seconds, stopped, is_over)

    def _listen(self, connection: Connection, seconds: float, stopped: Event, is_over: Callable[[Query], bool]) -> None:
        """Wait for a notification, no longer than a connection lives."""
        connection.exec_driver_sql(f"LISTEN {NOTIFICATION}")
        connection.commit()
        if is_over(lambda statement, parameters: self._rows(connection, statement, parameters)):
            return  # it was published before this listened
        connection.commit()
        driver: Any = connection.connection.driver_connection
        deadline = time.monotonic() + seconds
        while not stopped.is_set() and time.monotonic() < deadline:
            if list(driver.notifies(timeout=min(_SLICE, seconds), stop_after=1)):
                break
        connection.exec_driver_sql(f"UNLISTEN {NOTIFICATION}")  # the connection may go back to somebody's pool
        connection.commit()


def _passes_on(connection: Connection) -> bool:
    """Return whether the server passes notifications on: a replica has none, and a pooler's sessions are not ours.

    A pooler gives its client a number that is not that of the session.
    """
    asked = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()"
    session, is_replica = connection.exec_driver_sql(asked).one()
    connection.commit()
    driver: Any = connection.connection.driver_connection
    return session == driver.info.backend_pid and not is_replica
