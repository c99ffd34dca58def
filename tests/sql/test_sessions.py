"""Publishing over connections as servers and hosts set them up: isolation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import sqlalchemy
from servers import SERVERS, server_url, with_query
from sqlalchemy import Engine, event, text

from archimport.sql import writer
from archimport.sql.source import address_of

#: In seconds: ten times what a slow machine needs.
LIMIT = 120


def publish(source: object, channel: str, content: str) -> writer.Published:
    return writer.publish(address_of(source), {"m.py": partial(bytes, content.encode())}, channel)


def engine_that_says(url: str, *statements: str, **options: object) -> Engine:
    """Give an engine whose connections are set up as a host does that, by statements of a listener."""
    engine = sqlalchemy.create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def say(driver, record) -> None:
        cursor = driver.cursor()
        for statement in statements:
            cursor.execute(statement)
        driver.commit()

    return engine


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


_WAITING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


@contextmanager
def another_writer(url: str, kind: str) -> Iterator[Callable[[threading.Event], None]]:
    """Hold the lock of writers; what is given waits until somebody waits for it, and lets go."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as holder, engine.connect() as watcher:
        holder.execute(text("UPDATE archimport_format SET version = version"))

        def let_go(done: threading.Event) -> None:
            deadline = time.monotonic() + LIMIT
            while not done.is_set() and not watcher.scalar(text(_WAITING[kind])):
                watcher.rollback()
                assert time.monotonic() < deadline
                time.sleep(0.2)  # InnoDB tells who asks more often what it told before
            holder.execute(text("UPDATE archimport_format SET version = version + 1"))
            holder.execute(text("UPDATE archimport_format SET version = version - 1"))
            holder.commit()

        yield let_go


def publish_behind_another(source: object, url: str, kind: str) -> writer.Published:
    with another_writer(url, kind) as let_go:
        done = threading.Event()
        thread = threading.Thread(target=let_go, args=(done,))
        thread.start()
        try:
            return publish(source, "waits", f"value = {time.time()}\n")
        finally:
            done.set()
            thread.join()


_SETTINGS = {
    ("postgresql", "SERIALIZABLE"): ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
    ("postgresql", "REPEATABLE READ"): ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
    ("mysql", "SERIALIZABLE"): ["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
    ("mysql", "REPEATABLE READ"): ["SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
}


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("by", ["listener", "engine", "snapshots"])
def test_publishers_wait_for_each_other(kind: str, level: str, by: str) -> None:
    """Whatever level is the default: who has waited goes on, and the engine keeps its level."""
    url = server_url(kind)
    publish(url, "first", "value = 1\n")
    statements = _SETTINGS[kind, level] if by != "engine" else []
    if by == "snapshots":
        if kind != "mysql":
            pytest.skip("a setting of MariaDB")
        statements = [*statements, "SET SESSION innodb_snapshot_isolation = 1"]
    engine = engine_that_says(url, *statements, **({"isolation_level": level} if by == "engine" else {}))
    assert publish_behind_another(engine, url, kind).moved
    assert publish_behind_another(engine, url, kind).moved
    with engine.connect() as connection:
        name = "transaction_isolation" if kind == "postgresql" else "@@tx_isolation"
        found = connection.scalar(text(f"SHOW {name}" if kind == "postgresql" else f"SELECT {name}"))
    assert found.replace("-", " ").upper() == level
    engine.dispose()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_publishers_wait_in_a_database_with_another_default(level: str) -> None:
    url = server_url("postgresql")
    publish(url, "first", "value = 1\n")
    name = sqlalchemy.make_url(url).database
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'"))
        try:
            assert publish_behind_another(url, url, "postgresql").moved
        finally:
            connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_isolation"))
