"""Replicas: they cancel reads, lag, and pass no notifications on."""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy
from proxy import Proxy
from pymysql.err import OperationalError as MySqlError
from servers import SERVERS, server_url, with_query
from sqlalchemy.exc import DatabaseError, OperationalError
from standby import Standby, programs, replicated

import archimport
from archimport.sql import history, server
from archimport.sql.source import address_of
from archimport.sql.store import SqlStore
from archimport.sql.translate import translated

from .conftest import Channel

PROGRAMS = programs()
MAY_SKIP = not os.environ.get("ARCHIMPORT_TEST_NO_SKIPPED_SERVERS")
NEEDS_PROGRAMS = pytest.mark.skipif(
    MAY_SKIP and PROGRAMS is None, reason="needs PostgreSQL's programs (apt-get install postgresql)"
)


@pytest.fixture(scope="module")
def servers() -> Iterator[Standby]:
    assert PROGRAMS is not None
    with replicated(PROGRAMS) as both:
        yield both


@pytest.fixture
def standby(servers: Standby) -> Iterator[Standby]:
    yield servers
    servers.catch_up()


class CodedError(Exception):
    def __init__(self, name: str, code: object) -> None:
        super().__init__(f"canceled by {code}")
        setattr(self, name, code)


FAILURES = {
    "psycopg": OperationalError("", {}, CodedError("sqlstate", "40001")),
    "psycopg, deadlock": DatabaseError("", {}, CodedError("sqlstate", "40P01")),
    "psycopg2": OperationalError("", {}, CodedError("pgcode", "40001")),
    "pg8000": DatabaseError("", {}, Exception({"C": "40001", "M": "canceled by 40001"})),
    "pymysql": OperationalError("", {}, MySqlError(1213, "canceled by 1213")),
    "mysqlconnector": DatabaseError("", {}, CodedError("errno", 1213)),
    "pyodbc": DatabaseError("", {}, Exception("40001", "canceled by 40001")),
}


@pytest.mark.parametrize("driver", FAILURES)
def test_cancelled_by_another_transaction(driver: str) -> None:
    """Whoever reads may try again; only a publisher has been in somebody's way."""
    with pytest.raises(archimport.StoreUnavailable, match="canceled by") as read, translated("db"):
        raise FAILURES[driver]
    assert read.value.retryable
    with pytest.raises(archimport.ConflictError), translated("db", writing=True):
        raise FAILURES[driver]


@pytest.mark.parametrize("code", ["40001", "40P01", "57014", "55P03"])
def test_read_that_is_canceled_is_tried_again(code: str) -> None:
    engine = sqlalchemy.create_engine(server_url("postgresql"))
    source = with_query(server_url("postgresql"), "schema=canceled")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA canceled")
    try:
        Channel("postgresql", source, "main").publish({"a.py": "value = 1\n"})
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE SEQUENCE canceled.n; CREATE FUNCTION canceled.once() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
                f" IF nextval('canceled.n') = 1 THEN RAISE 'canceled' USING errcode = '{code}'; END IF; RETURN true;"
                " END $$; ALTER TABLE canceled.archimport_blob RENAME TO blob; CREATE VIEW canceled.archimport_blob AS"
                " SELECT blob.* FROM canceled.blob, (SELECT canceled.once() AS o) t WHERE t.o"
            )
        with archimport.mount(source):
            assert importlib.import_module("a").value == 1
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA canceled CASCADE")
        engine.dispose()


