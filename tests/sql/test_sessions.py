"""Publishing over connections as servers and hosts set them up: isolation, safe updates, stale connections, encodings."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import pytest
import sqlalchemy
from servers import SERVERS, server_url, with_query
from sqlalchemy import Engine, event, text

import archimport
from archimport.sql import history, upgrade, writer
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


@pytest.mark.parametrize("when", ["checkout", "begin"])
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_transaction_that_a_listener_has_begun(kind: str, level: str, when: str) -> None:
    """No level can be set any more: the engine's is kept."""
    engine = sqlalchemy.create_engine(server_url(kind), isolation_level=level)

    @event.listens_for(engine, when)
    def ask(connection, *others) -> None:
        if when == "begin":
            connection.exec_driver_sql("SELECT version FROM archimport_format")
        else:
            cursor = connection.cursor()
            if kind == "mysql":
                cursor.execute("BEGIN")
            cursor.execute("SELECT version FROM archimport_format")
            cursor.fetchall()

    address, channel = address_of(engine), f"begun-{when}-{level.lower().replace(' ', '-')}"
    publish(server_url(kind), channel, "value = 1\n")
    assert publish(engine, channel, f"value = {channel!r}\n").moved
    assert history.rollback(address, channel).serial == 3
    assert history.log(address, channel)
    assert upgrade.upgrade(address) == (1, 1)
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


