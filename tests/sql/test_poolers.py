"""Poolers of connections to PostgreSQL: nothing is asked at connecting, and nothing is left to the next client."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy
from pooler import StrictPooler, pgbouncer

import archimport
from archimport.sql import history

from .conftest import OTHER_DRIVERS, Channel, by_driver

DRIVERS = ("psycopg", *OTHER_DRIVERS["postgresql"])
MAY_SKIP = not os.environ.get("ARCHIMPORT_TEST_NO_SKIPPED_SERVERS")
PGBOUNCER = pytest.mark.skipif(
    MAY_SKIP and shutil.which("pgbouncer") is None, reason="needs pgbouncer (apt-get install pgbouncer)"
)


@pytest.mark.parametrize("driver", DRIVERS)
def test_pooler_that_refuses_settings(driver: str, channel_on) -> None:
    own = channel_on("postgresql")
    with StrictPooler(by_driver(own.source, driver)) as pooler:
        channel = Channel("postgresql", pooler.url, own.name)
        channel.publish({"a.py": "value = 1\n"})
        with channel.mount() as mounted:
            assert importlib.import_module("a").value == 1
            channel.publish({"a.py": "value = 2\n"})
            assert mounted.refresh().changed == ("a.py",)
        assert len(history.log(channel.address, channel.name)) == 2


@PGBOUNCER
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_pgbouncer(mode: str, driver: str, channel_on) -> None:
    """All that readers and publishers do, and the one session that all clients share is as it was."""
    own = channel_on("postgresql")
    with pgbouncer(by_driver(own.source, driver), mode) as url:
        channel = Channel("postgresql", url, own.name)
        first = channel.publish({"a.py": "value = 1\n"})
        channel.publish({"a.py": "value = 2\n", "b.py": "value = 2\n"})
        with channel.mount() as mounted:
            assert importlib.import_module("a").value == 2
            assert history.rollback(channel.address, channel.name).to_release == first.release
            assert mounted.refresh().changed == ("a.py",)
        history.collect(channel.address, days=0)
        command = [sys.executable, "-m", "archimport", "run", channel.url, "-c", "import a; print(a.value)"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"
        if mode == "transaction":
            assert _settings(url) == _settings(own.source)


def _settings(url: str) -> list[object]:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        settings = [connection.scalar(sqlalchemy.text(f"SHOW {name}")) for name in ("search_path", "statement_timeout")]
        listening = connection.scalar(sqlalchemy.text("SELECT count(*) FROM pg_catalog.pg_listening_channels()"))
        return [*settings, listening]


@PGBOUNCER
def test_reading_where_a_statement_is_all_there_is(channel_on) -> None:
    own = channel_on("postgresql")
    own.publish({"a.py": "value = 1\n"})
    with pgbouncer(own.source, "statement") as url, archimport.mount(url, channel=own.name):
        assert importlib.import_module("a").value == 1


@PGBOUNCER
def test_watch_through_a_pooler(channel_on, caplog: pytest.LogCaptureFixture) -> None:
    """It asks at each interval, since the session that would listen is not its own."""
    own = channel_on("postgresql")
    with pgbouncer(own.source, "transaction") as url:
        channel = Channel("postgresql", url, own.name)
        channel.publish({"a.py": "value = 1\n"})
        mounted, moved = channel.mount(), threading.Event()
        with caplog.at_level(logging.WARNING, "archimport"), mounted.watch(moved.set, interval=0.1):
            channel.publish({"a.py": "value = 2\n"})
            assert moved.wait(30)
        assert _settings(url)[-1] == 0
    assert not caplog.records


@pytest.mark.parametrize("driver", DRIVERS)
def test_server_that_cannot_answer_is_told_to_stop(driver: str, channel_on, monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement waits in the server for longer than its reader does."""
    channel = channel_on("postgresql")
    channel.publish({"a.py": ""})
    monkeypatch.setattr("archimport.sql.engine.STATEMENT_LIMIT", 1)
    engine = sqlalchemy.create_engine(channel.source)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE archimport_channel IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(archimport.StoreUnavailable) as caught:
            archimport.mount(by_driver(channel.source, driver), channel=channel.name)
        assert caught.value.retryable
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        deadline = time.monotonic() + 30
        while connection.exec_driver_sql(waiting).scalar():
            assert time.monotonic() < deadline
            connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
    engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
def test_operators_of_anybody(driver: str, channel_on) -> None:
    """One for the type of our columns would come before those of pg_catalog, wherever the search path finds it."""
    channel = channel_on("postgresql")
    channel.publish({"a.py": "value = 1\n"})
    engine = sqlalchemy.create_engine(channel.source)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION public.trap(varchar, varchar) RETURNS boolean LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;"
            "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.trap)"
        )
    try:
        with archimport.mount(by_driver(channel.source, driver), channel=channel.name):
            assert importlib.import_module("a").value == 1
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION public.trap CASCADE")
        engine.dispose()
