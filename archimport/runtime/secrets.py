"""Passwords have no place in a URL: path entries show up in tracebacks, pickles and child processes."""

from __future__ import annotations

from archimport.runtime.errors import ConfigError
from archimport.runtime.location import split_scheme

#: What names a secret in a query, a fragment or an embedded connection string.
_KEYS = ("pass=", "password=", "passwd=", "passphrase=", "pwd=", "secret=", "token=", "api_key=", "apikey=")


def refuse_secrets(text: str) -> None:
    """Raise ConfigError for a URL with a password in it, without repeating any of it but the scheme.

    >>> refuse_secrets("postgresql://bob@host/db")
    >>> refuse_secrets("postgresql://bob:hunter2@host/db")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    archimport.runtime.errors.ConfigError: a 'postgresql' URL with a password in it is refused (use sql:NAME, ...
    """
    split = split_scheme(text)
    if split is None:
        return
    scheme, rest = split
    rest = rest.removeprefix("//")
    if _names_a_password(rest) or _has_secret_key(rest):
        raise ConfigError(
            f"a {scheme!r} URL with a password in it is refused",
            hint="use sql:NAME, an engine, or the driver's own means, such as PGPASSFILE or an option file",
        )


def _names_a_password(rest: str) -> bool:
    """Whether there is `user:password@` before the path, or before the query for passwords with a slash in them."""
    if rest.startswith("/"):
        return False
    return any(":" in part.rpartition("@")[0] for part in (rest.partition("/")[0], rest.partition("?")[0]))


def _has_secret_key(rest: str) -> bool:
    if "%" in rest:
        from urllib.parse import unquote  # deferred: for the rare URL that hides something

        rest = unquote(rest)
    return any(key in rest.lower() for key in _KEYS)
