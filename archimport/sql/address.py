"""What a URL or a path says: which database, which release of it, and where its modules are said to lie.

SQLAlchemy's spelling of URLs, our query keys taken out before a driver sees them. A SQLite URL is read without it.
"""

from __future__ import annotations

import os
from _weakref import ref

from archimport.runtime.errors import ConfigError
from archimport.runtime.location import VIRTUAL
from archimport.runtime.secrets import refuse_secrets
from archimport.sql.schema import MAIN, check_channel, check_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

_OUR_KEYS = frozenset(("channel", "release", "schema", "path"))


class Address:
    """Where a database is: `url` for SQLAlchemy, `file` where it is a SQLite file, `uri` what SQLite itself opens.

    `engine` is one that was handed over instead. `place` is shaped like an absolute path and without secrets; `said`
    are our query keys; `settings` what the host's configuration says.
    """

    __slots__ = ("engine", "file", "place", "said", "settings", "uri", "url")

    def __init__(
        self,
        place: str,
        *,
        url: str | URL | None,
        said: dict[str, str],
        uri: str | None = None,
        file: str | None = None,
    ) -> None:
        self.place = place
        self.url = url
        self.said = said
        self.uri = uri
        self.file = file
        self.settings: dict[str, object] = {}
        self.engine: Engine | None = None

    @property
    def schema(self) -> str | None:
        """The schema that holds the tables, where one was named."""
        schema = self.said.get("schema")
        return None if schema is None else check_identifier(schema, "schema")

    def location(self, channel: str) -> str:
        """Give the location of a channel: all that selects content but the release."""
        place = self.place if self.schema is None else f"{self.place}{os.sep}{self.schema}"
        return place if check_channel(channel) == MAIN else f"{place}@{channel}"


def of_url(text: str) -> Address:
    """Give the address that a URL names; ConfigError, without repeating any of it, if it is none."""
    refuse_secrets(text)
    if "\0" in text or "%00" in text:
        raise ConfigError("a URL cannot hold a NUL character")
    bare, said, others = _split_query(text)
    scheme, _, rest = bare.partition(":")
    if scheme.partition("+")[0] == "sqlite":
        return _of_sqlite(rest, said, others)
    return of_server("?".join((bare, "&".join(others))) if others else bare, said)


def _split_query(url: str) -> tuple[str, dict[str, str], list[str]]:
    """Split a URL into what stands before its query, our keys, and the rest of the query."""
    bare, _, query = url.partition("?")
    said, others = {}, []
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key in _OUR_KEYS:
            said[key] = _unquoted(value)
        else:
            others.append(part)
    return bare, said, others


def of_file(path: str, said: dict[str, str] | None = None) -> Address:
    """Give the address of a SQLite file."""
    try:
        file = os.path.realpath(path)
    except ValueError:
        raise ConfigError("a path cannot hold a NUL character") from None
    quoted = quoted_file(file)
    uri = f"file:{quoted if quoted.startswith('/') else '/' + quoted}?mode=ro"
    return Address(file, url=None, said=said or {}, uri=uri, file=file)


def quoted_file(file: str) -> str:
    """Give the path of a file as it stands in URLs."""
    return file.replace(os.sep, "/").replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _of_sqlite(rest: str, said: dict[str, str], others: list[str]) -> Address:
    if not rest.startswith("///"):
        raise ConfigError("not a SQLite URL", hint="write sqlite:////folder/file.db, or hand over an engine")
    if "schema" in said:
        raise ConfigError("SQLite has no schemas")
    path = _unquoted(rest[3:])
    if path.startswith("file:"):  # SQLite's own spelling, which SQLAlchemy passes on
        query = "&".join(part for part in others if part != "uri=true")
        reading = query if "mode=" in query else f"{query}&mode=ro"
        place = os.path.join(VIRTUAL, "sqlite", _as_name(f"{path[5:]}?{query}"))
        return Address(place, url=f"sqlite:///{path}?{query}&uri=true", said=said, uri=f"{path}?{reading}")
    if not path or path == ":memory:":
        raise ConfigError("this URL names a new database in memory", hint="hand over an engine")
    if others:
        raise ConfigError(f"a SQLite URL has no {others[0].partition('=')[0]!r}")
    return of_file(path, said)


def of_server(url: str | URL, said: dict[str, str]) -> Address:
    """Give the address of a database on a server."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        made = make_url(url)
        query = "&".join(f"{key}={made.query[key]}" for key in sorted(made.query))
        parts = (made.get_backend_name(), made.host or "localhost", str(made.port or ""), made.database or "", query)
    except (ArgumentError, ValueError):
        raise ConfigError("not a database URL", hint="write dialect+driver://user@host:port/database") from None
    place = os.path.join(VIRTUAL, *(_as_name(part) for part in parts if part))
    return Address(place, url=made, said=said)


def of_engine(engine: object) -> Address:
    """Give the address of the database that an engine leads to; ConfigError for an object that is none."""
    from sqlalchemy import Engine

    is_async = hasattr(engine, "sync_engine") or getattr(getattr(engine, "dialect", None), "is_async", False)
    if not isinstance(engine, Engine) or is_async:
        hint = "imports cannot await: make a synchronous engine" if is_async else "give a path, a URL or a Store"
        raise ConfigError(f"cannot mount an object of {type(engine)}", hint=hint)
    address = of_server(engine.url.set(password=None), {})
    name = engine.url.database or ""
    if engine.url.get_backend_name() == "sqlite":
        is_file = name not in ("", ":memory:") and not name.startswith("file:")
        address.place = os.path.realpath(name) if is_file else f"{address.place}-{number_of(engine)}"
    address.engine = engine
    return address


_numbers: dict[int, ref[Engine]] = {}


def number_of(engine: Engine) -> int:
    """Give a number that this engine has, and no other one while it lives: each has a memory of its own."""
    number = next((number for number, known in _numbers.items() if known() is engine), len(_numbers))
    _numbers[number] = ref(engine)
    return number


def _as_name(text: str) -> str:
    """Give a name for one folder of a path."""
    from urllib.parse import quote

    name = quote(text, safe="+ ")
    return name.replace(".", "%2E") if not name.strip(".") else name


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)
