"""The host's configuration of databases: `sql:NAME` is looked up here, so that no path entry holds a credential.

`~/.config/archimport/config.toml` (or below XDG_CONFIG_HOME), then `/etc/archimport/config.toml`:

    [sql.prod]
    url = "postgresql+psycopg://app@db.example.com/app"
    password_file = "/run/secrets/db"

`configure` does the same for one process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archimport.runtime.errors import ConfigError
from archimport.runtime.location import VIRTUAL
from archimport.runtime.private import is_privileged
from archimport.sql.address import Address, of_url

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYS = {
    "url": str,
    "channel": str,
    "schema": str,
    "password_file": str,
    "password_env": str,
    "password_callback": str,
    "allow_insecure": bool,
    "stale_ok": bool,
}
_configured: dict[str, dict[str, object]] = {}


def configure(name: str, url: str, *, password: Callable[[], str] | None = None, **settings: str | bool) -> None:
    """Let `sql:NAME` mean the database at `url` in this process; `settings` are the keys of the configuration file.

    `password` is called for each connection. ConfigError for a key that there is not.
    """
    table: dict[str, object] = {"url": url, **settings}
    _check(name, table)
    if password is not None and not callable(password):
        raise ConfigError("a password is given as a function that fetches it")
    _configured[name] = {**table, "password": password} if password else table


def of_alias(rest: str) -> Address:
    """Give the address behind `sql:REST`; ConfigError if the host's configuration has no such name."""
    name, _, query = rest.partition("?")
    _check_name(name)
    settings = _configured.get(name) or _from_files(name)
    url = str(settings["url"])
    try:
        address = of_url(f"{url}{'&' if '?' in url else '?'}{query}" if query else url)
    except ConfigError as exc:
        raise ConfigError(f"in the configuration of {name!r}: {exc.message}", hint=exc.hint) from None
    address.settings = settings
    address.place = os.path.join(VIRTUAL, "sql", name)
    return address.saying()


def password_of(settings: dict[str, object]) -> Callable[[], str] | None:
    """Give what fetches the password each time a connection is made; None where the driver knows."""
    callback = settings.get("password")
    if callable(callback):
        return callback
    if "password_callback" in settings:
        return _named(str(settings["password_callback"]))
    if "password_file" in settings:
        return lambda: _read_secret(str(settings["password_file"]))
    if "password_env" in settings:
        return lambda: _from_environment(str(settings["password_env"]))
    return None


def _from_files(name: str) -> dict[str, object]:
    import tomllib

    for path in _files():
        try:
            with open(path, "rb") as file:
                tables = tomllib.load(file).get("sql", {})
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as exc:
            raise ConfigError(f"cannot read {path!r}: {getattr(exc, 'strerror', None) or exc}") from None
        table = tables.get(name) if isinstance(tables, dict) else None
        if isinstance(table, dict):
            _check(name, table)
            return table
    raise ConfigError(f"no database is called {name[:60]!r} here", hint=f"add [sql.NAME] to {_files()[0]}")


def _files() -> list[str]:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    base = base if os.path.isabs(base) else os.path.join(os.path.expanduser("~"), ".config")
    system = os.path.join(os.sep, "etc", "archimport", "config.toml")
    # A privileged program takes no path from its caller's environment.
    return [system] if is_privileged() else [os.path.join(base, "archimport", "config.toml"), system]


def _check_name(name: str) -> None:
    """Raise ConfigError, which does not repeat what may be a URL with a password."""
    if not name.replace("-", "_").isidentifier() or not name.isascii():
        raise ConfigError("not a name for a database", hint="letters, digits, - and _")


def _check(name: str, table: dict[str, object]) -> None:
    _check_name(name)
    if "url" not in table:
        raise ConfigError(f"the configuration of {name!r} has no url")
    for key, value in table.items():
        kind = _KEYS.get(key)
        if kind is None or not isinstance(value, kind):
            raise ConfigError(f"the configuration of {name!r} cannot have this {key!r}", hint=", ".join(_KEYS))


def _named(callback: str) -> Callable[[], str]:
    import importlib

    module, _, function = callback.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ConfigError(f"cannot find the password callback {callback!r}: {exc}") from exc
    return found  # type: ignore[no-any-return]  # what the host names


def _read_secret(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().removesuffix("\n")
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"cannot read the password in {path!r}: {getattr(exc, 'strerror', None) or 'no text'}"
        ) from None


def _from_environment(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ConfigError(f"the environment has no {name!r}, which should hold the password") from None
