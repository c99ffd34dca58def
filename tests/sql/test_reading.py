"""What reading costs: statements, connections and round trips; and what becomes of it when the database fails."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import sqlalchemy
from proxy import Proxy
from servers import SERVERS, server_url
from trees import Tree

import archimport
from archimport.sql import blobs
from archimport.sql.database import STATEMENT_LIMIT

#: An application of 300 modules in five packages, of the size of real ones.
_BODY = "\n".join(f"def function_{n}(a, b):\n    return a * {n} + b\n" for n in range(40))
APP: Tree = {
    f"app{p}": {"__init__.py": "", **{f"m{m}.py": f"{_BODY}\nvalue = {m}\n" for m in range(59)}} for p in range(5)
}
RUN = """
import json, sys, time
import archimport
mounted = archimport.mount(sys.argv[1], channel=sys.argv[2])
total = 0
for p in range(5):
    for m in range(59):
        total += __import__(f"app{p}.m{m}", fromlist=["value"]).value
database = mounted.store._opened.database
print(json.dumps([total, database.statements, "sqlalchemy" in sys.modules]))
"""


def run(source: str, channel: str) -> list[object]:
    """Import the application in a process of its own: the sum of its values, our statements, whether with SQLAlchemy."""
    command = [sys.executable, "-c", RUN, source, channel]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout)


def test_statements_for_300_modules(channel) -> None:
    channel.publish(APP)
    total = 5 * sum(range(59))
    for limit in (4, 2, 2):
        found, statements, with_sqlalchemy = run(channel.source, channel.name)
        assert found == total
        assert statements <= limit
        assert with_sqlalchemy == (channel.kind != "sqlite")


def test_second_run_reads_what_the_first_one_did(sqlite) -> None:
    """Once each and nothing else, though it comes in several batches."""
    body = os.urandom(400_000).hex()
    sqlite.publish({f"m{number}.py": f"{body[:200_000]}{number}\n" for number in range(300)})
    paths = [f"m{number}.py" for number in range(100, 200)]
    for is_first in (True, False):
        mounted = sqlite.mount()
        store = mounted.store
        read = store._opened.database.read
        sizes = []

        def watched(work, read=read, sizes=sizes):
            contents = read(work)
            sizes.append(sum(map(len, contents.values())))
            return contents

        store._opened.database.read = watched
        total = sum(len(store.read(store.lookup(path))) for path in paths)
        mounted.unmount()
        store.close()
        assert (sum(sizes) == total) is not is_first
        assert is_first or len(sizes) == 2  # 16 MiB in one


def test_statements_after_a_new_release(channel) -> None:
    channel.publish(APP)
    run(channel.source, channel.name)
    channel.publish({**APP, "app3": {**APP["app3"], "m7.py": "value = 7 + 1000\n"}})
    found, statements, _ = run(channel.source, channel.name)
    assert found == 5 * sum(range(59)) + 1000
    assert statements <= 3  # pointer, manifest, and what start-up needs of the new


@pytest.mark.parametrize("delay", [0.005, 0.05])
@pytest.mark.parametrize("kind", SERVERS)
def test_statements_over_a_slow_network(kind: str, delay: float, channel_on) -> None:
    channel = channel_on(kind)
    channel.publish(APP)
    with Proxy(channel.source, delay=delay) as proxy:
        behind = proxy.url
        for statements, trips in ((4, 30), (2, 10)):
            proxy.trips = 0
            found = run(behind, channel.name)
            assert found[0] == 5 * sum(range(59))
            assert found[1] <= statements
            assert proxy.trips <= trips, proxy.trips


@pytest.mark.parametrize("kind", SERVERS)
def test_no_connection_stays_open(kind: str, channel_on) -> None:
    channel = channel_on(kind)
    channel.publish({"a.py": "value = 1\n"})
    with Proxy(channel.source) as proxy:
        mounted = archimport.mount(proxy.url, channel=channel.name)
        assert importlib.import_module("a").value == 1
        assert mounted.store._opened.database._engine.pool.status() == "NullPool"
        assert all(_is_closed(each) for each in proxy._sockets[::2])


def _is_closed(peer) -> bool:
    """Whether the client has hung up; waits for the word to arrive."""
    for _ in range(1000):
        if peer.fileno() == -1:
            return True
        try:
            peer.getpeername()
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("fault", ["reset", "close"])
@pytest.mark.parametrize("kind", SERVERS)
def test_network_that_breaks_anywhere(kind: str, fault: str, channel_on) -> None:
    """A typed error, and the next import works."""
    channel = channel_on(kind)
    channel.publish({"a.py": "value = 1\n", "b.py": "value = 2\n"})
    for after in (0, 1, 50, 200, 400):
        with Proxy(channel.source) as proxy:
            behind = proxy.url
            proxy.fault, proxy.after = fault, after
            with pytest.raises(archimport.StoreUnavailable):
                archimport.mount(behind, channel=channel.name)
            proxy.fault = None
            with archimport.mount(behind, channel=channel.name):
                assert importlib.import_module("b").value == 2
                del sys.modules["b"]
            assert proxy.connections > 3  # reads are tried again


@pytest.mark.parametrize("after", [0, 120])
@pytest.mark.parametrize("kind", SERVERS)
def test_server_that_says_nothing(kind: str, after: int, channel_on, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither connecting nor reading waits for ever."""
    channel = channel_on(kind)
    channel.publish({"a.py": "value = 1\n"})
    for name, limit in (("CONNECT_LIMIT", 2), ("STATEMENT_LIMIT", 1)):
        monkeypatch.setattr(f"archimport.sql.engine.{name}", limit)
    with Proxy(channel.source) as proxy:
        proxy.fault, proxy.after = "stall", after
        with pytest.raises(archimport.StoreUnavailable):
            archimport.mount(proxy.url, channel=channel.name)
        assert not proxy.tired  # it would have hung up


