"""The boundary where errors of SQLAlchemy and of drivers become ours; statements and secrets stay behind."""

from __future__ import annotations

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
#: which condition of a mount is none: statements of ours are never wrong,
_NO_CONDITION = frozenset(("42601", "42804", "42883", "22P02", 1064))
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
#: and what two transactions at once do to each other.
_CONFLICT = frozenset(("40001", "40P01", 1213))
_NO_TABLE_TEXTS = ("no such table", "no such column", "syntax error")
#: What makes a connection carry any text.
_SPEAK = "connect with client_encoding=utf8 (PostgreSQL) or charset=utf8mb4 (MySQL)"
_NOT_LET_IN_TEXTS = ("authentication failed", "pg_hba.conf", "FATAL:  database", "FATAL:  role")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn whatever a database raises into our errors about the store `name`."""
    try:
        yield
    except ArchimportError as exc:
        exc.store = exc.store or name
        raise
    except DBAPIError as exc:
        raise _translated(exc, name) from None
    except PoolTimeoutError:
        error = StoreUnavailable("the engine's pool has no connection left", store=name)
        error.retryable = True
        raise error from None
    except SQLAlchemyError as exc:
        raise StoreUnavailable(f"cannot use the database: {_first_line(exc)}", store=name) from None
    except UnicodeError as exc:
        raise _unspoken(exc, name) from None
    except TypeError as exc:
        if "bytes-like" in str(exc):  # SQLAlchemy's own first question to a database in SQL_ASCII
            raise ConfigError("the driver returns text as bytes", store=name, hint=_SPEAK) from None
        if "unexpected keyword" not in str(exc):
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
    """Say no more than the kind: the text may hold a password."""
    return StoreUnavailable(f"the driver cannot use what it was told or was sent: {type(exc).__name__}", store=name)


def _translated(exc: DBAPIError, name: str) -> ArchimportError:
    origin = exc.orig
    codes = {getattr(origin, "sqlstate", None), *getattr(origin, "args", ())[:1]}
    reason = _first_line(origin)
    if codes & (_NO_TABLE | _NO_CONDITION) or any(text in reason for text in _NO_TABLE_TEXTS):
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
    if codes & _CONFLICT or "Error: Conflict on" in reason:  # DuckDB has no codes
        return ConflictError("somebody else published at this moment", store=name, hint="try again")
    error = StoreUnavailable(f"cannot use the database: {type(origin).__name__}: {reason}", store=name)
    is_let_in = not (codes & _NOT_LET_IN or any(text in str(origin) for text in _NOT_LET_IN_TEXTS))
    error.retryable = is_let_in and (exc.connection_invalidated or isinstance(exc, OperationalError | InterfaceError))
    return error


def _first_line(exc: BaseException | None) -> str:
    """Give the beginning of an error's text."""
    return (str(exc).strip().splitlines() or [""])[0][:200]
