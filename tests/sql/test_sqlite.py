"""SQLite files: without SQLAlchemy, on any medium, under any name, replaced, locked, left by a killed writer, hostile."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from multiprocessing import forkserver
from pathlib import Path

import pytest
import sqlalchemy
from click.testing import CliRunner
from needs import ROOT_USER
from servers import shared_directory
from trees import Tree

import archimport
from archimport.cli import cli
from archimport.cli.store import open_store
from archimport.sql import sqlite as sqlite_module
from archimport.sql.history import log
from archimport.sql.source import address_of

TREE: Tree = {"a.py": "value = 1\n", "b.py": "value = 2\n", "pkg": {"__init__.py": "value = 3\n"}}


@pytest.fixture
def database(sqlite) -> Path:
    sqlite.name = "main"
    sqlite.publish(TREE)
    return Path(sqlite.source)


def alter(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.executescript(statement)
    connection.commit()
    connection.close()


def test_reading_loads_nothing_heavy(database: Path) -> None:
    root = str(Path(archimport.__file__).parents[1])
    code = (
        f"import sys; sys.path.append({root!r}); import archimport; archimport.mount(sys.argv[1]); import a, pkg;"
        "print([name for name in sys.modules if name.partition('.')[0] in"
        " ('sqlalchemy', 'logging', 'urllib', 'typing', 'pathlib', 'zstandard', 'hashlib', 'threading', 're')])"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(database)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_bare_path_on_the_path(database: Path) -> None:
    archimport.install()
    sys.path.insert(0, str(database))
    assert importlib.import_module("a").__file__ == f"{database}/a.py"


@pytest.mark.parametrize("entry", ["{}", "sqlite:///{}", "sql:plugins"])
def test_first_on_the_path_of_a_new_process(entry: str, database: Path, tmp_path: Path) -> None:
    """What reads the database is looked for on the same path while it is loaded."""
    root = str(Path(archimport.__file__).parents[1])
    config = tmp_path / "config" / "archimport" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[sql.plugins]\nurl = 'sqlite:///{database}'\n")
    code = (
        f"import sys; sys.path.append({root!r}); import archimport; archimport.install();"
        f"sys.path.insert(0, {entry.format(database)!r}); import a, pkg; print(a.value, pkg.value)"
    )
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout, done.stderr) == ("1 3\n", "")


def test_file_of_others_is_not_taken_unasked(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    alter(other, "CREATE TABLE a (b)")
    archimport.install()
    sys.path.insert(0, str(other))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nothing_here")
    with pytest.raises(archimport.FormatError, match="archimport publish"):
        archimport.mount(other)


def test_tables_beside_those_of_others(tmp_path: Path, sqlite) -> None:
    alter(Path(sqlite.source), "CREATE TABLE mine (x)")
    sqlite.publish(TREE)
    with closing(sqlite3.connect(sqlite.source)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (0,)
    sqlite.mount()
    assert importlib.import_module("a").value == 1


@pytest.mark.parametrize(
    "name", ["with space.db", "wha?t.db", "pe%20rc.db", "h#sh.db", "ünï.db", "a@b.db", "q?channel=dev.db"]
)
def test_names_of_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "a.py").write_text("value = 1\n")
    path = tmp_path / "folder %41" / name
    path.parent.mkdir()
    archimport.sql.publish(path, [source])
    assert [each.name for each in path.parent.iterdir()] == [name]
    monkeypatch.chdir(path.parent)
    quoted = name.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    for spelled in (path, name, f"sqlite:///{quoted}"):
        with archimport.mount(spelled) as mounted:
            assert importlib.import_module("a").value == 1
            assert mounted.store.location == str(path)
            del sys.modules["a"]


def test_publishing_a_folder_that_holds_the_database(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("value = 1\n")
    path = tmp_path / "x.db"
    archimport.sql.publish(path, [tmp_path])
    alter(path, "PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(path)) as keep:
        keep.execute("SELECT * FROM archimport_format").fetchall()
        assert archimport.sql.publish(path, [tmp_path]).members == 2


def test_write_ahead_log(database: Path) -> None:
    alter(database, "PRAGMA journal_mode = WAL")
    archimport.mount(database)
    assert importlib.import_module("a").value == 1


def test_file_that_is_replaced_or_gone(database: Path, sqlite, tmp_path: Path) -> None:
    """What was opened stays readable, and a refresh that cannot be leaves the mount as it is."""
    mounted = archimport.mount(database)
    database.rename(tmp_path / "away.db")
    with pytest.raises(archimport.StoreUnavailable):
        mounted.refresh()
    assert importlib.import_module("a").value == 1
    database.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(archimport.FormatError):
        mounted.refresh()
    assert importlib.import_module("b").value == 2
    database.unlink()
    sqlite.publish({"a.py": "value = 10\n"})
    assert mounted.refresh().removed == ("b.py", "pkg/__init__.py")
    assert importlib.reload(sys.modules["a"]).value == 10


def test_file_that_is_written_over(database: Path, sqlite, tmp_path: Path) -> None:
    """By a copy, say: SQLite, asked by an open connection, sees no difference in databases that are made alike."""
    path = tmp_path / "copied.db"
    shutil.copyfile(database, path)
    mounted = archimport.mount(path)
    assert importlib.import_module("a").value == 1
    database.unlink()
    sqlite.publish({**TREE, "a.py": "value = 7\n"})
    assert database.stat().st_size == path.stat().st_size
    shutil.copyfile(database, path)
    assert mounted.refresh().changed == ("a.py",)
    assert importlib.reload(sys.modules["a"]).value == 7


def test_locked_file(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "CONNECT_LIMIT", 0.1)
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(archimport.StoreUnavailable, match="locked") as caught:
            archimport.mount(database)
        assert caught.value.retryable
        writer.execute("ROLLBACK")
    archimport.mount(database)


KILL = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1"); connection.execute("PRAGMA cache_spill = 1")
connection.execute("BEGIN")
connection.execute("CREATE TABLE half (x)")
for _ in range(3000):
    connection.execute("INSERT INTO half VALUES (zeroblob(1000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_writer(database: Path) -> None:
    """It leaves a journal that a read-only connection cannot undo."""
    mounted = archimport.mount(database)
    subprocess.run([sys.executable, "-c", KILL, str(database)], check=False)
    assert Path(f"{database}-journal").stat().st_size
    assert importlib.import_module("a").value == 1
    mounted.refresh()
    assert not Path(f"{database}-journal").exists()


def test_memory_shared_by_threads(sqlite) -> None:
    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.StaticPool, connect_args={"check_same_thread": False}
    )
    source = Path(sqlite.source).with_name("src")
    source.mkdir()
    for number in range(20):
        (source / f"m{number}.py").write_text(f"value = {number}\n")
    archimport.sql.publish(engine, [source])
    mounted = archimport.mount(engine)
    found: list[int] = []
    errors: list[BaseException] = []

    def work(offset: int) -> None:
        try:
            for number in range(offset, offset + 5):
                found.append(importlib.import_module(f"m{number}").value)
                mounted.refresh()
                archimport.sql.publish(engine, [source], channel=f"other{offset}", message=str(number))
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it is shown
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(0, 20, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, sorted(found)) == ([], list(range(20)))
    engine.dispose()


def test_memory_by_url() -> None:
    url = "sqlite:///file:shared_modules?mode=memory&cache=shared&uri=true"
    keep = sqlite3.connect("file:shared_modules?mode=memory&cache=shared", uri=True)
    try:
        from functools import partial

        from archimport.sql.source import address_of
        from archimport.sql.writer import publish

        publish(address_of(url), {"in_memory.py": partial(bytes, b"value = 1\n")}, "main")
        with archimport.mount(url):
            assert importlib.import_module("in_memory").value == 1
    finally:
        keep.close()


@pytest.mark.parametrize("options", [{"isolation_level": "AUTOCOMMIT"}, {"connect_args": {"isolation_level": None}}])
def test_engine_without_transactions(options: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'x.db'}", poolclass=sqlalchemy.NullPool, **options)
    with pytest.raises(archimport.ConfigError, match="AUTOCOMMIT"):
        archimport.sql.publish(engine, [tmp_path])


HOSTILE = {
    "a view": "DROP TABLE archimport_blob; CREATE VIEW archimport_blob AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL"
    " SELECT n + 1 FROM r) SELECT '' digest, n part_number, 'stored' codec, x'00' content FROM r;",
    "a trigger": "CREATE TRIGGER archimport_t AFTER INSERT ON archimport_blob BEGIN SELECT 1; END;",
    "a computed column": "DROP TABLE archimport_blob; CREATE TABLE archimport_blob (digest TEXT, part_number INT,"
    " codec TEXT, raw BLOB, content BLOB\nAS\n(raw));",
    "two versions": "INSERT INTO archimport_format VALUES (2);",
    "no version": "DELETE FROM archimport_format;",
    "no manifest": "UPDATE archimport_release SET manifest = 'zz';",
    "a manifest of NULL": "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '');"
    " PRAGMA writable_schema = RESET; UPDATE archimport_release SET manifest = NULL, created_by = NULL;",
    "huge sizes": "UPDATE archimport_release SET manifest_size = 9223372036854775807;",
    "a negative size": "UPDATE archimport_release SET manifest_size = -1;",
    "text for a serial": "UPDATE archimport_channel SET serial = 'x';",
    "a short digest": "UPDATE archimport_release SET manifest = '00';",
    "numbers for contents": "UPDATE archimport_blob SET content = 1152921504606846976;",
    "text for contents": "UPDATE archimport_blob SET content = 'text';",
    "odd parts": "UPDATE archimport_blob SET part_number = 'x';",
    "infinite parts": "UPDATE archimport_blob SET part_number = 9e999;",
    "unknown codec": "UPDATE archimport_blob SET codec = 'magic';",
    "no contents": "DELETE FROM archimport_blob;",
    "no tables": "DROP TABLE archimport_release;",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_tables(kind: str, database: Path) -> None:
    alter(database, HOSTILE[kind])
    with pytest.raises(archimport.ArchimportError), archimport.mount(database):
        importlib.import_module("a")
    for command in ("verify", "ls", "log", "channels", "gc", "upgrade", "rollback"):
        done = CliRunner().invoke(cli, [command, str(database)])
        assert isinstance(done.exception, archimport.ArchimportError | SystemExit | None), (command, done.exception)
        assert done.exit_code in (0, 1)
        assert f"{done.stderr}{done.exception}".count("\n") <= 1


def test_flipped_bytes(database: Path) -> None:
    """Every 37th byte: a typed error, or what was published."""
    whole = database.read_bytes()
    for position in range(0, len(whole), 37):
        database.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        try:
            store, _ = open_store(f"sqlite:///{database}")
            contents = {entry.path: store.read(entry) for entry in store.walk()}
        except archimport.ArchimportError:
            continue
        finally:
            if "store" in locals():
                store.close()
        assert contents == {"a.py": b"value = 1\n", "b.py": b"value = 2\n", "pkg/__init__.py": b"value = 3\n"}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # it is: that is what is tested
def test_fork_while_another_thread_reads(database: Path) -> None:
    mounted = archimport.mount(database)
    inside, go_on = threading.Event(), threading.Event()
    reader = threading.Thread(
        target=lambda: mounted.store._opened.database.read(lambda _: (inside.set(), go_on.wait(200)))
    )
    reader.start()
    assert inside.wait(20)
    child = os.fork()
    if child == 0:
        signal.alarm(200)
        worker = threading.Thread(target=lambda: importlib.import_module("a"))  # may get the reader's identity
        worker.start()
        worker.join()
        mounted.refresh()
        os._exit(0 if sys.modules["a"].value == 1 else 1)
    go_on.set()
    reader.join()
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # it is: that is what is tested
def test_many_forks(channel) -> None:
    channel.publish({f"m{n}.py": f"value = {n}\n" for n in range(30)})
    mounted = channel.mount()
    children = []
    for number in range(10):
        child = os.fork()
        if child == 0:
            signal.alarm(300)
            found = [importlib.import_module(f"m{n}").value for n in range(number, 30)]
            os._exit(0 if found == list(range(number, 30)) else 1)
        children.append(child)
        assert importlib.import_module(f"m{number}").value == number
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 10
    assert mounted


def value_of(name: str) -> int:
    return importlib.import_module(name).value


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_have_the_release_of_their_parent(channel, method: str) -> None:
    channel.publish({"a.py": "value = 1\n", "b.py": "value = 1\n"})
    mounted = channel.mount()
    channel.publish({"a.py": "value = 2\n", "b.py": "value = 2\n"})
    forkserver._forkserver._stop()  # one that another test started has that test's path
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.apply_async(value_of, ("a",)).get(60) == 1
    mounted.refresh()
    with context.Pool(1) as pool:
        assert pool.apply_async(value_of, ("b",)).get(60) == 2
    forkserver._forkserver._stop()


def test_child_that_cannot_open_says_so(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    archimport.mount(database)
    database.unlink()
    child = multiprocessing.get_context("spawn").Process(target=value_of, args=("a",))
    child.start()
    child.join(60)
    assert child.exitcode == 1
    assert "StoreUnavailable" in capfd.readouterr().err


def test_one_channel_in_two_releases(database: Path) -> None:
    with archimport.mount(database):
        for other in (f"sqlite:///{database}?release=1", database):
            options = {} if isinstance(other, str) else {"release": 1}
            with pytest.raises(archimport.ConfigError):
                archimport.mount(other, **options)
    with pytest.raises(archimport.ReleaseGone):
        archimport.mount(database, release=0)


def test_closing_while_others_read(database: Path) -> None:
    store = archimport.mount(database).store
    seen: list[str] = []

    def read() -> None:
        for _ in range(100_000):
            try:
                assert store._opened.database.read(lambda query: query("SELECT count(*) FROM archimport_blob", {}))
            except archimport.StoreUnavailable as exc:
                seen.append(exc.message)
                return

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    store.close()
    for thread in threads:
        thread.join(300)
    assert seen == ["the store was closed"] * 4


def test_reading_while_the_file_is_replaced_and_asked_for(sqlite, tmp_path: Path) -> None:
    """What was opened stays readable, whoever asks what is there now."""
    tree = {f"m{number}.py": f"# {number}\n" * 3000 for number in range(50)}
    sqlite.publish(tree)
    store = sqlite.mount().store
    other = tmp_path / "other.db"
    shutil.copy(sqlite.source, other)
    sqlite.publish({"m0.py": "value = 1\n"})
    alter(other, "DELETE FROM archimport_blob WHERE digest NOT IN (SELECT manifest FROM archimport_release)")
    os.replace(other, sqlite.source)
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            store.newest()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(3):
            for entry in store.walk():
                store.read(entry)
    finally:
        stopped.set()
        asking.join()


@ROOT_USER
def test_wal_in_a_folder_of_somebody_else(database: Path) -> None:
    path = Path(shutil.copy(database, shared_directory()))
    alter(path, "PRAGMA journal_mode = WAL")
    path.chmod(0o644)

    def read(path: Path) -> bytes:
        with archimport.mount(path) as mounted:
            return mounted.store.read(mounted.store.lookup("a.py"))

    assert read(database) == b"value = 1\n"  # and loads what that imports: the other user may not reach it
    os.seteuid(65534)
    try:
        assert read(path) == b"value = 1\n"
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("url", ["sqlite:///file:{}?mode=rwc", "sqlite:///file:{}?vfsmode=memory"])
def test_urls_that_could_make_a_database(url: str, tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    for attempt in (archimport.mount, lambda source: log(address_of(source))):
        with pytest.raises(archimport.ConfigError, match="names a path"):
            attempt(url.format(path))
    assert not path.exists()
