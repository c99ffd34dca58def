"""Publishing: all or nothing, once, and who was when; going back, and letting go."""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy
from servers import SERVERS, with_query
from sqlalchemy import text

import archimport
from archimport.cli.store import open_store
from archimport.runtime.digest import digest
from archimport.sql import config, history, manifest, tables, transaction, upgrade, writer
from archimport.sql.grants import grants
from archimport.sql.source import address_of
from archimport.sql.tables import metadata


def content_of(channel, release: int) -> dict[str, bytes]:
    store, _ = open_store(f"{channel.source}@{release}")
    return {entry.path: store.read(entry) for entry in store.walk()}


def test_one_release_for_one_content(channel) -> None:
    first = channel.publish({"a.py": "value = 1\n"}, "first")
    again = channel.publish({"a.py": "value = 1\n"}, "again")
    other = channel.publish({"a.py": "value = 2\n"}, "other")
    back = channel.publish({"a.py": "value = 1\n"}, "back")
    assert (first.moved, again.moved, other.moved, back.moved) == (True, False, True, True)
    assert first[:4] == again[:4]
    assert (back.release, back.digest, back.serial) == (first.release, first.digest, 3)
    events = history.log(channel.address, channel.name)
    assert [(event.serial, event.from_release, event.to_release, event.message) for event in events] == [
        (3, other.release, first.release, "back"),
        (2, first.release, other.release, "other"),
        (1, None, first.release, "first"),
    ]
    assert all("@" in event.done_by for event in events)


def test_rollback_goes_back_further_each_time(channel) -> None:
    releases = [channel.publish({"a.py": f"value = {n}  # {channel.name}\n"}).release for n in range(4)]
    for expected in (releases[2], releases[1], releases[0]):
        assert history.rollback(channel.address, channel.name).to_release == expected
    with pytest.raises(archimport.ReleaseGone):
        history.rollback(channel.address, channel.name)
    assert history.rollback(channel.address, channel.name, releases[3], "forward").message == "forward"
    with pytest.raises(archimport.ReleaseGone):
        history.rollback(channel.address, channel.name, 10**6)
    (row,) = [row for row in history.channels(channel.address) if row.name == channel.name]
    assert (row.release, row.serial, row.members) == (releases[3], 8, 1)


def test_two_publishers_at_once(channel) -> None:
    """One of them is told, and what it wanted to publish is not half there."""
    channel.publish({"a.py": "value = 0\n"})
    heads = [writer.head_of(channel.address, channel.name) for _ in range(8)]
    results: list[object] = []

    def publish(number: int) -> None:
        members = {"a.py": partial(bytes, f"value = {number}  # {channel.name}\n".encode())}
        try:
            done = writer.publish(channel.address, members, channel.name, str(number), expected=heads[number])
            results.append(done.release)
        except archimport.ConflictError as exc:
            results.append(exc)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    conflicts = [result for result in results if isinstance(result, archimport.ConflictError)]
    assert (len(results), len(conflicts)) == (8, 7), results
    events = history.log(channel.address, channel.name)
    assert [event.serial for event in events] == [2, 1]
    assert content_of(channel, events[0].to_release)["a.py"].startswith(b"value = " + events[0].message.encode())


PUBLISH = """
import sys
from functools import partial
from archimport.sql.source import address_of
from archimport.sql.writer import publish
source, channel, worker = sys.argv[1:]
address = address_of(source)
for number in range(1000):
    publish(address, {f"m{m}.py": partial(bytes, f"v = '{worker} {number} {channel}'".encode()) for m in range(5)}, channel)
    print(number, flush=True)
"""


def test_publisher_that_is_killed(channel) -> None:
    """At any moment there is a whole release, and the audit trail is without gaps."""
    channel.publish({f"m{m}.py": "v = 'first'" for m in range(5)})
    for worker in "abc":
        command = [sys.executable, "-c", PUBLISH, channel.source, channel.name, worker]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as publisher:
            for _ in range(2 + ord(worker) % 3):
                publisher.stdout.readline()
            publisher.kill()
        with channel.mount() as mounted:
            assert len({mounted.store.read(entry) for entry in mounted.store.walk()}) == 1
    serials = [event.serial for event in history.log(channel.address, channel.name)]
    assert serials == list(range(len(serials), 0, -1))
    channel.publish({"after.py": "value = 1\n"})  # no lock was left


