"""Databases on servers, through SQLAlchemy: engines that verify TLS and give up in time, and what drivers raise."""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager, nullcontext, suppress
from threading import RLock, Timer
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import sqlalchemy
from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool, SingletonThreadPool, StaticPool

from archimport.runtime.errors import ArchimportError, ConfigError, FormatError, StoreUnavailable
from archimport.sql.config import password_of
from archimport.sql.database import CONNECT_LIMIT, STATEMENT_LIMIT, Database, NoTableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from threading import Event

    from _typeshed import HasFileno
    from sqlalchemy import Connection, Engine

    from archimport.sql.address import Address
    from archimport.sql.database import Query, Rows

#: What a publisher tells PostgreSQL's listeners, and how long a listener is deaf for a call to stop, in seconds.
NOTIFICATION = "archimport"
_SLICE = 0.5
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
#: Drivers that can be told not to begin transactions; to be told later costs round trips.
_DRIVERS_WITH_AUTOCOMMIT = frozenset(("psycopg", "pymysql"))
#: What MySQL's drivers call TLS in a URL.
_MYSQL_TLS = ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_check_hostname", "ssl_cipher", "ssl_disabled")
#: What says that a table or column is not there, or not for this user: SQLSTATE of PostgreSQL, numbers of MySQL.
_NO_TABLE = frozenset(("42P01", "42703", "3F000", "42501", 1054, 1142, 1146))


def create_engine(address: Address, *, reading: bool) -> Engine:
    """Give an engine that keeps no connections, so that none is shared with a forked child or left to idle.

    ConfigError for a URL that SQLAlchemy or the driver does not take, a missing driver, an asynchronous one, and a
    remote server without verified TLS.
    """
    url = sqlalchemy.make_url(address.url or URL.create("sqlite", database=address.file))
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    if reading:
        options["pool_reset_on_return"] = None
    try:
        dialect = url.get_dialect()
        if dialect.is_async:
            raise ConfigError("an asynchronous driver cannot import", hint="name the synchronous one in the URL")
        url, arguments = _driver_options(url, dialect.driver, address)
        if reading and dialect.driver in _DRIVERS_WITH_AUTOCOMMIT:
            arguments["autocommit"] = True
        engine = sqlalchemy.create_engine(url, connect_args=arguments, **options)
    except NoSuchModuleError:
        raise ConfigError(f"SQLAlchemy knows no {url.drivername!r}", hint="install the dialect") from None
    except ModuleNotFoundError as exc:
        raise ConfigError(f"the driver {exc.name!r} is not installed") from None
    except (SQLAlchemyError, TypeError, ValueError) as exc:
        raise ConfigError(f"not a URL for this database: {_first_line(exc)}") from None
    if reading:
        engine.dialect.initialize = _ask_nothing  # type: ignore[method-assign]  # each question is a round trip
    password = password_of(address.settings)
    if password is not None:
        _call_for_password(engine, password)
    if dialect.driver == "pymysql" and "ssl" in arguments:
        event.listen(engine, "connect", _refuse_plain_mysql)
    return engine


def _ask_nothing(connection: object) -> None:
    """Stand in for what a dialect asks a server at its first connection: text statements need none of the answers."""


def _call_for_password(engine: Engine, password: Callable[[], str]) -> None:
    @event.listens_for(engine, "do_connect")
    def provide(*given: Any) -> None:
        given[3]["password"] = password()


