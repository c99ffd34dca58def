"""What is known of drivers: their limits of time, and how they make a server prove who it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archimport.runtime.errors import ConfigError
from archimport.sql.database import CONNECT_LIMIT

if TYPE_CHECKING:
    from sqlalchemy import URL

    from archimport.sql.address import Address

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
#: What says in a URL or in the environment, past the URL's host, which server is meant.
_OTHER_HOSTS = frozenset(("hostaddr", "conninfo", "service", "servicefile", "read_default_file", "read_default_group"))
_OTHER_HOST_VARIABLES = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE")
#: What MySQL's drivers call TLS in a URL.
_MYSQL_TLS = ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_check_hostname", "ssl_cipher", "ssl_disabled")


def must_verify(url: URL, address: Address) -> bool:
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
        "client_encoding": "utf8",  # else it is the database's, in which not all text can be said
    }
    if verified:
        if url.query.get("sslmode", "verify-full") != "verify-full":
            raise unverified()
        arguments |= {"sslmode": "verify-full", "sslrootcert": url.query.get("sslrootcert", "system")}
    return url, arguments


def _for_pymysql(url: URL, verified: bool, limit: int) -> tuple[URL, dict[str, object]]:
    arguments: dict[str, object] = {
        "connect_timeout": CONNECT_LIMIT,
        "read_timeout": limit,
        "write_timeout": limit,
        "charset": "utf8mb4",
        "local_infile": False,  # a server could ask for any file of this machine
    }
    if verified:
        if url.query.get("ssl_check_hostname", "true") != "true" or "ssl_disabled" in url.query:
            raise unverified()
        arguments["ssl"] = _tls_context(url)
        url = url.difference_update_query(_MYSQL_TLS)
    return url, arguments


#: What is known of drivers, each `(url, whether TLS must be verified, seconds) -> (url, arguments)`.
DRIVERS = {"psycopg": _for_psycopg, "pymysql": _for_pymysql}


def unverified() -> ConfigError:
    """Give the error of a server that need not prove who it is."""
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