@pytest.mark.parametrize("lags", [False, True])
@pytest.mark.parametrize("kind", SERVERS)
def test_what_is_not_there(kind: str, lags: bool, channel_on, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is gone if a primary says so, and not yet there if a replica does."""
    channel = channel_on(kind)
    channel.publish({"a.py": f"value = 1  # {kind} {lags}\n"})
    mounted = channel.mount()
    engine = sqlalchemy.create_engine(channel.source)
    with engine.begin() as connection:
        gone = "DELETE FROM archimport_blob WHERE digest = :content"
        connection.execute(sqlalchemy.text(gone), {"content": mounted.store.lookup("a.py").digest.hex()})
    engine.dispose()
    if lags:
        monkeypatch.setitem(server._IS_REPLICA, kind, "SELECT 0, 1")
    with pytest.raises(archimport.StoreUnavailable if lags else archimport.ReleaseGone) as caught:
        importlib.import_module("a")
    assert getattr(caught.value, "retryable", None) is (True if lags else None)
    with pytest.raises(archimport.StoreUnavailable if lags else archimport.ReleaseGone):
        channel.mount(release="f" * 64)
    with pytest.raises(archimport.StoreUnavailable if lags else archimport.ConfigError):
        archimport.mount(channel.source, channel="later")
    assert mounted.store.lookup("a.py") is not None


def _set_head(channel: Channel, serial: int, release: int) -> None:
    engine = sqlalchemy.create_engine(channel.source if channel.kind != "sqlite" else f"sqlite:///{channel.source}")
    moving = "UPDATE archimport_channel SET serial = :serial, release_id = :release WHERE channel_name = :name"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(moving), {"serial": serial, "release": release, "name": channel.name})
    engine.dispose()


@pytest.mark.parametrize("kind", SERVERS)
def test_nobody_goes_back_by_itself(kind: str, channel_on) -> None:
    """Of two replicas behind one name, the other one may lag."""
    channel = channel_on(kind)
    first = channel.publish({"a.py": "value = 1\n"})
    second = channel.publish({"a.py": "value = 2\n"})
    mounted = channel.mount()
    child = SqlStore(address_of(channel.source).saying(channel=channel.name), **mounted.store.pinned())
    _set_head(channel, first.serial, first.release)
    for store in (mounted.store, child):
        assert store.newest() is None
        assert not store.refresh()
        assert store.pin.manifest.hex() == second.digest
    _set_head(channel, second.serial, second.release)
    history.rollback(channel.address, channel.name)
    for store in (mounted.store, child):
        assert store.newest() is not None
        assert store.refresh().changed == ("a.py",)
        assert store.pin.manifest.hex() == first.digest
    child.close()


@NEEDS_PROGRAMS
def test_child_on_a_standby_that_lags(standby: Standby, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    channel = Channel("postgresql", standby.primary, "child")
    channel.publish({"a.py": "value = 1\n"})
    standby.pause()
    published = channel.publish({"a.py": "value = 2\n", "b.py": ""})
    pinned = (published.digest, published.serial)
    address = address_of(standby.standby).saying(channel="child")
    with pytest.raises(archimport.StoreUnavailable, match="replica") as caught:
        SqlStore(address, pinned)
    assert caught.value.retryable
    channel.mount().unmount()  # the cache has the manifest now, and no contents
    store = SqlStore(address, pinned)
    entry = store.lookup("b.py")
    assert entry is not None
    with pytest.raises(archimport.StoreUnavailable, match="replica"):
        store.read(entry)
    assert not store.refresh()
    standby.catch_up()
    assert store.read(entry) == b""
    store.close()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    SqlStore(address, pinned).close()


@NEEDS_PROGRAMS
def test_watch_of_a_standby(standby: Standby, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot listen, which is nothing to warn of; nor does it go back where another server answers."""
    channel = Channel("postgresql", standby.primary, "watched")
    channel.publish({"a.py": "value = 1\n"})
    standby.catch_up()
    with Proxy(standby.standby) as balancer, caplog.at_level(logging.WARNING, "archimport"):
        mounted, told = archimport.mount(balancer.url, channel="watched"), threading.Semaphore(0)

        def follow() -> None:
            mounted.refresh(reload=True)
            told.release()

        module = importlib.import_module("a")
        with mounted.watch(follow, interval=0.05):
            channel.publish({"a.py": "value = 2\n"})
            assert told.acquire(timeout=30)
            assert module.value == 2
            standby.pause()
            balancer._url = sqlalchemy.make_url(standby.primary)
            channel.publish({"a.py": "value = 3\n"})
            assert told.acquire(timeout=30)
            balancer._url = sqlalchemy.make_url(standby.standby)
            database, deadline = mounted.store._opened.database, time.monotonic() + 30
            asked = database.statements
            while database.statements < asked + 10:  # the first few may be those of the primary
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert not told.acquire(blocking=False)
            assert module.value == 3
    assert not caplog.records


@NEEDS_PROGRAMS
def test_publishing_to_a_standby(standby: Standby) -> None:
    channel = Channel("postgresql", standby.primary, "main")
    channel.publish({"a.py": ""})
    standby.catch_up()
    with pytest.raises(archimport.StoreUnavailable, match="publish to the primary"):
        Channel("postgresql", standby.standby, "main").publish({"a.py": "value = 2\n"})