@pytest.mark.parametrize("kind", SERVERS)
def test_server_that_is_down(kind: str, channel_on) -> None:
    with Proxy(server_url(kind)) as proxy:
        url = proxy.url  # nobody listens there any more
    with pytest.raises(archimport.StoreUnavailable, match="cannot use the database"):
        archimport.mount(url)


@pytest.mark.parametrize("channel", SERVERS, indirect=True)
def test_stale_pin_while_the_database_is_down(channel) -> None:
    """What is pinned and in the user's cache imports; without `stale_ok` an outage is an error."""
    channel.publish({"a.py": "value = 1\n"})
    with Proxy(channel.source) as proxy:
        behind = proxy.url
        with archimport.mount(behind, channel=channel.name, stale_ok=True):
            importlib.import_module("a")
            del sys.modules["a"]
    with pytest.raises(archimport.StoreUnavailable):
        archimport.mount(behind, channel=channel.name)
    with archimport.mount(behind, channel=channel.name, stale_ok=True):
        assert importlib.import_module("a").value == 1
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("nothing_like_this")


@pytest.mark.parametrize(
    "size", [0, 1, 65_535, 65_536, blobs.PART_SIZE - 1, blobs.PART_SIZE, blobs.PART_SIZE + 1, 17 << 20]
)
def test_sizes(channel, size: int) -> None:
    content = os.urandom(size)
    channel.publish({"p": {"__init__.py": "", "data.bin": content}})
    mounted = channel.mount()
    assert mounted.store.read(mounted.store.lookup("p/data.bin")) == content


def test_names_that_a_collation_would_merge(channel) -> None:
    names = ["Foo", "foo", "FOO", "föo", "foo\N{COMBINING DIAERESIS}", "foo_", "foo "]
    channel.publish({f"{name}.py": f"value = {name!r}\n" for name in names})
    channel.mount()
    for name in names:
        assert importlib.import_module(name).value == name


def test_channel_of_another_case(channel) -> None:
    channel.publish({"a.py": ""})
    with pytest.raises(archimport.ConfigError, match="no channel"):
        archimport.mount(channel.source, channel=channel.name.upper())


@pytest.mark.parametrize("channel", SERVERS, indirect=True)
@pytest.mark.parametrize(("speed", "fewest", "most"), [(1 << 17, 30, 100), (1 << 26, 2, 3)], ids=["slow", "fast"])
def test_batches_on_a_network_of_any_speed(channel, speed: int, fewest: int, most: int, monkeypatch) -> None:
    """No statement asks for more than comes within its limit, and fast networks are asked seldom."""
    channel.publish({f"f{number}.bin": os.urandom(100_000) for number in range(100)})
    store = channel.mount().store
    now, sizes = 0.0, []
    really_read = store._opened.database.read

    def read(work):
        nonlocal now
        contents = really_read(work)
        sizes.append(sum(map(len, contents.values())))
        now += sizes[-1] / speed
        return contents

    monkeypatch.setattr(store._opened.database, "read", read)
    monkeypatch.setattr(blobs, "time", SimpleNamespace(monotonic=lambda: now))
    for number in range(100):
        assert len(store.read(store.lookup(f"f{number}.bin"))) == 100_000
    assert fewest <= len(sizes) <= most
    assert max(sizes) / speed < STATEMENT_LIMIT


@pytest.mark.parametrize("damage", ["content = 'x'", "codec = 'unknown'"])
def test_damaged_contents(channel, damage: str) -> None:
    tree = {"a.py": f"# {channel.name}\n" * 50, "b.py": "value = 2\n" * 50}
    channel.publish(tree)
    mounted = channel.mount()
    engine = sqlalchemy.create_engine(channel.source if channel.kind != "sqlite" else f"sqlite:///{channel.source}")
    key = mounted.store.lookup("a.py").digest.hex()
    if channel.kind == "postgresql":
        damage = damage.replace("'x'", "'x'::bytea")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE archimport_blob SET {damage} WHERE digest = '{key}'")
    with pytest.raises((archimport.IntegrityError, archimport.FormatError)) as caught:
        importlib.import_module("a")
    assert caught.value.member == "a.py"
    assert importlib.import_module("b").value == 2  # what came in the same batch is not blamed
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM archimport_blob WHERE digest = '{key}'")
    with pytest.raises(archimport.ReleaseGone):
        importlib.import_module("a")
    channel.publish(tree)  # which is how docs/databases.md mends it
    assert importlib.import_module("a")
    engine.dispose()


def test_import_of_what_opens_a_database_on_the_path() -> None:
    """SQLAlchemy looks for modules that are nowhere, so the path is searched to its end before it is complete."""
    code = f"""
import sys
sys.path.append({os.path.dirname(os.path.dirname(archimport.__file__))!r})
import archimport
archimport.install()
sys.path.append("postgresql+psycopg://nobody@127.0.0.1:1/db")
import sqlalchemy
print(sqlalchemy.create_engine("sqlite://").connect().exec_driver_sql("SELECT 5").scalar())
try:
    import absent_module
except archimport.StoreUnavailable:
    print("down")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "5\ndown\n", done.stderr
