"""What `mount` and `publish` are given: the path of a SQLite file, a URL, `sql:NAME`, or an engine."""

from __future__ import annotations

import os

from archimport.runtime.errors import ConfigError
from archimport.runtime.location import split_scheme
from archimport.sql.address import Address, of_engine, of_file, of_url


def address_of(source: object) -> Address:
    """Give the address that a source leads to; ConfigError if it cannot be one."""
    if not isinstance(source, str | os.PathLike):
        return of_engine(source)
    text: str = os.fspath(source)
    scheme, rest = split_scheme(text) or ("", text)
    if scheme == "sql":
        from archimport.sql.config import of_alias  # deferred: only for aliases

        return of_alias(rest)
    if not scheme and "://" in text:
        raise ConfigError("not a URL of a database", hint="write dialect+driver://user@host:port/database")
    return of_url(text) if scheme else of_file(text)
