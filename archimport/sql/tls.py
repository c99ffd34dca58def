"""How each driver is told to verify a server's certificate and the name in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archimport.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from sqlalchemy import URL

    #: The URL and the arguments, which win over it, with which a driver verifies.
    Told = tuple[URL, dict[str, object]]

_YES, _NO = frozenset(("true", "yes", "1")), frozenset(("false", "no", "0"))


class _Rule(NamedTuple):
    """How to `tell` a driver, what a URL can `say` that suffices, and which values its `words` for that may have.

    `tell` is given the URL without those words; None where nothing can be told.
    """

    say: str
    words: dict[str, frozenset[str]]
    tell: Callable[[URL], Told] | None


def verified(url: URL, driver: str) -> Told:
    """Return what makes the driver verify; ConfigError if it cannot be told to, or if the URL says otherwise."""
    rule = _RULES.get(driver) or _RULES.get(f"{url.get_backend_name()}+{driver}")
    if rule is None:
        raise _unverified(f"how to tell the driver {driver!r} is not known: hand over an engine that verifies")
    said = {key: str(value).lower() for key, value in url.query.items() if key.lower() in rule.words}
    if rule.tell is None or any(value not in rule.words[key.lower()] for key, value in said.items()):
        raise _unverified(rule.say)
    return rule.tell(url.difference_update_query(said))


def as_said(url: URL, driver: str) -> Told:
    """Return what a driver is told that need not verify: what the URL says; pg8000 knows no words of libpq's for it."""
    if driver != "pg8000":
        return url, {}
    mode = _text(url, "sslmode") or "prefer"
    bare = url.difference_update_query(("sslmode", *_FILES))
    if mode == "disable" or "unix_sock" in url.query:
        return bare, {"ssl_context": False}
    if mode in ("allow", "prefer"):  # as the driver does by itself
        return bare, {}
    if mode not in ("require", "verify-ca", "verify-full"):
        raise ConfigError(f"no sslmode of PostgreSQL: {mode[:60]!r}")
    context = _libpq_context(url)
    context.check_hostname = mode == "verify-full"
    if mode == "require" and "sslrootcert" not in url.query:
        import ssl

        context.verify_mode = ssl.CERT_NONE
    return bare, {"ssl_context": context}


def _unverified(hint: str) -> ConfigError:
    """Return the error of a server that need not prove who it is."""
    return ConfigError(
        "a remote database without verified TLS is refused",
        hint=f"{hint}; or let the host's configuration say allow_insecure = true",
    )


def _tell_libpq(url: URL) -> Told:
    return url, {"sslmode": "verify-full", "sslrootcert": url.query.get("sslrootcert", "system")}


def _tell_pg8000(url: URL) -> Told:
    """Take libpq's words for files: the driver itself knows a context alone."""
    return url.difference_update_query(_FILES), {"ssl_context": _libpq_context(url)}


def _libpq_context(url: URL) -> SSLContext:
    root, certificate, key = (_text(url, word) for word in _FILES)
    return _context(None if root == "system" else root, None, certificate, key)


def _tell_pymysql(url: URL) -> Told:
    files = [_text(url, f"ssl_{key}") for key in ("ca", "capath", "cert", "key")]
    others = [key for key in url.query if key.startswith("ssl_")]  # one of them, and the driver makes its own context
    return url.difference_update_query(others), {"ssl": _context(*files)}


def _tell_mysqldb(url: URL) -> Told:
    return _with_authorities(url), {"ssl_mode": "VERIFY_IDENTITY"}


def _tell_mariadb(url: URL) -> Told:
    return _with_authorities(url), {"ssl": True, "ssl_verify_cert": True}


def _tell_mysqlconnector(url: URL) -> Told:
    """Say all that a file of options could say: arguments win over it."""
    return _with_authorities(url), {"ssl_disabled": False, "ssl_verify_cert": True, "ssl_verify_identity": True}


def _tell_mssqlpython(url: URL) -> Told:
    return url.update_query_dict({"Encrypt": "yes", "TrustServerCertificate": "no"}), {}


def _tell_pyodbc(url: URL) -> Told:
    """Tell Microsoft's driver: others take these words and heed none. A host without a database is a DSN's name."""
    driver = _text(url, "driver") or ""
    if not (url.host and url.database and driver.lower().startswith("odbc driver ")):
        raise _unverified(_PYODBC_SAYS)
    return _tell_mssqlpython(url)


