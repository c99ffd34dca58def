"""The boundary where errors of SQLAlchemy and of drivers become ours; statements and secrets stay behind."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from archimport.runtime.errors import ArchimportError, ConfigError, ConflictError, FormatError, StoreUnavailable
from archimport.sql.database import NoTableError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: SQLSTATEs of PostgreSQL and others, and numbers of MySQL: what is not there,
_NO_TABLE = frozenset(("42P01", "42703", "42S02", "42S22", 1054, 1146))
#: which condition of a mount has no function of that name, or no sense, where drivers take that for an outage,
_NO_SENSE = frozenset((1305, 1582, 1630, 3141, sqlite3.SQLITE_ERROR))
#: which schema is not,
_NO_SCHEMA = frozenset(("3F000",))
#: which text the encoding of a database or of a column has no letters for,
_NO_LETTERS = frozenset(("22P05", 1366))
#: which text is in another encoding than the server took it to be in,
_FOREIGN_TEXT = frozenset(("22021",))
#: what this user may not do,
_NO_RIGHT = frozenset(("42501", 1142, 1143, 1044))
#: who is not let in, which trying again does not change,
_NOT_LET_IN = frozenset(("28000", "28P01", "3D000", 1045, 1049, 1698))
#: what two transactions at once do to each other, and a replica's replay of changes to its readers,
_CONFLICT = frozenset(("40001", "40P01", 1213))
#: and who cannot be written to.
_READ_ONLY = frozenset(("25006", 1290, 1836))
_NO_TABLE_TEXTS = ("no such table", "no such column")
#: What Python and MySQL's connector say of an argument that is none.
_NO_ARGUMENT_TEXTS = ("unexpected keyword", "Unsupported argument")
#: What makes a connection carry any text.
_SPEAK = "connect with client_encoding=utf8 (PostgreSQL) or charset=utf8mb4 (MySQL)"
#: Classes of SQLSTATEs that pass (connections, transactions, resources, locks, the server's operator), and numbers of
#: MySQL: a lock that was waited for too long, and those of the client, which are about the connection.
_PASSING_CLASSES = frozenset(("08", "40", "53", "55", "57"))
_PASSING_NUMBERS = frozenset((1205, 1213, *range(2000, 2100)))
_NOT_LET_IN_TEXTS = ("authentication failed", "pg_hba.conf", "FATAL:  database", "FATAL:  role")


@contextmanager
def translated(name: str, *, writing: bool = False) -> Iterator[None]:
    """Turn whatever a database raises into our errors about the store `name`.

    A transaction that failed through another one is a ConflictError of a writer; a reader may try again.
    """
    try:
        yield
    except ArchimportError as exc:
        exc.store = exc.store or name
        raise
    except DBAPIError as exc:
        raise _translated(exc, name, writing) from None
    except PoolTimeoutError:
        error = StoreUnavailable("the engine's pool has no connection left", store=name)
        error.retryable = True
        raise error from None
    except SQLAlchemyError as exc:
        raise StoreUnavailable(f"cannot use the database: {_first_line(exc)}", store=name) from None
    except UnicodeError as exc:
        raise _unspoken(exc, name) from None
    except (AttributeError, TypeError) as exc:
        if "bytes-like" in str(exc):  # SQLAlchemy's own first question to a database in SQL_ASCII
            raise ConfigError("the driver returns text as bytes", store=name, hint=_SPEAK) from None
        if not any(said in str(exc) for said in _NO_ARGUMENT_TEXTS):
            raise _broken(exc, name) from None
        raise ConfigError(f"the driver refuses the URL: {_first_line(exc)}", store=name) from None
    except Exception as exc:  # noqa: BLE001 - drivers raise anything when a server's bytes are damaged
        raise _broken(exc, name) from None


def _unspoken(exc: UnicodeError, name: str) -> ArchimportError:
    """Return the error of a connection in whose encoding some text cannot be sent or read; an engine brings its own."""
    if not isinstance(exc, UnicodeEncodeError):
        return _foreign_text(name)
    reason = f"the connection cannot send this text, its encoding is {exc.encoding}"
    return ConfigError(reason, store=name, hint=_SPEAK)


def _foreign_text(name: str) -> FormatError:
    return FormatError("the database holds text that is not in the encoding of the connection", store=name, hint=_SPEAK)


def _broken(exc: Exception, name: str) -> StoreUnavailable:
    """Say no more than the kind, or what the system says of a network: the text may hold a password."""
    if isinstance(exc, OSError):
        error = StoreUnavailable(f"cannot use the database: {type(exc).__name__}: {exc.strerror}", store=name)
        error.retryable = True
        return error
    return StoreUnavailable(f"the driver cannot use what it was told or was sent: {type(exc).__name__}", store=name)


def _translated(exc: DBAPIError, name: str, writing: bool) -> ArchimportError:
    codes, text = _said(exc.orig)
    reason = _first_line(text)
    if codes & _NO_TABLE or any(said in reason for said in _NO_TABLE_TEXTS):
        return NoTableError(reason, store=name, hint="archimport publish makes our tables")
    if codes & _NO_SCHEMA:
        return ConfigError(reason, store=name, hint="an administrator makes schemas: CREATE SCHEMA")
    if codes & _FOREIGN_TEXT:
        return _foreign_text(name)
    if codes & _NO_LETTERS:
        hint = "keep modules in a database whose encoding is UTF8, or write in letters that this one has"
        return ConfigError(f"the database cannot keep this text: {reason}", store=name, hint=hint)
    if codes & _NO_RIGHT:
        return ConfigError(reason, store=name, hint="archimport grants prints what each kind of user needs")
    if writing and (codes & _CONFLICT or "Error: Conflict on" in reason):  # DuckDB has no codes
        return ConflictError("somebody else published at this moment", store=name, hint="try again")
    way_out = "publish to the primary, not to a replica" if codes & _READ_ONLY else None
    error = StoreUnavailable(f"cannot use the database: {type(exc.orig).__name__}: {reason}", store=name, hint=way_out)
    is_lasting = bool(codes & (_NOT_LET_IN | _NO_SENSE)) or any(said in text for said in _NOT_LET_IN_TEXTS)
    is_outage = exc.connection_invalidated or isinstance(exc, OperationalError | InterfaceError)
    error.retryable = not is_lasting and (is_outage or any(map(_passes, codes)))
    return error


def _passes(code: str | int) -> bool:
    return code in _PASSING_NUMBERS if isinstance(code, int) else len(code) == 5 and code[:2] in _PASSING_CLASSES


def codes_of(exc: DBAPIError) -> set[str | int]:
    """Return the SQLSTATE or the number of an error."""
    return _said(exc.orig)[0]


def _said(origin: BaseException | None) -> tuple[set[str | int], str]:
    """Return the codes and the text of a driver's error, wherever it has them."""
    first = next(iter(getattr(origin, "args", ())), None)
    fields = first if isinstance(first, dict) else {"C": first, "M": str(origin)}  # pg8000 has a dictionary
    codes = [
        fields.get("C"),
        *(getattr(origin, name, None) for name in ("sqlstate", "pgcode", "errno", "sqlite_errorcode")),
    ]
    return {code for code in codes if isinstance(code, str | int)}, str(fields.get("M"))


def _first_line(text: object) -> str:
    """Return the beginning of an error's text."""
    return (str(text).strip().splitlines() or [""])[0][:200]