def test_gc_keeps_what_is_pointed_to_and_what_is_recent(channel, monkeypatch: pytest.MonkeyPatch) -> None:
    real = transaction.now()
    ages = [100, 50, 20, 0]
    releases = []
    for age in ages:
        then = real - timedelta(days=age)
        monkeypatch.setattr(writer, "now", lambda then=then: then)
        releases.append(channel.publish({"a.py": f"value = {age}  # {channel.name}\n"}).release)
    dry = history.collect(channel.address, days=30, dry_run=True)
    done = history.collect(channel.address, days=30)
    assert dry == done
    # The second was current until the third came, 20 days ago: processes that pinned it may still be there.
    assert [number for number in done.releases if number in releases] == releases[:1]
    for release in releases[1:]:
        assert content_of(channel, release)
    with pytest.raises(archimport.ReleaseGone):
        channel.mount(release=releases[0])
    assert history.collect(channel.address, days=30) == ([], 0)


def test_process_that_pinned_what_was_collected(channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "now", lambda: transaction.now() - timedelta(days=60))
    channel.publish({"a.py": f"value = 1  # {channel.name}\n" * 1000, "b.bin": f"{channel.name}" * 10})
    mounted = channel.mount()
    channel.publish({"a.py": "value = 2\n"})
    monkeypatch.undo()
    history.collect(channel.address, days=1)
    with pytest.raises(archimport.ReleaseGone, match="refresh"):
        mounted.store.read(mounted.store.lookup("b.bin"))
    mounted.refresh()
    assert importlib.import_module("a").value == 2


def test_extract_then_publish_is_the_same_release(channel, tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "pkg").mkdir(parents=True)
    (source / "pkg" / "__init__.py").write_text("from . import mod\n")
    (source / "pkg" / "mod.py").write_text("value = 1\n")
    (source / "pkg" / "data.txt").write_text("data")
    published = archimport.sql.publish(channel.source, [source], channel=channel.name)
    assert published.members == 5  # with bytecode for this Python
    folder = tmp_path / "extracted"
    subprocess.run(
        [sys.executable, "-m", "archimport", "extract", channel.url, str(folder)],
        check=True,
        capture_output=True,
    )
    assert archimport.sql.publish(channel.source, [folder], channel=channel.name) == published._replace(moved=False)
    assert archimport.sql.publish(channel.source, [folder], channel=f"{channel.name}x").digest == published.digest


def test_bytecode_of_another_source_is_a_false_manifest() -> None:
    digests = [manifest.entry_of(name, name.encode()).digest for name in ("a", "b")]
    entries = [archimport.Entry("m.py", digest=digests[0]), archimport.Entry("__pycache__/m.x.pyc", digest=digests[1])]
    whole = manifest.render(entries)
    manifest.ManifestIndex(whole)
    false = whole.replace(digests[0], digests[1], 1) if whole.count(digests[0]) == 2 else b""
    with pytest.raises(archimport.FormatError, match="not of the source"):
        manifest.ManifestIndex(false)


def test_bytecode_goes_with_its_source(channel) -> None:
    from archimport.runtime.bytecode import cached_member, hashed_pyc

    evil = hashed_pyc(compile("value = 'evil'", "m", "exec"), b"value = 1\n", checked=False)
    path = cached_member("mod.py")
    channel.publish({"mod.py": "value = 1\n", "__pycache__": {path.rpartition("/")[2]: evil}})
    mounted = channel.mount(writable=True)
    mounted.store.write("mod.py", b"value = 2\n")  # the bytecode was of another source: it goes
    assert mounted.store.lookup(path) is None
    assert importlib.import_module("mod").value == 2


def test_writable(channel) -> None:
    channel.publish({"p": {"__init__.py": "value = 1\n"}})
    mounted = channel.mount(writable=True)
    first = mounted.store.pin.number
    import p

    p.__loader__.set_data(f"{mounted.path_entry}/p/note.txt", b"written")
    assert p.__loader__.get_data(f"{mounted.path_entry}/p/note.txt") == b"written"
    assert mounted.store.pin.number != first
    (event, _) = history.log(channel.address, channel.name)
    assert event.message == "wrote p/note.txt"
    assert content_of(channel, first) == {"p/__init__.py": b"value = 1\n"}


