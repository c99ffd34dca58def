"""Engines: passwords fetched when a connection is made, and an end to what a server does not answer."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import sqlalchemy
from sqlalchemy import URL, event
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from archimport.runtime.errors import ConfigError
from archimport.sql.config import password_of
from archimport.sql.database import CONNECT_LIMIT, STATEMENT_LIMIT, WRITING_LIMIT
from archimport.sql.drivers import DRIVERS, Driver
from archimport.sql.hosts import check_string, must_verify
from archimport.sql.limits import end_in_time, limit_statements
from archimport.sql.tls import as_said, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Dialect, Engine

    from archimport.sql.address import Address


#: By database, the synchronous driver to name; of the first three, archimport's own extras install it.
_DRIVER_FOR = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mssql": "mssql+pyodbc",
    "oracle": "oracle+oracledb",
}


def create_engine(address: Address, *, reading: bool) -> Engine:
    """Give an engine that keeps no connections, so that none is shared with a forked child or left to idle.

    ConfigError for a URL that SQLAlchemy or the driver does not take, a missing driver, an asynchronous one, and a
    remote server without verified TLS.
    """
    limit = STATEMENT_LIMIT if reading else WRITING_LIMIT
    url = sqlalchemy.make_url(address.url or URL.create("sqlite", database=address.file))
    instead = _DRIVER_FOR.get(url.get_backend_name(), "the name of another one")
    try:
        engine = _made(url, address, limit, reading=reading)
    except NoSuchModuleError:
        raise ConfigError("SQLAlchemy knows no such database", hint="install its dialect") from None
    except ModuleNotFoundError as exc:
        hint = "install it" if url.drivername == instead else f"install it, or write {instead}:// in the URL"
        raise ConfigError(f"the driver {exc.name!r} is not installed", hint=hint) from None
    except (SQLAlchemyError, TypeError, ValueError):
        raise ConfigError("not a URL for this database") from None
    if reading and engine.dialect.driver in DRIVERS:
        engine.dialect.initialize = _ask_nothing  # type: ignore[method-assign]  # text statements need no answers
        if engine.dialect.name == "postgresql":
            limit_statements(engine, limit)
    password = password_of(address.settings)
    if password is not None:
        _call_for_password(engine, password)
    end_in_time(engine, limit + CONNECT_LIMIT)
    return engine


def _made(url: URL, address: Address, limit: int, *, reading: bool) -> Engine:
    dialect = url.get_dialect()
    if dialect.is_async:
        named = _DRIVER_FOR.get(url.get_backend_name(), "the synchronous one")
        raise ConfigError("an import cannot await an asynchronous driver", hint=f"name {named}:// in the URL")
    check_string(url, dialect.driver)
    known = DRIVERS.get(dialect.driver, Driver())
    arguments = known.arguments(limit)
    url, told = (verified if must_verify(url, address) else as_said)(url, dialect.driver)
    arguments |= told
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    if dialect.driver.startswith("psycopg"):
        options["use_native_hstore"] = False
    if reading and dialect.driver in DRIVERS:  # told before anything is sent: each question to a server is a round trip
        options["pool_reset_on_return"] = None
        if known.autocommits:
            arguments["autocommit"] = True
        else:
            options["isolation_level"] = "AUTOCOMMIT"
    return sqlalchemy.create_engine(url, connect_args=arguments, **options)


def _ask_nothing(connection: object) -> None:
    """Stand in for what a dialect asks a server at its first connection."""


def _call_for_password(engine: Engine, password: Callable[[], str]) -> None:
    @event.listens_for(engine, "do_connect")
    def provide(*given: Any) -> None:
        try:
            secret = password()
        except ConfigError:
            raise
        except Exception as exc:  # noqa: BLE001 - it may hold the secret
            raise ConfigError(f"the password callback failed: {type(exc).__name__}") from None
        if not isinstance(secret, str):
            raise ConfigError("the password callback gave no text")
        given[3]["password"] = secret


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """Connect, and nobody else meanwhile where all connections are the same one (SQLite in memory)."""
    with _alone(engine), engine.connect() as connection:
        yield connection


#: Empty in a forked child: whoever held a lock is not there.
_shared: WeakKeyDictionary[Engine, RLock] = WeakKeyDictionary()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.clear)


def _alone(engine: Engine) -> AbstractContextManager[object]:
    return _shared.setdefault(engine, RLock()) if isinstance(engine.pool, StaticPool) else nullcontext()


def default_schema(engine: Engine) -> str | None:
    """Give the schema that holds the tables where none is named.

    In PostgreSQL always one: what a search path finds may be anybody's (CVE-2018-1058).
    """
    return "public" if is_postgresql(engine.dialect) else None


def is_postgresql(dialect: Dialect) -> bool:
    """Return whether a dialect is that of PostgreSQL or of its kin, such as CockroachDB; DuckDB has other schemas."""
    return dialect.name != "duckdb" and any(kind.__name__ == "PGDialect" for kind in type(dialect).__mro__)