def _tell_oracledb(url: URL) -> Told:
    dsn = (_text(url, "dsn") or "").lower()
    if url.host or not dsn.startswith("tcps://") or "ssl_server_dn_match" in dsn:
        raise _unverified(_ORACLE_SAYS)
    return url, {"ssl_server_dn_match": True}


_LIBPQ = _Rule("write sslmode=verify-full in the URL", {"sslmode": frozenset(("verify-full",))}, _tell_libpq)
#: libpq's words for the files of authorities, of the client's certificate, and of its key.
_FILES = ("sslrootcert", "sslcert", "sslkey")
_REFUSED: frozenset[str] = frozenset()
#: Files of options may turn verifying off: the client's library reads them after its arguments.
_MYSQL_WORDS = {
    **dict.fromkeys(("default_file", "default_group", "read_default_file", "read_default_group"), _REFUSED),
    "ssl": _YES,
    "ssl_check_hostname": _YES,
    "ssl_disabled": _NO,
    "ssl_mode": frozenset(("verify_identity",)),
    "ssl_verify_cert": _YES,
    "ssl_verify_identity": _YES,
}
_PYODBC_SAYS = "write mssql+pyodbc://user@HOST/DATABASE?driver=ODBC Driver 18 for SQL Server&Encrypt=yes"
_ORACLE_SAYS = "write oracle+oracledb://user@?dsn=tcps%3A%2F%2FHOST%2FSERVICE"
_MSSQL_WORDS = {"encrypt": _YES | {"mandatory", "strict"}, "trustservercertificate": _NO}
#: A string of ODBC, or a name or a file of one, may say anything.
_PYODBC_WORDS = {**_MSSQL_WORDS, **dict.fromkeys(("dsn", "filedsn", "odbc_connect"), _REFUSED)}


def _mysql(tell: Callable[[URL], Told]) -> _Rule:
    return _Rule(
        "write ssl_ca=FILE in the URL, and no file of options; nothing may turn verifying off", _MYSQL_WORDS, tell
    )


#: By SQLAlchemy's name for the driver.
_RULES = {
    "psycopg": _LIBPQ,
    "psycopg2": _LIBPQ,
    "psycopg2cffi": _LIBPQ,
    "pg8000": _LIBPQ._replace(tell=_tell_pg8000),
    "pymysql": _mysql(_tell_pymysql),
    "mysqldb": _mysql(_tell_mysqldb),
    "mariadbconnector": _mysql(_tell_mariadb),
    "mysqlconnector": _mysql(_tell_mysqlconnector),
    "mssqlpython": _Rule("write Encrypt=yes in the URL", _MSSQL_WORDS, _tell_mssqlpython),
    "mssql+pyodbc": _Rule(_PYODBC_SAYS, _PYODBC_WORDS, _tell_pyodbc),
    "pymssql": _Rule("pymssql cannot be told: name mssql+pyodbc", {}, None),
    "oracledb": _Rule(_ORACLE_SAYS, {"ssl_server_dn_match": _YES}, _tell_oracledb),
}


def _with_authorities(url: URL) -> URL:
    """Return the URL with the file of this machine's certificate authorities, if it names none and there is one."""
    import ssl

    authorities = ssl.get_default_verify_paths().cafile
    if authorities is None or {"ssl_ca", "ssl_capath"} & url.query.keys():
        return url
    return url.update_query_dict({"ssl_ca": authorities})


def _context(file: str | None, directory: str | None, certificate: str | None, key: str | None) -> SSLContext:
    import ssl

    named = file or directory
    try:
        context = ssl.create_default_context(cafile=file, capath=directory)
        if certificate:
            named = certificate if key is None else f"{certificate} and {key}"
            context.load_cert_chain(certificate, key)
    except OSError as exc:
        reason = f"cannot read the certificates in {named!r}: {exc.strerror or exc}"
        raise ConfigError(reason, hint="let the URL name files in PEM that this user can read") from None
    return context


def _text(url: URL, key: str) -> str | None:
    value = url.query.get(key)
    return value if isinstance(value, str) else None
