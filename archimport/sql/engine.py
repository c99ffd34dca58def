"""Engines: verified TLS, passwords fetched when a connection is made, and an end to what a server does not answer."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, nullcontext, suppress
from threading import RLock, Timer
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import sqlalchemy
from sqlalchemy import URL, event
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from archimport.runtime.errors import ConfigError
from archimport.sql.config import password_of
from archimport.sql.database import CONNECT_LIMIT, STATEMENT_LIMIT, WRITING_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine

    from archimport.sql.address import Address

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
#: What says in a URL or in the environment, past the URL's host, which server is meant.
_OTHER_HOSTS = frozenset(("hostaddr", "conninfo", "service", "servicefile", "read_default_file", "read_default_group"))
_OTHER_HOST_VARIABLES = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE")
#: What MySQL's drivers call TLS in a URL.
_MYSQL_TLS = ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_check_hostname", "ssl_cipher", "ssl_disabled")


def create_engine(address: Address, *, reading: bool) -> Engine:
    """Give an engine that keeps no connections, so that none is shared with a forked child or left to idle.

    ConfigError for a URL that SQLAlchemy or the driver does not take, a missing driver, an asynchronous one, and a
    remote server without verified TLS.
    """
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    limit = STATEMENT_LIMIT if reading else WRITING_LIMIT
    try:
        url = sqlalchemy.make_url(address.url or URL.create("sqlite", database=address.file))
        dialect = url.get_dialect()
        if dialect.is_async:
            raise ConfigError("an asynchronous driver cannot import", hint="name the synchronous one in the URL")
        arguments: dict[str, object] = {}
        if dialect.driver in _DRIVERS:
            url, arguments = _DRIVERS[dialect.driver](url, _must_verify(url, address), limit)
            if reading:  # told before anything is sent: each question to a server is a round trip
                arguments["autocommit"] = True
                options["pool_reset_on_return"] = None
        elif _must_verify(url, address):
            raise _unverified()
        if dialect.driver == "psycopg":
            options["use_native_hstore"] = False
        engine = sqlalchemy.create_engine(url, connect_args=arguments, **options)
    except NoSuchModuleError:
        raise ConfigError("SQLAlchemy knows no such database", hint="install its dialect") from None
    except ModuleNotFoundError as exc:
        raise ConfigError(f"the driver {exc.name!r} is not installed") from None
    except (SQLAlchemyError, TypeError, ValueError):
        raise ConfigError("not a URL for this database") from None
    if reading and dialect.driver in _DRIVERS:
        engine.dialect.initialize = _ask_nothing  # type: ignore[method-assign]  # text statements need no answers
    password = password_of(address.settings)
    if password is not None:
        _call_for_password(engine, password)
    _end_in_time(engine, limit + CONNECT_LIMIT)
    return engine


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


def _must_verify(url: URL, address: Address) -> bool:
    """Whether the server must prove who it is: every one but this machine, unless the host's configuration says no."""
    return not (address.settings.get("allow_insecure") or _is_this_machine(url))


def _is_this_machine(url: URL) -> bool:
    """Whether every host is a loopback address, a socket or a file; an empty one is the driver's default."""
    if url.get_backend_name() == "sqlite":
        return True
    if _OTHER_HOSTS & url.query.keys():
        return False
    named = url.query.get("host", ())
    hosts = [url.host or "", *((named,) if isinstance(named, str) else named)]
    if url.get_backend_name() == "postgresql":
        if any(os.environ.get(name) for name in _OTHER_HOST_VARIABLES):
            return False
        if not any(hosts):
            hosts = [os.environ.get("PGHOST", "")]
    return all(not host or host in _LOOPBACK or host.startswith("/") for host in ",".join(hosts).split(","))


def _for_psycopg(url: URL, verified: bool, limit: int) -> tuple[URL, dict[str, object]]:
    arguments: dict[str, object] = {
        "connect_timeout": CONNECT_LIMIT,
        "options": f"-c statement_timeout={limit * 1000} -c search_path=",
        "prepare_threshold": None,
    }
    if verified:
        if url.query.get("sslmode", "verify-full") != "verify-full":
            raise _unverified()
        arguments |= {"sslmode": "verify-full", "sslrootcert": url.query.get("sslrootcert", "system")}
    return url, arguments


def _for_pymysql(url: URL, verified: bool, limit: int) -> tuple[URL, dict[str, object]]:
    arguments: dict[str, object] = {
        "connect_timeout": CONNECT_LIMIT,
        "read_timeout": limit,
        "write_timeout": limit,
        "local_infile": False,  # a server could ask for any file of this machine
    }
    if verified:
        if url.query.get("ssl_check_hostname", "true") != "true" or "ssl_disabled" in url.query:
            raise _unverified()
        arguments["ssl"] = _tls_context(url)
        url = url.difference_update_query(_MYSQL_TLS)
    return url, arguments


#: What is known of drivers, each `(url, whether TLS must be verified, seconds) -> (url, arguments)`.
_DRIVERS = {"psycopg": _for_psycopg, "pymysql": _for_pymysql}


def _unverified() -> ConfigError:
    return ConfigError(
        "a remote database without verified TLS is refused",
        hint="verify the server's certificate, or let the host's configuration say allow_insecure = true",
    )


def _tls_context(url: URL) -> object:
    import ssl

    def said(key: str) -> str | None:
        value = url.query.get(key)
        return value if isinstance(value, str) else None

    try:
        context = ssl.create_default_context(cafile=said("ssl_ca"), capath=said("ssl_capath"))
        if certificate := said("ssl_cert"):
            context.load_cert_chain(certificate, said("ssl_key"))
    except OSError as exc:
        raise ConfigError(f"cannot read the certificates: {exc.strerror or exc}") from None
    return context


def _end_in_time(engine: Engine, seconds: float) -> None:
    """Hang up on a connection that lives longer than it may: psycopg waits for an answer without any limit."""

    @event.listens_for(engine, "connect", insert=True)
    def start(driver: Any, record: Any) -> None:
        find = getattr(driver, "fileno", None) or getattr(getattr(driver, "_sock", None), "fileno", None)
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


def _hang_up(fileno: Callable[[], int]) -> None:
    with suppress(Exception), socket.socket(fileno=os.dup(fileno())) as connection:  # it may be closed by now
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """Connect, and nobody else meanwhile where all connections are the same one (SQLite in memory)."""
    with _alone(engine), engine.connect() as connection:
        yield connection


_shared: WeakKeyDictionary[Engine, RLock] = WeakKeyDictionary()


def _alone(engine: Engine) -> AbstractContextManager[object]:
    return _shared.setdefault(engine, RLock()) if isinstance(engine.pool, StaticPool) else nullcontext()


def default_schema(engine: Engine) -> str | None:
    """Give the schema that holds the tables where none is named.

    In PostgreSQL always one: what a search path finds may be anybody's (CVE-2018-1058).
    """
    return "public" if engine.dialect.name == "postgresql" else None
