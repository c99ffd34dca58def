"""What a URL or a path says: which database, which release of it, and where its modules are said to lie.

SQLAlchemy's spelling of URLs, our query keys taken out before a driver sees them. A SQLite URL is read without it.
"""

from __future__ import annotations

import os

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

    def saying(self, **more: object) -> Address:
        """Give this address with more of our keys said, None apart; ConfigError for a key that the URL has too."""
        given = {key: str(value) for key, value in more.items() if value is not None}
        for key in self.said.keys() & given.keys():
            raise ConfigError(f"the URL and an option both name a {key}", store=self.place)
        address = Address(self.place, url=self.url, said={**self.said, **given}, uri=self.uri, file=self.file)
        address.settings, address.engine = self.settings, self.engine
        if address.schema is not None and self.uri is not None:
            raise ConfigError("SQLite has no schemas", store=self.place)
        return address

    def on_channel(self, channel: str | None) -> Address:
        """Give this address for one who writes to a channel; ConfigError if it names less than that."""
        for key in ("release", "path"):
            if key in self.said:
                raise ConfigError(f"a {key} cannot be chosen here", store=self.place, hint=f"leave out the {key}")
        return self.saying(channel=channel)

    def _asked(self, key: str) -> str | None:
        found = self.said.get(key, self.settings.get(key))
        return None if found is None else str(found)

    @property
    def channel(self) -> str:
        """The channel that is meant: what was said, else what the host's configuration says."""
        channel = self._asked("channel")
        return MAIN if channel is None else check_channel(channel)

    @property
    def schema(self) -> str | None:
        """The schema that holds the tables, where one was named."""
        schema = self._asked("schema")
        return None if schema is None else check_identifier(schema, "schema")

    @property
    def tables(self) -> str:
        """Where the tables are: the place and the schema, in a form that no folder in a store has."""
        return self.place if self.schema is None else f"{self.place}:{self.schema}"

    @property
    def location(self) -> str:
        """The location of the channel: all that selects content but the release."""
        return self.tables if self.channel == MAIN else f"{self.tables}@{self.channel}"


def of_url(text: str) -> Address:
    """Give the address that a URL names; ConfigError, without repeating any of it, if it is none."""
    refuse_secrets(text)
    if "\0" in text or "%00" in text:
        raise ConfigError("a URL cannot hold a NUL character")
    bare, said, others = _split_query(text)
    scheme, _, rest = bare.partition(":")
    if scheme.partition("+")[0] == "sqlite":
        return _of_sqlite(rest, said, others)
    _refuse_misspelled(scheme)
    address = of_server("?".join((bare, "&".join(others))) if others else bare, said)
    if scheme.partition("+")[0] in ("mysql", "mariadb") and not getattr(address.url, "database", None):
        raise ConfigError("the URL names no database", store=address.place, hint="write it behind the host: HOST/NAME")
    return address


def _refuse_misspelled(scheme: str) -> None:
    from archimport.runtime.spelling import right_scheme, unknown_scheme  # deferred: a SQLite file needs neither

    if right_scheme(scheme) is not None:
        raise unknown_scheme(scheme)


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
        raise ConfigError(f"not a path: {str(path)!r}") from None  # a NUL, or what this locale cannot write
    in_url = quoted_file(file)
    uri = f"file:{in_url if in_url.startswith('/') else '/' + in_url}?mode=ro"
    return Address(file, url=None, said=said or {}, uri=uri, file=file)


def quoted_file(file: str) -> str:
    """Give the path of a file as it stands in URLs."""
    return file.replace(os.sep, "/").replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _of_sqlite(rest: str, said: dict[str, str], others: list[str]) -> Address:
    if not rest.startswith("///"):
        raise ConfigError("not a SQLite URL", hint="write sqlite:////folder/file.db, or hand over an engine")
    path = _unquoted(rest[3:])
    if path.startswith("file:") and "mode=memory" in others:  # SQLite's own spelling, which SQLAlchemy passes on
        query = "&".join(part for part in others if part != "uri=true")
        place = os.path.join(VIRTUAL, "sqlite", _as_name(f"{path[5:]}?{query}"))
        return Address(place, url=f"sqlite:///{path}?{query}&uri=true", said=said, uri=f"{path}?{query}").saying()
    if path.startswith("file:"):
        raise ConfigError("a SQLite URL names a path", hint="write sqlite:////folder/file.db")
    if not path or path == ":memory:":
        raise ConfigError("this URL names a new database in memory", hint="hand over an engine")
    if others:
        raise ConfigError(f"a SQLite URL has no {others[0].partition('=')[0]!r}")
    return of_file(path, said).saying()


def of_server(url: str | URL, said: dict[str, str]) -> Address:
    """Give the address of a database on a server."""
    from sqlalchemy import make_url  # the package first: two threads that import parts of it wait for each other
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

    from archimport.sql.number import number_of

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


def quoted(text: str, safe: str = "") -> str:
    """Return a text as it stands in the query of a URL; ConfigError for surrogates: bytes that are no UTF-8."""
    from urllib.parse import quote

    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise ConfigError("a URL has bytes that are no UTF-8", hint="write them as %XX") from None


def _as_name(text: str) -> str:
    """Give a name for one folder of a path."""
    name = quoted(text, safe="+ ")
    return name.replace(".", "%2E") if not name.strip(".") else name


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)