@pytest.mark.parametrize("by", ["listener", "URL"])
def test_safe_updates_of_mysql(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sql_safe_updates` refuses changes of rows that name no key."""
    url = server_url("mysql")
    say = "SET SESSION sql_safe_updates = 1"
    source = engine_that_says(url, say) if by == "listener" else with_query(url, f"init_command={say}")
    address = address_of(source)
    channel = f"safe-{by}"
    releases = [publish(source, channel, f"value = '{by} {number}'\n").release for number in range(3)]
    assert history.rollback(address, channel).to_release == releases[1]
    monkeypatch.setattr(history, "now", lambda: writer.now() + history.timedelta(days=1))
    assert {releases[0], releases[2]} <= set(history.collect(address, days=0).releases)
    monkeypatch.setattr(upgrade, "VERSION", 2)
    monkeypatch.setitem(upgrade.STEPS, 1, lambda connection: None)
    try:
        assert upgrade.upgrade(address) == (1, 2)
    finally:
        with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).begin() as connection:
            connection.execute(text("UPDATE archimport_format SET version = 1"))


_OWN_NUMBER = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}
_KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


def kill(url: str, kind: str, numbers: list[int]) -> None:
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with admin.connect() as connection:
        for number in numbers:
            connection.execute(text(_KILL[kind].format(number)))
        deadline = time.monotonic() + LIMIT
        alive = "pg_stat_activity" if kind == "postgresql" else "information_schema.processlist"
        column = "pid" if kind == "postgresql" else "id"
        while connection.scalar(
            text(f"SELECT count(*) FROM {alive} WHERE {column} IN ({', '.join(map(str, numbers))})")
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def make_stale(engine: Engine, url: str, kind: str) -> None:
    """Let a server close the connections that the engine's pool holds."""
    connections = [engine.connect() for _ in range(3)]
    numbers = [connection.scalar(text(_OWN_NUMBER[kind])) for connection in connections]
    for connection in connections:
        connection.close()
    kill(url, kind, numbers)


_USES: dict[str, Callable[[object], object]] = {
    "publish": lambda source: publish(source, "stale", f"value = {time.time()}\n"),
    "log": lambda source: history.log(address_of(source)),
    "channels": lambda source: history.channels(address_of(source)),
    "rollback": lambda source: history.rollback(address_of(source), "stale"),
    "gc": lambda source: history.collect(address_of(source)),
    "upgrade": lambda source: upgrade.upgrade(address_of(source)),
    "mount": lambda source: archimport.mount(source, channel="stale").unmount(),
}


@pytest.mark.parametrize("use", _USES.values(), ids=_USES)
def test_connections_that_a_server_has_closed(kind: str, use: Callable[[object], object]) -> None:
    url = server_url(kind)
    for number in range(2):
        publish(url, "stale", f"value = {number, time.time()}\n")
    engine = sqlalchemy.create_engine(url)
    make_stale(engine, url, kind)
    use(engine)
    engine.dispose()


@pytest.mark.parametrize("when", ["after the lock", "at the commit"])
def test_nothing_is_done_twice(kind: str, when: str) -> None:
    """A connection that is lost within a transaction is an error: what was committed is not known."""
    url = server_url(kind)
    first = publish(url, "once", "value = 1\n")
    engine = sqlalchemy.create_engine(url)
    lost = []

    def lose(connection, *others: object) -> None:
        if not lost and (when == "at the commit" or "archimport_channel" in str(others)):
            lost.append(connection.connection.driver_connection)
            number = lost[0].info.backend_pid if kind == "postgresql" else lost[0].thread_id()
            kill(url, kind, [number])

    publish(engine, "once", "value = 1\n")  # the tables are there, the pool is filled
    if when == "at the commit":
        writes = iter([False, True])  # whether the tables are there is read first, by a transaction of its own
        event.listen(engine, "commit", lambda connection: lose(connection) if next(writes, False) else None)
    else:
        event.listen(engine, "before_cursor_execute", lambda connection, *others: lose(connection, others[1]))
    with pytest.raises(archimport.StoreUnavailable):
        publish(engine, "once", "value = 2\n")
    assert len(lost) == 1
    assert writer.head_of(address_of(url), "once").release == first.release
    engine.dispose()


@pytest.mark.parametrize("how", ["publish", "write", "rollback"])
def test_commit_whose_answer_is_lost(kind: str, how: str) -> None:
    """What is done is no failure."""
    url, channel = server_url(kind), f"answer-{how}"
    for number in (1, 2):
        publish(url, channel, f"value = {channel!r}, {number}\n")
    engine = sqlalchemy.create_engine(url)
    commit, writes = engine.dialect.do_commit, []
    event.listen(engine, "before_cursor_execute", lambda *given: writes.append(given[2].startswith("UPDATE")))

    def commit_and_fail(driver: object) -> None:
        commit(driver)
        if any(writes):
            writes.clear()
            raise engine.dialect.loaded_dbapi.OperationalError("lost")

    engine.dialect.do_commit = commit_and_fail
    if how == "publish":
        assert publish(engine, channel, f"value = {channel!r}, 3\n").serial == 3
    elif how == "write":
        with archimport.mount(engine, channel=channel, writable=True) as mounted:
            mounted.store.write("m.py", b"value = 4\n")
            assert mounted.store.pin.serial == 3
    else:
        assert history.rollback(address_of(engine), channel).serial == 3
    assert writer.head_of(address_of(url), channel).serial == 3
    engine.dispose()


@pytest.fixture
def encoded(kind: str) -> Iterator[Callable[[str], str]]:
    """Make a database in some encoding, and give its URL."""
    admin = sqlalchemy.create_engine(server_url(kind), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    name = f"archimport_{uuid4().hex[:12]}"
    options = {
        "postgresql": "ENCODING '{}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "mysql": "CHARACTER SET {}",
    }

    def make(encoding: str) -> str:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} {options[kind].format(encoding)}"))
        return admin.url.set(database=name).render_as_string(hide_password=False)

    yield make
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # SQLAlchemy leaves a connection open whose first statement failed
    with admin.connect() as connection:
        force = " WITH (FORCE)" if kind == "postgresql" else ""
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}{force}"))


#: Encodings of databases, and messages that each can keep over a connection in UTF-8.
_KEPT = [
    ("postgresql", "SQL_ASCII", "летняя"),
    ("postgresql", "LATIN1", "été"),
    ("postgresql", "UTF8", "летняя"),
    ("mysql", "latin1", "летняя"),
    ("mysql", "ascii", "летняя"),
    ("mysql", "utf8mb4", "летняя 🌞"),
]


@pytest.mark.parametrize(("kind", "encoding", "message"), _KEPT)
@pytest.mark.parametrize("query", ["", "encoding of the connection"])
def test_text_in_databases_of_any_encoding(encoded, kind: str, encoding: str, message: str, query: str) -> None:
    """Connections of URLs speak UTF-8, even where the URL asks for less."""
    url = encoded(encoding)
    if query:
        url = with_query(url, "client_encoding=latin1" if kind == "postgresql" else "charset=latin1")
    members = {"encoded_module.py": partial(bytes, b"value = 1")}
    writer.publish(address_of(url), members, "main", message)
    assert history.log(address_of(url))[0].message == message
    with archimport.mount(url) as mounted:
        assert mounted.store.lookup("encoded_module.py")


@pytest.mark.parametrize(
    ("kind", "encoding", "query", "problem"),
    [
        ("postgresql", "LATIN1", "", "cannot send this text.*client_encoding=utf8"),
        ("postgresql", "LATIN1", "client_encoding=utf8", "cannot keep this text.*whose encoding is UTF8"),
        ("postgresql", "SQL_ASCII", "", "returns text as bytes.*client_encoding=utf8"),
        ("mysql", "latin1", "charset=latin1", "cannot send this text.*charset=utf8mb4"),
    ],
)
def test_text_that_a_connection_or_a_database_has_no_letters_for(
    encoded, kind: str, encoding: str, query: str, problem: str
) -> None:
    url = encoded(encoding)
    engine = sqlalchemy.create_engine(with_query(url, query) if query else url, poolclass=sqlalchemy.NullPool)
    with pytest.raises(archimport.ConfigError, match=problem):
        writer.publish(address_of(engine), {"m.py": bytes}, "main", "летняя")


@pytest.mark.parametrize("kind", ["postgresql"])
def test_text_in_another_encoding_than_that_of_the_connection(encoded, kind: str) -> None:
    """A database in SQL_ASCII keeps whatever bytes it is sent."""
    url = encoded("SQL_ASCII")
    latin = sqlalchemy.create_engine(with_query(url, "client_encoding=latin1"), poolclass=sqlalchemy.NullPool)
    writer.publish(address_of(latin), {"m.py": bytes}, "main", "été")
    with pytest.raises(archimport.FormatError, match="not in the encoding of the connection"):
        history.log(address_of(url))