def _driver_options(url: URL, driver: str, address: Address) -> tuple[URL, dict[str, object]]:
    """Give the URL and the driver's arguments: time limits, and verified TLS for what is not this machine."""
    verified = not _is_this_machine(url) and not address.settings.get("allow_insecure")
    if driver == "psycopg":
        arguments: dict[str, object] = {
            "connect_timeout": CONNECT_LIMIT,
            "options": f"-c statement_timeout={STATEMENT_LIMIT * 1000} -c search_path=",
            "prepare_threshold": None,
            "tcp_user_timeout": STATEMENT_LIMIT * 1000,
        }
        if verified:
            if url.query.get("sslmode", "verify-full") != "verify-full":
                raise _unverified()
            arguments |= {"sslmode": "verify-full", "sslrootcert": url.query.get("sslrootcert", "system")}
        return url, arguments
    if driver == "pymysql":
        limits = {"connect_timeout": CONNECT_LIMIT, "read_timeout": STATEMENT_LIMIT, "write_timeout": STATEMENT_LIMIT}
        arguments = {**limits, "local_infile": False, "charset": "utf8mb4"}
        if verified:
            if url.query.get("ssl_check_hostname", "true") != "true" or "ssl_disabled" in url.query:
                raise _unverified()
            arguments["ssl"] = _tls_context(url)
            url = url.difference_update_query(_MYSQL_TLS)
        return url, arguments
    if verified:
        raise _unverified()
    return url, {}


def _unverified() -> ConfigError:
    return ConfigError(
        "a remote database without verified TLS is refused",
        hint="verify the server's certificate, or let the host's configuration say allow_insecure = true",
    )


def _tls_context(url: URL) -> object:
    import ssl

    try:
        context = ssl.create_default_context(cafile=url.query.get("ssl_ca"), capath=url.query.get("ssl_capath"))  # type: ignore[arg-type]  # one value each
        if "ssl_cert" in url.query:
            context.load_cert_chain(str(url.query["ssl_cert"]), url.query.get("ssl_key"))  # type: ignore[arg-type]  # ditto
    except OSError as exc:
        raise ConfigError(f"cannot read the certificates: {exc.strerror or exc}") from None
    return context


def _refuse_plain_mysql(connection: Any, _: object) -> None:
    """PyMySQL goes on in the clear if whoever answers says that it has no TLS."""
    if not getattr(connection, "_secure", False):
        connection.close()
        raise _unverified()


def _is_this_machine(url: URL) -> bool:
    """Whether every host is a loopback address or a socket; an empty one is what the driver takes by default."""
    named = url.query.get("host", ())
    hosts = [url.host or "", *((named,) if isinstance(named, str) else named)]
    if url.get_backend_name() == "postgresql" and not any(hosts):
        hosts = os.environ.get("PGHOST", "").split(",")
        if "service" in url.query or "PGSERVICE" in os.environ:
            return False
    return all(not host or host in _LOOPBACK or host.startswith("/") for host in ",".join(hosts).split(","))


class ServerDatabase(Database):
    """A database that an engine reaches. One connection at a time, open only while something is read.

    An engine that was handed over is used as it is, in a child process with a pool of its own.
    """

    def __init__(self, address: Address) -> None:
        self._engine = address.engine or create_engine(address, reading=True)
        self._is_fresh = True
        self._schema = schema_prefix(self._engine, address.schema)
        self.local = self._engine.dialect.name == "sqlite"
        super().__init__(address.place)

    def _begin_process(self) -> None:
        if not self._is_fresh and not isinstance(self._engine.pool, StaticPool | SingletonThreadPool):
            # A pool of the parent's would hand out its connections: take one like it, and leave the parent's alone.
            self._engine = sqlalchemy.Engine(self._engine.pool.recreate(), self._engine.dialect, self._engine.url)
        self._is_fresh = False
        super()._begin_process()

    @contextmanager
    def _session(self) -> Iterator[Query]:
        with translated(self.name), connected(self._engine) as connection:
            yield lambda statement, parameters: self._rows(connection, statement, parameters)

    def quote(self, name: str) -> str:
        """Give the name of a table or column as it stands in statements of this dialect."""
        return str(self._engine.dialect.identifier_preparer.quote(name))

    def wait(self, seconds: float, stopped: Event) -> None:
        """Listen to PostgreSQL, on a connection of its own; elsewhere wait for the time."""
        if self._engine.dialect.name != "postgresql" or self._engine.dialect.driver != "psycopg":
            super().wait(seconds, stopped)
            return
        with translated(self.name), connected(self._engine) as connection:
            connection.exec_driver_sql(f"LISTEN {NOTIFICATION}")
            connection.commit()
            driver: Any = connection.connection.driver_connection
            deadline = time.monotonic() + seconds
            while not stopped.is_set() and time.monotonic() < deadline:
                if list(driver.notifies(timeout=min(_SLICE, seconds), stop_after=1)):
                    return

    def _rows(self, connection: Connection, statement: str, parameters: dict[str, object]) -> Rows:
        self.statements += 1
        text = sqlalchemy.text(statement.replace("{schema}", self._schema))
        with limited(connection):
            return [tuple(row) for row in connection.execute(text, parameters)]


