"""Schemes of databases as other programs write them."""

from __future__ import annotations

from archimport.runtime.errors import ConfigError

_SPELLINGS = {
    "pg": "postgresql+psycopg",
    "pgsql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "psql": "postgresql+psycopg",
    "postgresql+psycopg3": "postgresql+psycopg",
    "mysql2": "mysql+pymysql",
    "mysql+mysql": "mysql+pymysql",
    "sqlite3": "sqlite",
    "sqlserver": "mssql+pyodbc",
}


def right_scheme(scheme: str) -> str | None:
    """Return what SQLAlchemy calls a scheme that another program knows; None for all others.

    >>> right_scheme("postgres"), right_scheme("postgres+psycopg2"), right_scheme("postgresql")
    ('postgresql+psycopg', 'postgresql+psycopg', None)
    """
    return _SPELLINGS.get(scheme) or _SPELLINGS.get(scheme.partition("+")[0])


def unknown_scheme(scheme: str) -> ConfigError:
    """Return the error of a scheme that nobody opens, without the rest of a URL: there may be a password in it."""
    right = right_scheme(scheme)
    return ConfigError(f"unknown scheme {scheme!r}", hint=f"write {right}://" if right else "register_scheme adds one")
