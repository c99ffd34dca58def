"""Databases of each kind, as sources for `mount` and `publish`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy
from servers import SERVERS, server_url, with_query
from trees import Tree, flatten

import archimport
from archimport.sql import config
from archimport.sql.address import Address
from archimport.sql.source import address_of
from archimport.sql.writer import Published, publish

_numbers = count()
#: The drivers that are tested beside those of every test.
OTHER_DRIVERS = {"postgresql": ("psycopg2", "pg8000"), "mysql": ("mysqlconnector", "mysqldb", "mariadbconnector")}
for _kind, _others in OTHER_DRIVERS.items():
    for _driver in _others:
        with contextlib.suppress(ImportError, SyntaxError):  # loaded now, as in servers; a warning may be an error
            sqlalchemy.create_engine(f"{_kind}+{_driver}://")


def by_driver(url: str, driver: str) -> str:
    """Return the URL for another driver of the same database; skip the test if that is not installed."""
    made = sqlalchemy.make_url(url)
    query = {key: value for key, value in made.query.items() if driver != "pg8000" or key != "host"}
    if driver == "pg8000" and "host" in made.query:
        query["unix_sock"] = f"{made.query['host']}/.s.PGSQL.5432"
    made = made.set(drivername=f"{made.get_backend_name()}+{driver}", query=query)
    try:
        sqlalchemy.create_engine(made)
    except ImportError as exc:
        pytest.skip(f"needs the driver {driver} ({exc})")
    return made.render_as_string(hide_password=False)


class Channel:
    """A channel of its own in a database."""

    def __init__(self, kind: str, source: str, name: str) -> None:
        self.kind = kind
        self.source = source
        self.name = name
        self.url = with_query(source, f"channel={name}") if kind != "sqlite" else f"sqlite:///{source}?channel={name}"

    @property
    def address(self) -> Address:
        return address_of(self.source)

    def publish(self, tree: Tree, message: str = "") -> Published:
        """Publish a tree without building it."""
        members = {path: partial(bytes, content) for path, content in flatten(tree).items()}
        return publish(self.address, members, self.name, message)

    def mount(self, **options: object) -> archimport.Mount:
        return archimport.mount(self.source, channel=self.name, **options)


@pytest.fixture
def channel_on(tmp_path: Path) -> Callable[[str], Channel]:
    """Make a new channel on a kind of database."""

    def make(kind: str) -> Channel:
        source = str(tmp_path / "modules.db") if kind == "sqlite" else server_url(kind)
        return Channel(kind, source, f"c{next(_numbers)}")

    return make


@pytest.fixture(params=["sqlite", *SERVERS])
def channel(request: pytest.FixtureRequest, channel_on: Callable[[str], Channel]) -> Channel:
    """Give a new channel on each kind of database in turn."""
    return channel_on(request.param)


@pytest.fixture
def sqlite(channel_on: Callable[[str], Channel]) -> Channel:
    """Give a new channel in a SQLite file."""
    return channel_on("sqlite")


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that the host's configuration would be in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(config, "_configured", {})
    path = tmp_path / "config" / "archimport" / "config.toml"
    path.parent.mkdir(parents=True)
    return path
