"""Passwords: what a host's configuration says, and where a password must not turn up."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy
from servers import SERVERS
from sqlalchemy import text

import archimport

pytestmark = pytest.mark.usefixtures("configuration")
CANARY = "c4n4ry-s3cret"


@pytest.fixture
def account(channel_on, request: pytest.FixtureRequest):
    """Give a channel and a URL for an account whose password is the canary, without it."""
    channel = channel_on(request.param)
    channel.publish({"app.py": "value = 1\n", "other.py": "value = 2\n"})
    name = f"user_{uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(channel.source, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        if request.param == "postgresql":
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD '{CANARY}' SUPERUSER"))
        else:
            connection.execute(text(f"CREATE USER {name}@'%' IDENTIFIED BY '{CANARY}'"))
            connection.execute(text(f"GRANT ALL ON *.* TO {name}@'%'"))
    url = sqlalchemy.make_url(channel.source).set(username=name, password=None)
    yield channel, url.render_as_string(hide_password=False)
    with engine.connect() as connection:
        what = f"ROLE {name}" if request.param == "postgresql" else f"USER {name}@'%'"
        connection.execute(text(f"DROP {what}"))


def everything_seen(mounted: archimport.Mount) -> str:
    """Give all that a program, a child process or a log may show of a mount."""
    store = mounted.store
    seen = [
        *map(repr, (sys.path, list(sys.path_importer_cache), sys.path_importer_cache, mounted, store, vars(store))),
        repr(vars(store._opened.database)),
        repr({slot: getattr(store.address, slot) for slot in store.address.__slots__}),
        repr(store.describe()),
        str(store.location),
        pickle.dumps(sys.path).decode("latin-1"),
        repr(os.environ),
    ]
    for module in ("app",):
        loaded = importlib.import_module(module)
        seen += [repr(vars(loaded.__spec__)), repr(loaded.__file__), repr(vars(loaded.__loader__))]
    return "\n".join(seen)


@pytest.mark.parametrize("account", SERVERS, indirect=True)
@pytest.mark.parametrize("means", ["password_file", "password_env", "password_callback", "callback", "engine"])
def test_password_is_seen_nowhere(
    account, means: str, configuration: Path, tmp_path: Path, monkeypatch, caplog
) -> None:
    channel, url = account
    source: object = "sql:prod"
    if means == "callback":
        archimport.sql.configure("prod", url, password=lambda: CANARY)
    elif means == "engine":
        source = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(password=CANARY), poolclass=sqlalchemy.NullPool)
    else:
        value = {
            "password_file": str(tmp_path / "secret"),
            "password_env": "DB_SECRET",
            "password_callback": "keys:get",
        }
        (tmp_path / "secret").write_text(CANARY + "\n")
        configuration.write_text(f"[sql.prod]\nurl = '{url}'\n{means} = '{value[means]}'\n")
        (tmp_path / "keys.py").write_text(f"def get():\n    return {CANARY!r}\n")
        monkeypatch.syspath_prepend(tmp_path)
        if means == "password_env":
            monkeypatch.setenv("DB_SECRET", CANARY)
    with caplog.at_level(logging.DEBUG):
        mounted = archimport.mount(source, channel=channel.name)
        seen = everything_seen(mounted)
        if means == "password_env":  # it was there before
            seen = seen.replace(repr(os.environ), "")
        child = subprocess.run(
            [sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True, text=True, check=True
        ).stdout
        errors = errors_of(mounted, source, channel)
    assert importlib.import_module("other").value == 2
    for place in (seen, caplog.text, errors, child if means != "password_env" else ""):
        assert CANARY not in place
    assert len(errors) > 500


def errors_of(mounted: archimport.Mount, source: object, channel) -> str:
    """Give the texts and tracebacks of everything that can be made to go wrong here."""
    entry = mounted.store.lookup("app.py")
    entry.digest = bytes(32)
    attempts = (
        lambda: archimport.mount(source, channel="no_such_channel"),
        lambda: archimport.mount(source, channel=channel.name, release=10**6),
        lambda: archimport.mount(source, channel=channel.name, writable=True),
        lambda: archimport.mount(source, table="no_such_table"),
        lambda: archimport.mount(source, schema="no_such_schema"),
        lambda: mounted.store.read(entry),
    )
    told = []
    for attempt in attempts:
        with pytest.raises(archimport.ArchimportError) as caught:
            attempt()
        told += [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
        told += traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    return "\n".join(told)


@pytest.mark.parametrize("account", SERVERS, indirect=True)
def test_password_that_is_wrong(account) -> None:
    _, url = account
    tries = []
    archimport.sql.configure("prod", url, password=lambda: tries.append(1) or f"not-{CANARY}")
    if _trusts(url):
        pytest.skip("this server trusts everybody on this machine")
    with pytest.raises(archimport.StoreUnavailable) as caught:
        archimport.mount("sql:prod")
    assert CANARY not in str(caught.value)
    assert len(tries) == 1  # trying again locks accounts


def _trusts(url: str) -> bool:
    try:
        wrong = sqlalchemy.make_url(url).set(password="no")
        with sqlalchemy.create_engine(wrong, poolclass=sqlalchemy.NullPool).connect():
            return True
    except sqlalchemy.exc.SQLAlchemyError:
        return False


def raising() -> str:
    raise RuntimeError(CANARY)


@pytest.mark.parametrize("password", [raising, lambda: 5, lambda: CANARY + "\N{EURO SIGN}\udc80"])
@pytest.mark.parametrize("kind", SERVERS)
def test_callbacks_that_fail(password, kind: str, channel_on) -> None:
    channel = channel_on(kind)
    archimport.sql.configure("prod", channel.source, password=password)
    try:
        archimport.mount("sql:prod", channel=channel.name)
    except archimport.ArchimportError as exc:
        shown = "".join(traceback.format_exception(exc))
        assert CANARY not in shown.replace("raise RuntimeError(CANARY)", "")
    else:
        pytest.fail("no such channel at least")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{CANARY}@h/d",
        f"postgresql+psycopg_async://u:{CANARY}@h/d",
        f"Postgresql+psycopg://u:{CANARY}@h/d",
        f" postgresql://u:{CANARY}@h/d",
        f"postgresql://h/d?password={CANARY}",
        f"mysql+pymysql://h/d?passwd={CANARY}",
        f"sql:u:{CANARY}@h",
        f"sqlite:////x.db?channel=u:{CANARY}@x",
        f"nothing://u:{CANARY}@h",
        f"postgresql://u:p/{CANARY}@h/d",
        f"postgresql://u:@{CANARY}@h:x/d",
    ],
)
def test_urls_with_passwords(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for attempt in (archimport.mount, lambda url: archimport.sql.publish(url, [tmp_path])):
        with pytest.raises(archimport.ArchimportError) as caught:
            attempt(url)
        assert CANARY not in "".join(traceback.format_exception(caught.value)).replace(f"url = {url!r}", "")
    assert list(tmp_path.iterdir()) == [tmp_path / "config"]


@pytest.mark.parametrize(
    ("text_", "expected"),
    [
        ("[sql.prod]\n", "no url"),
        ("[sql.prod]\nurl = 5\n", "cannot have this 'url'"),
        ("[sql.prod]\nurl = 'plugins.db'\n", "in the configuration of 'prod'"),
        ("[sql.prod]\nurl = 'mysql+pymysql://localhost/'\n", "names no database"),
        ("[sql.prod]\nurl = 'sqlite:////x.db'\nverify = 'no'\n", "cannot have this 'verify'"),
        ("[sql.prod\n", "cannot read"),
        ("[sql.other]\nurl = 'x'\n", "no database is called 'prod'"),
        ("", "no database is called 'prod'"),
        ("[sql.prod]\nurl = 'sqlite:////nowhere/x.db'\npassword_file = 'x'\n", "cannot read the database"),
    ],
)
def test_configurations_that_do_not_fit(text_: str, expected: str, configuration: Path) -> None:
    configuration.write_text(text_)
    with pytest.raises(archimport.ArchimportError, match=expected):
        archimport.mount("sql:prod")


def test_password_that_is_no_function() -> None:
    with pytest.raises(archimport.ConfigError, match="function"):
        archimport.sql.configure("prod", "sqlite:////x.db", password=CANARY)


def test_option_wins_over_the_configuration(sqlite) -> None:
    sqlite.publish({"a.py": ""})
    archimport.sql.configure("stale", f"sqlite:///{sqlite.source}", channel=sqlite.name, stale_ok=True)
    archimport.mount("sql:stale").unmount()
    os.remove(sqlite.source)
    importlib.invalidate_caches()
    with pytest.raises(archimport.StoreUnavailable):
        archimport.mount("sql:stale", stale_ok=False)
    assert archimport.mount("sql:stale").store.lookup("a.py")


def test_alias_of_a_file(sqlite, configuration: Path) -> None:
    sqlite.name = "main"
    sqlite.publish({"a.py": "value = 1\n"})
    configuration.write_text(f"[sql.plugins]\nurl = 'sqlite:///{sqlite.source}'\n")
    archimport.install()
    sys.path.insert(0, "sql:plugins")
    module = importlib.import_module("a")
    assert (module.value, module.__file__) == (1, f"{os.sep}archimport/sql/plugins/a.py")


def test_channel_of_the_configuration(sqlite, configuration: Path) -> None:
    for name in ("main", "dev"):
        sqlite.name = name
        sqlite.publish({"a.py": f"value = {name!r}\n"})
    configuration.write_text(f"[sql.plugins]\nurl = 'sqlite:///{sqlite.source}'\nchannel = 'dev'\n")
    for source, expected in (
        ("sql:plugins", "dev"),
        ("sql:plugins?channel=main", "main"),
        ("sql:plugins?channel=dev", "dev"),
    ):
        with archimport.mount(source):
            assert importlib.import_module("a").value == expected
            del sys.modules["a"]


def test_asynchronous_engines() -> None:
    for url in ("postgresql+psycopg_async", "sqlite+aiosqlite"):
        with pytest.raises(archimport.ConfigError):
            archimport.mount(f"{url}://localhost/x")

    class AsyncEngine:
        sync_engine = None

    with pytest.raises(archimport.ConfigError, match="synchronous engine"):
        archimport.mount(AsyncEngine())