def test_concurrent_writers(channel) -> None:
    """Who did not see the other's release gets a ConflictError; whose write was taken is there."""
    channel.publish({"a.py": ""})
    stores = []
    for _ in range(6):
        mounted = channel.mount(writable=True)
        stores.append(mounted.store)
        mounted.unmount()
    written, conflicts = [], []

    def write(number: int) -> None:
        for attempt in range(50):
            try:
                stores[number].write(f"by{number}.txt", b"x")
            except archimport.ConflictError:
                conflicts.append(attempt)
                stores[number].refresh()
            else:
                written.append(number)
                return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == list(range(6))
    stores[0].refresh()
    assert {entry.path for entry in stores[0].walk()} == {"a.py", *(f"by{number}.txt" for number in range(6))}
    assert conflicts


def test_writing_where_it_is_not_asked_for(channel) -> None:
    first = channel.publish({"a.py": ""})
    with pytest.raises(archimport.ConfigError, match="writable=True"), channel.mount() as mounted:
        mounted.store.write("b.py", b"")
    with pytest.raises(archimport.ConfigError, match="mount its channel"):
        channel.mount(release=first.release, writable=True)


@pytest.mark.parametrize(
    "name", ["", "12", "a b", "a/b", "x" * 49, "-a", ".a", "a'b", "a@b", "\N{GREEK SMALL LETTER ALPHA}"]
)
def test_names_that_are_no_channels(sqlite, name: str) -> None:
    sqlite.publish({"a.py": ""})
    with pytest.raises(archimport.ConfigError, match="not the name of a channel"):
        archimport.sql.publish(sqlite.source, [Path(__file__).parent], channel=name)
    with pytest.raises(archimport.ConfigError):
        archimport.mount(sqlite.source, channel=name)


def test_tables_of_another_version(channel, tmp_path: Path) -> None:
    source = str(tmp_path / "own.db")
    address = address_of(source)
    assert upgrade.upgrade(address) == (None, 1)
    assert upgrade.upgrade(address) == (1, 1)
    with transaction.transaction(address) as connection:
        connection.execute(tables.version.update().values(version=2))
    for fail in (
        lambda: archimport.mount(source),
        lambda: upgrade.upgrade(address),
        lambda: history.rollback(address, "main"),
    ):
        with pytest.raises(archimport.FormatError, match="version 2"):
            fail()


