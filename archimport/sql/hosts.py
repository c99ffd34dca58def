"""Which server a URL leads to: one of this machine, or one that must prove who it is."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from archimport.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

    from archimport.sql.address import Address

_LOOPBACK = frozenset(("", "localhost", "127.0.0.1", "::1"))
#: Keys of a query, in lower case, that name servers in a way of their own, and variables that do the same for libpq.
_ELSEWHERE = frozenset(
    (
        "addr",
        "address",
        "conninfo",
        "default_file",
        "default_group",
        "dsn",
        "failover",
        "failover_partner",
        "filedsn",
        "network",
        "odbc_connect",
        "option_files",
        "read_default_file",
        "read_default_group",
        "server",
        "service",
        "servicefile",
    )
)
#: Drivers that SQLAlchemy makes a connection string for; its older versions quote no key there and no name of a driver.
_BY_STRING = frozenset(("mssqlpython", "pyodbc"))
_ELSEWHERE_VARIABLES = ("PGSERVICE", "PGSERVICEFILE")


def must_verify(url: URL, address: Address) -> bool:
    """Return whether the server must prove who it is: each one that is not on this machine does.

    The host's configuration may allow it not to.
    """
    return not (address.settings.get("allow_insecure") or _is_this_machine(url))


def check_string(url: URL, driver: str) -> None:
    """Raise ConfigError for a URL whose keys, or name of an ODBC driver, would say more in a connection string."""
    if driver not in _BY_STRING:
        return
    named = [name for key in url.query if key.lower() == "driver" for name in _listed(url, key)]
    if not all(re.fullmatch(r"\w+( \w+)*", key, re.ASCII) for key in url.query) or re.search("[{};]", "".join(named)):
        raise ConfigError("a key or the driver of the URL holds signs that part a connection string")


def _is_this_machine(url: URL) -> bool:
    """Return whether every host is a loopback address, a socket or a file; an empty one is the driver's default."""
    if url.get_backend_name() == "sqlite":
        return True
    if any(key.lower().replace(" ", "_") in _ELSEWHERE for key in url.query):
        return False
    is_libpq = url.get_driver_name().startswith("psycopg")
    if is_libpq and any(os.environ.get(name) for name in _ELSEWHERE_VARIABLES):
        return False
    return all(map(_is_local, _hosts(url, is_libpq=is_libpq)))


def _hosts(url: URL, *, is_libpq: bool) -> Iterator[str]:
    named = [url.host or "", *_listed(url, "host"), *_listed(url, "hostaddr")]
    if is_libpq:
        named.append(os.environ.get("PGHOSTADDR", ""))
        if not any(named):
            named.append(os.environ.get("PGHOST", ""))
    for hosts in named:
        yield from hosts.split(",")


def _listed(url: URL, key: str) -> tuple[str, ...]:
    value = url.query.get(key, ())
    return (value,) if isinstance(value, str) else value


def _is_local(host: str) -> bool:
    """Return whether `host`, which a port may follow, is this machine or a socket of it.

    >>> [host for host in ("[::1]:5432", "LOCALHOST:", "@socket", "::1", "10.0.0.1:5432", "[::2]") if _is_local(host)]
    ['[::1]:5432', 'LOCALHOST:', '@socket', '::1']
    """
    without_port = re.sub(r":\d*$", "", host)
    return host.startswith(("/", "@")) or not _LOOPBACK.isdisjoint(
        name.lower().removeprefix("[").removesuffix("]") for name in (host, without_port)
    )