def schema_prefix(engine: Engine, schema: str | None) -> str:
    """Give what stands before a table's name in statements.

    In PostgreSQL always a schema: what a search path finds may be anybody's (CVE-2018-1058).
    """
    schema = schema or default_schema(engine)
    return "" if schema is None else f"{engine.dialect.identifier_preparer.quote_schema(schema)}."


def default_schema(engine: Engine) -> str | None:
    """Give the schema that holds the tables where none is named."""
    return "public" if engine.dialect.name == "postgresql" else None


@contextmanager
def limited(connection: Connection) -> Iterator[None]:
    """End what a server does not answer in time; psycopg waits without a limit, so its socket is shut down under it."""
    driver = connection.connection.driver_connection
    if not hasattr(driver, "fileno"):
        yield
        return
    timer = Timer(STATEMENT_LIMIT + 1, _hang_up, (driver,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(driver: HasFileno) -> None:
    with suppress(Exception), socket.socket(fileno=os.dup(driver.fileno())) as connection:  # it may be closed by now
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn what SQLAlchemy and drivers raise into our errors; statements and parameters stay out of the text."""
    try:
        yield
    except DBAPIError as exc:
        raise _translated(exc, name) from None
    except PoolTimeoutError:
        error = StoreUnavailable("the engine's pool has no connection left", store=name)
        error.retryable = True
        raise error from None
    except SQLAlchemyError as exc:
        raise StoreUnavailable(f"cannot use the database: {_first_line(exc)}", store=name) from None
    except (ValueError, TypeError, OverflowError) as exc:  # what a column of another type makes of a value
        raise FormatError(f"the tables hold what they should not: {_first_line(exc)}", store=name) from None


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """Connect, and nobody else meanwhile where all connections are the same one (SQLite in memory).

    ConfigError for what the driver does not take.
    """
    with _alone(engine):
        try:
            connection = engine.connect()
        except TypeError as exc:
            raise ConfigError(f"the driver refuses the URL: {_first_line(exc)}") from None
        with connection:
            yield connection


_shared: WeakKeyDictionary[Engine, RLock] = WeakKeyDictionary()


def _alone(engine: Engine) -> AbstractContextManager[object]:
    return _shared.setdefault(engine, RLock()) if isinstance(engine.pool, StaticPool) else nullcontext()


def _translated(exc: DBAPIError, name: str) -> ArchimportError:
    origin = exc.orig
    codes = {getattr(origin, "sqlstate", None), *(getattr(origin, "args", ())[:1])}
    reason = f"{type(origin).__name__}: {_first_line(origin)}"
    if codes & _NO_TABLE or "no such table" in str(origin) or "no such column" in str(origin):
        return NoTableError(_first_line(origin), store=name, hint="archimport publish makes our tables")
    error = StoreUnavailable(f"cannot use the database: {reason}", store=name)
    error.retryable = exc.connection_invalidated or isinstance(
        exc, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError
    )
    return error


def _first_line(exc: BaseException | None) -> str:
    return (str(exc).strip().splitlines() or [""])[0][:200]