def test_upgrade_takes_each_step(sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite.publish({"a.py": ""})
    steps = {1: lambda connection: connection.exec_driver_sql("ALTER TABLE archimport_release ADD COLUMN extra TEXT")}
    monkeypatch.setattr(upgrade, "VERSION", 2)
    monkeypatch.setattr(upgrade, "STEPS", steps)
    assert upgrade.upgrade(sqlite.address) == (1, 2)
    monkeypatch.undo()
    with pytest.raises(archimport.FormatError, match="version 2"):
        sqlite.mount()


#: How a role comes and goes.
ROLES = {
    "postgresql": (["CREATE ROLE {} LOGIN"], ["DROP OWNED BY {}", "DROP ROLE {}"]),
    "mysql": (["CREATE USER {}"], ["DROP USER {}"]),
}


@pytest.mark.parametrize("channel", SERVERS, indirect=True)
def test_grants_are_enough_and_no_more(channel) -> None:
    channel.publish({"a.py": f"value = 1  # {channel.name}\n"})
    engine = sqlalchemy.create_engine(channel.source, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    roles = {kind: f"{kind}_{uuid4().hex[:12]}" for kind in ("reader", "publisher", "admin")}
    come, go = ROLES[channel.kind]
    with engine.connect() as connection:
        for role in roles.values():
            for statement in come:
                connection.execute(text(statement.format(role)))
        for statement in grants(channel.address, **roles):
            connection.execute(text(statement))

    def as_role(kind: str) -> object:
        url = sqlalchemy.make_url(channel.source).set(username=roles[kind])
        return type(channel)(channel.kind, url.render_as_string(hide_password=False), channel.name)

    try:
        with as_role("reader").mount():
            assert importlib.import_module("a").value == 1
        assert as_role("publisher").publish({"b.py": f"# {channel.name}"}).moved
        for attempt in (
            lambda: as_role("reader").publish({"c.py": ""}),
            lambda: history.collect(as_role("publisher").address, days=0),
        ):
            with pytest.raises(archimport.ConfigError, match="archimport grants"):
                attempt()
        assert history.collect(as_role("admin").address, days=0).releases
    finally:
        with engine.connect() as connection:
            for role in roles.values():
                for statement in go:
                    connection.execute(text(statement.format(role)))


def test_channel_that_is_named_twice(sqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody publishes to another channel than the one that is shown."""
    monkeypatch.setattr(config, "_configured", {})
    source = tmp_path / "src"
    source.mkdir()
    (source / "a.py").write_text("")
    url = f"sqlite:///{sqlite.source}"
    with pytest.raises(archimport.ConfigError, match="both name a channel"):
        archimport.sql.publish(f"{url}?channel=one", [source], channel="two")
    archimport.sql.configure("stage", url, channel="stage")
    assert archimport.sql.publish("sql:stage", [source]).channel == "stage"
    assert archimport.sql.publish("sql:stage", [source], channel="other").channel == "other"
    assert archimport.sql.publish(f"{url}?channel=one", [source]).channel == "one"
    assert {row.name for row in history.channels(sqlite.address)} == {"stage", "other", "one"}
    for key in ("release=1", "path=x"):
        with pytest.raises(archimport.ConfigError, match="cannot be chosen"):
            archimport.sql.publish(f"{url}?{key}", [source])


def test_input_that_changes_while_it_is_published(channel) -> None:
    """Nothing is visible of it, and the same input can be published then."""
    contents = [b"one\n", b"two\n"]
    with pytest.raises(archimport.ConflictError, match="changed while"):
        writer.publish(channel.address, {"a.txt": contents.pop}, channel.name)
    published = writer.publish(channel.address, {"a.txt": lambda: b"two\n"}, channel.name)
    assert content_of(channel, published.release) == {"a.txt": b"two\n"}


def test_source_that_changes_while_it_is_built(sqlite, tmp_path: Path) -> None:
    """What is compiled is what is packed."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "m.py").write_text("value = 1\n")

    def change(step: str) -> None:
        if step == "publishing":
            (source / "m.py").write_text("value = 2\n")

    archimport.sql.publish(sqlite.source, [source], progress=change)
    store = archimport.mount(sqlite.source).store
    shown = store.read(store.lookup("m.py"))
    assert shown == f"value = {importlib.import_module('m').value}\n".encode()


def test_write_pins_what_it_wrote(channel, monkeypatch: pytest.MonkeyPatch) -> None:
    channel.publish({"a.py": "value = 1\n"})
    store = channel.mount(writable=True).store
    derive = writer.derive

    def overtaken(*arguments: object) -> object:
        pin = derive(*arguments)
        channel.publish({"zzz.py": ""})
        return pin

    monkeypatch.setattr(writer, "derive", overtaken)
    store.write("b.py", b"")
    assert [entry.path for entry in store.walk()] == ["a.py", "b.py"]
    assert store.newest() is not None


def test_write_of_the_longest_path(channel) -> None:
    channel.publish({"a.py": "value = 1\n"})
    path = "a/" * 10 + "x" * 1004
    channel.mount(writable=True).store.write(path, b"")
    assert history.log(channel.address, channel.name)[0].message == f"wrote {path}"[:1000]


@pytest.mark.parametrize("message", ["two\nlines", "x" * 1001])
def test_messages_that_cannot_stand_in_the_log(channel, message: str) -> None:
    channel.publish({"a.py": ""})
    for attempt in (
        lambda: channel.publish({"a.py": ""}, message),
        lambda: history.rollback(channel.address, channel.name, 1, message),
    ):
        with pytest.raises(archimport.ConfigError, match="a message is one line"):
            attempt()
    channel.publish({"b.py": ""}, "🎉")
    assert history.log(channel.address, channel.name)[0].message == "🎉"


def test_one_channel_is_one_store(sqlite) -> None:
    """However it is named; and others are others."""
    for name in ("main", "dev"):
        sqlite.name = name
        sqlite.publish({"a.py": f"# {name}\n"})
    with archimport.mount(sqlite.source) as one, archimport.mount(sqlite.source, channel="main") as other:
        assert one.store is other.store
        with archimport.mount(sqlite.source, channel="dev") as third:
            assert third.store.read(third.store.lookup("a.py")) == b"# dev\n"
    with pytest.raises(archimport.ConfigError, match="no schemas"):
        archimport.mount(sqlite.source, schema="x")


@pytest.mark.parametrize("channel", ["postgresql"], indirect=True)
def test_schema_is_no_folder(channel) -> None:
    """A package of the schema's name stays where it was."""
    channel.publish({"dev": {"__init__.py": "", "x.py": "value = 1\n"}})
    engine = sqlalchemy.create_engine(channel.source, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS dev"))
    writer.publish(channel.address.saying(schema="dev"), {"y.py": lambda: b""}, channel.name)
    with channel.mount(), channel.mount(schema="dev"):
        assert importlib.import_module("dev.x").value == 1
        assert importlib.import_module("y")


@pytest.mark.parametrize("channel", ["postgresql"], indirect=True)
def test_schema_of_ones_own(channel) -> None:
    engine = sqlalchemy.create_engine(channel.source, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.execute(text(f'CREATE SCHEMA "Own_{channel.name}"'))
    url = with_query(channel.source, f"schema=Own_{channel.name}")
    writer.publish(address_of(url), {"a.py": partial(bytes, b"value = 7\n")}, "main")
    with archimport.mount(url) as mounted:
        assert importlib.import_module("a").value == 7
        assert f"Own_{channel.name}" in str(mounted.path_entry)
    with archimport.mount(engine, schema=f"Own_{channel.name}"):
        assert sys.modules["a"]
    with engine.connect() as connection:
        connection.execute(text(f'DROP SCHEMA "Own_{channel.name}" CASCADE'))


def test_metadata_is_public() -> None:
    assert archimport.sql.metadata is metadata
    assert all(name.startswith("archimport_") for name in metadata.tables)


def test_commands(sqlite, tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "archimport", *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    source = tmp_path / "src"
    source.mkdir()
    database = tmp_path / "x.db"
    for value in (1, 2):
        (source / "a.py").write_text(f"value = {value}\n")
        run("publish", database, source, "-m", f"number {value}", "--channel", "dev")
    assert [event["message"] for event in json.loads(run("log", database, "--json"))] == ["number 2", "number 1"]
    assert "number 1" in run("log", database, "--channel", "dev")
    assert "a.py" in json.loads(run("diff", f"{database}@1", f"{database}@dev", "--json"))["changed"]
    assert "~ a.py" in run("diff", f"{database}@1", f"{database}@2")
    assert run("cat", f"{database}@1", "a.py") == "value = 1\n"
    assert run("cat", f"sqlite:///{database}?channel=dev", "a.py") == "value = 2\n"
    assert "release 1" in run("rollback", database, "--channel", "dev")
    assert [row["release"] for row in json.loads(run("channels", database, "--json"))] == [1]
    assert run("run", f"{database}@dev", "-c", "import a; print(a.value)") == "1\n"
    assert "0 releases" in run("gc", database)
    assert "1 releases" in run("gc", database, "--days", "0")
    assert run("upgrade", database) == "version 1\n"
    assert "ok" in run("verify", f"{database}@1")
    run("pack", source, "-o", "packed.db")
    assert "a.py" in run("ls", "packed.db")


def test_run_of_a_damaged_release_fails_in_one_line(sqlite, tmp_path: Path) -> None:
    source = b"print('ran')\n"
    sqlite.publish({"app.py": source})
    command = [sys.executable, "-m", "archimport", "run", f"{sqlite.source}@{sqlite.name}", "-m", "app"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"ran\n"
    with closing(sqlite3.connect(sqlite.source, isolation_level=None)) as connection:
        connection.execute("UPDATE archimport_blob SET content = X'00' WHERE digest = ?", (digest(source).hex(),))
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("archimport: error: ")
