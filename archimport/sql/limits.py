"""An end to what a server does not answer: the limit that a statement brings along, and a timer on this side."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from threading import Timer
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from archimport.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine


def limit_statements(engine: Engine, seconds: int) -> None:
    """Let each statement to PostgreSQL bring its limit of time and an empty search path along.

    Both end with the transaction that the statement is: poolers refuse settings at connecting, and pass the settings of
    a session on to other clients. A search path may find anybody's operators (CVE-2018-1058): one for `varchar` comes
    before those of pg_catalog, which are for `text`.
    """
    execute = _EXECUTE[engine.dialect.driver]
    settings = f"SET LOCAL search_path = ''; SET LOCAL statement_timeout = {seconds * 1000}; "

    @event.listens_for(engine, "do_execute")
    def execute_with_settings(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        execute(cursor, settings, statement, parameters, context)
        return True

    if engine.dialect.driver == "psycopg":

        @event.listens_for(engine, "connect")
        def bind_here(connection: Any, _: object) -> None:  # with parameters apart, a message has one statement
            connection.cursor_factory = engine.dialect.loaded_dbapi.ClientCursor


def _execute_by_psycopg(cursor: Any, settings: str, statement: str, parameters: Any, _: Any) -> None:
    cursor.execute(settings + statement, parameters)
    while cursor.nextset():  # the results of the settings come first
        pass


def _execute_by_psycopg2(cursor: Any, settings: str, statement: str, parameters: Any, _: Any) -> None:
    cursor.execute(settings + statement, parameters)


def _execute_by_pg8000(cursor: Any, settings: str, statement: str, parameters: Any, context: Any) -> None:
    """Take two round trips more: parameters travel apart, in a message of one statement."""
    other = context.root_connection.connection.cursor()
    other.execute(f"BEGIN; {settings}")
    cursor.execute(statement, parameters)
    other.execute("COMMIT")


_EXECUTE = {
    "psycopg": _execute_by_psycopg,
    "psycopg2": _execute_by_psycopg2,
    "psycopg2cffi": _execute_by_psycopg2,
    "pg8000": _execute_by_pg8000,
}


def end_in_time(engine: Engine, seconds: float) -> None:
    """Hang up on a connection that lives longer than it may: psycopg waits for an answer without any limit."""

    @event.listens_for(engine, "connect", insert=True)
    def start(driver: Any, record: Any) -> None:
        find = _fileno_of(driver)
        if find is not None:
            record.info["archimport"] = timer = Timer(seconds, _hang_up, (find,))
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError as exc:  # a subinterpreter, or too many threads
                raise ConfigError(f"a connection needs a thread that ends it in time: {exc}") from None

    @event.listens_for(engine, "close")
    def stop(_: object, record: Any) -> None:
        timer = record.info.pop("archimport", None)
        if timer is not None:
            timer.cancel()


def _fileno_of(driver: Any) -> Callable[[], int] | None:
    """Return what knows the descriptor of a driver's connection: that itself, or where pg8000 and MySQL's keep it."""
    wrapped = getattr(driver, "_socket", None)
    holders = (driver, *(getattr(driver, name, None) for name in ("_usock", "_sock")), getattr(wrapped, "sock", None))
    return next((holder.fileno for holder in holders if hasattr(holder, "fileno")), None)


def _hang_up(fileno: Callable[[], int]) -> None:
    with suppress(Exception), socket.socket(fileno=os.dup(fileno())) as connection:  # it may be closed by now
        connection.shutdown(socket.SHUT_RDWR)
