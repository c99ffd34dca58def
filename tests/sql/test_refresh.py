"""Moving to a newer release: refresh, reload, watch."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import marshal
import sys
import threading
import traceback
from pathlib import Path

import pytest
import sqlalchemy
from builders import STORES
from servers import SERVERS

import archimport
from archimport.sql import history


def test_pin_does_not_move_by_itself(channel) -> None:
    channel.publish({"a.py": "value = 1\n", "b.py": "value = 1\n"})
    mounted = channel.mount()
    assert importlib.import_module("a").value == 1
    channel.publish({"a.py": "value = 2\n", "b.py": "value = 2\n", "c.py": ""})
    importlib.invalidate_caches()
    assert importlib.import_module("b").value == 1
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("c")
    changes = mounted.refresh()
    assert (changes.added, changes.changed, changes.removed) == (("c.py",), ("a.py", "b.py"), ())
    assert (sys.modules["a"].value, importlib.reload(sys.modules["a"]).value) == (1, 2)
    importlib.import_module("c")
    assert not mounted.refresh()


def test_release_that_was_named_stays(channel) -> None:
    first = channel.publish({"a.py": "value = 1\n"})
    channel.publish({"a.py": "value = 2\n"})
    for release in (first.release, str(first.release), first.digest):
        with channel.mount(release=release) as mounted:
            assert importlib.import_module("a").value == 1
            assert not mounted.refresh()
            del sys.modules["a"]


@pytest.mark.parametrize("release", [999999, "f" * 64])
def test_release_that_is_not_there(channel, release: object) -> None:
    channel.publish({"a.py": ""})
    with pytest.raises(archimport.ReleaseGone, match="archimport log"):
        channel.mount(release=release)


@pytest.mark.parametrize("release", ["x", "", "1.5", "-1", "F" * 64, "9" * 30])
def test_release_that_is_none(sqlite, release: object) -> None:
    sqlite.publish({"a.py": ""})
    with pytest.raises(archimport.ConfigError, match="not a release"):
        sqlite.mount(release=release)


OLD = {
    "base.py": "value = 1\nold = True\n",
    "user.py": "from base import value\ntotal = value + 10\n",
    "other.py": "runs = globals().get('runs', 0) + 1\n",
}


def test_reload_in_the_order_of_import(channel) -> None:
    channel.publish(OLD)
    mounted = channel.mount()
    import other
    import user

    user_dict = user.__dict__
    new = {
        **OLD,
        "base.py": "value = 5\nextra = 7\n",
        "user.py": "from base import value, extra\ntotal = value + extra\n",
    }
    channel.publish(new)
    changes = mounted.refresh(reload=True)
    assert changes.changed == ("base.py", "user.py")
    assert (user.total, user.__dict__ is user_dict, other.runs) == (12, True, 1)
    assert sys.modules["base"].old  # as importlib.reload has it: names stay


def test_reload_of_what_imports_the_changed(sqlite) -> None:
    """It did not change, but has the old objects."""
    tree = {**OLD, "top.py": "import user\nseen = user.total\nruns = globals().get('runs', 0) + 1\n"}
    sqlite.publish(tree)
    mounted = sqlite.mount()
    import other
    import top

    sqlite.publish({**tree, "base.py": "value = 5\n"})
    assert mounted.refresh(reload=True).changed == ("base.py",)
    assert (top.seen, top.runs, other.runs) == (15, 2, 1)


@pytest.mark.parametrize(
    "broken",
    [
        {"user.py": "def broken(:\n"},
        {"user.py": "import base, fresh\nbase.value = 99\nraise KeyError('boom')\n", "fresh.py": ""},
        {"user.py": "import base\ndel base.old\nextra = 1\nimport nowhere\n"},
    ],
)
def test_reload_that_fails_changes_nothing(channel, broken: dict[str, str]) -> None:
    channel.publish(OLD)
    mounted = channel.mount()
    import base
    import user

    before = {module: dict(module.__dict__) for module in (base, user)}
    channel.publish({**OLD, "base.py": "value = 2\n", **broken})
    with pytest.raises((SyntaxError, KeyError, ModuleNotFoundError)):
        mounted.refresh(reload=True)
    for module, namespace in before.items():
        assert module.__dict__ == namespace
    assert "fresh" not in sys.modules
    assert importlib.reload(base).value == 1
    channel.publish({**OLD, "base.py": "value = 3\n", "user.py": "from base import value\ntotal = value\n"})
    mounted.refresh(reload=True)
    assert user.total == 3


def test_reload_of_what_imports_in_a_circle(sqlite) -> None:
    sqlite.publish({"one.py": "import two\nx = 1\n", "two.py": "import one\ny = 1\n"})
    mounted = sqlite.mount()
    import one
    import two

    sqlite.publish({"one.py": "import two\nx = 2\n", "two.py": "import one\ny = 2\n"})
    mounted.refresh(reload=True)
    assert (one.x, two.y) == (2, 2)


def test_reload_in_order_whatever_circle_there_is(sqlite) -> None:
    circle = {"c1.py": "import c2\n", "c2.py": "import c1\n"}
    sqlite.publish({**circle, "main.py": "V = 1\n", "late.py": "V = 1\n"})
    mounted = sqlite.mount()
    for name in ("c1", "main", "late"):
        importlib.import_module(name)
    new = {name: f"{source}V = 2\n" for name, source in circle.items()}
    sqlite.publish({**new, "main.py": "from late import V\n", "late.py": "V = 2\n"})
    mounted.refresh(reload=True)
    assert [sys.modules[name].V for name in ("c1", "c2", "main", "late")] == [2, 2, 2, 2]


def test_reload_of_what_uses_a_package_by_its_module(sqlite) -> None:
    tree = {"pkg": {"__init__.py": "value = 1\n", "sub.py": ""}, "user.py": "import pkg.sub\ntotal = pkg.value\n"}
    sqlite.publish(tree)
    mounted = sqlite.mount()
    user = importlib.import_module("user")
    sqlite.publish({**tree, "pkg": {"__init__.py": "value = 2\n", "sub.py": ""}})
    mounted.refresh(reload=True)
    assert user.total == 2


def test_reload_that_fails_leaves_no_module_of_it(sqlite) -> None:
    """Not as an attribute of its package either; and what runs on still has its source lines."""
    good = "V = 1\ndef f():\n    raise ValueError('of the good one')\n"
    sqlite.publish({"pkg": {"__init__.py": "", "a.py": good}})
    mounted = sqlite.mount()
    a = importlib.import_module("pkg.a")
    bad = "from pkg import new\nraise RuntimeError\n"
    sqlite.publish({"pkg": {"__init__.py": "", "a.py": bad, "new.py": "WHO = 2\n"}})
    with pytest.raises(RuntimeError):
        mounted.refresh(reload=True)
    assert not hasattr(sys.modules["pkg"], "new")
    try:
        a.f()
    except ValueError:
        assert "raise ValueError('of the good one')" in traceback.format_exc()
    sqlite.publish({"pkg": {"__init__.py": "", "a.py": "from pkg import new\nV = new.WHO\n", "new.py": "WHO = 3\n"}})
    mounted.refresh(reload=True)
    assert a.V == 3


def test_reload_of_relative_imports_and_of_what_went(sqlite) -> None:
    sqlite.publish(
        {"p": {"__init__.py": "", "a.py": "from . import b\nv = b.v\n", "b.py": "v = 1\n", "gone.py": "v = 1\n"}}
    )
    mounted = sqlite.mount()
    import p.a
    import p.gone

    sqlite.publish({"p": {"__init__.py": "", "a.py": "from .b import v, w\n", "b.py": "v = 2\nw = 3\n"}})
    changes = mounted.refresh(reload=True)
    assert (changes.removed, p.a.v, p.a.w, p.gone.v) == (("p/gone.py",), 2, 3, 1)


def test_reload_of_an_archive_that_fails(tmp_path: Path) -> None:
    source = STORES["zip"]({"a.py": "value = 1\n"}, tmp_path / "old")
    mounted = archimport.mount(source)
    module = importlib.import_module("a")
    Path(STORES["zip"]({"a.py": "1/0\n"}, tmp_path / "new")).replace(source)
    with pytest.raises(ZeroDivisionError):
        mounted.refresh(reload=True)
    assert importlib.reload(module).value == 1


def test_reload_where_a_relative_import_does_not_work(tmp_path: Path) -> None:
    guarded = "try:\n    from . import helper\nexcept ImportError:\n    import helper\n"
    source = STORES["zip"]({"plugin.py": guarded, "helper.py": "value = 1\n"}, tmp_path / "old")
    mounted = archimport.mount(source)
    plugin = importlib.import_module("plugin")
    new = STORES["zip"]({"plugin.py": guarded, "helper.py": "value = 22\n"}, tmp_path / "new")
    Path(new).replace(source)
    mounted.refresh(reload=True)
    assert plugin.helper.value == 22


def test_watch(channel) -> None:
    channel.publish({"a.py": "value = 1\n"})
    mounted = channel.mount()
    import a

    moved = threading.Event()

    def follow() -> None:
        mounted.refresh(reload=True)
        moved.set()

    with mounted.watch(follow, interval=0.05):
        for value in (2, 3):
            moved.clear()
            channel.publish({"a.py": f"value = {value}\n"})
            assert moved.wait(20)
            assert a.value == value


@pytest.mark.parametrize("channel", ["postgresql"], indirect=True)
def test_watch_is_told_by_postgresql(channel) -> None:
    """Long before the next poll; and whatever was published before it listened is noticed when it does."""
    channel.publish({"a.py": "value = 1\n"})
    mounted = channel.mount()
    database = mounted.store._opened.database
    wait, moved, listening = database.wait, threading.Event(), threading.Event()
    waits: list[int] = []

    def noted(seconds, stopped, is_over) -> None:
        waits.append(1)
        if len(waits) == 1:
            channel.publish({"a.py": "value = 2\n"})

        def is_over_or_listens(query) -> bool:
            found = is_over(query)
            if len(waits) > 1:
                listening.set()
            return found

        wait(seconds, stopped, is_over_or_listens)

    database.wait = noted
    with mounted.watch(moved.set, interval=600):
        assert moved.wait(200)
        assert listening.wait(200)
        mounted.refresh()
        moved.clear()
        channel.publish({"a.py": "value = 3\n"})
        assert moved.wait(200)


@pytest.mark.parametrize("channel", ["postgresql"], indirect=True)
def test_watch_leaves_an_engine_as_it_was(channel) -> None:
    channel.publish({"a.py": ""})
    engine = sqlalchemy.create_engine(channel.source, pool_size=1, max_overflow=0)
    mounted = archimport.mount(engine, channel=channel.name)
    database, waited = mounted.store._opened.database, threading.Event()
    wait = database.wait

    def noted(*arguments: object) -> None:
        wait(*arguments)
        waited.set()

    database.wait = noted
    with mounted.watch(print, interval=0.1):
        assert waited.wait(20)
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT count(*) FROM pg_listening_channels()")) == 0
    engine.dispose()


def test_watch_tells_again_what_was_not_taken(sqlite) -> None:
    """An outage in the callback, a module that ends the program, and a release that comes twice."""
    releases = [sqlite.publish({"a.py": f"value = {value}\n"}).release for value in (1, 2)]
    history.rollback(sqlite.address, sqlite.name, releases[0])
    mounted = sqlite.mount()
    calls: list[int] = []
    failures = [archimport.StoreUnavailable("gone"), SystemExit(1)]
    told = threading.Event()

    def callback() -> None:
        calls.append(1)
        if failures:
            raise failures.pop()
        told.set()

    with mounted.watch(callback, interval=0.02):
        history.rollback(sqlite.address, sqlite.name, releases[1])
        assert told.wait(20)
        assert len(calls) == 3
        asked = threading.Event()
        newest = mounted.store.newest

        def noted() -> object:
            found = newest()
            if found is None:
                asked.set()
            return found

        mounted.store.newest = noted
        history.rollback(sqlite.address, sqlite.name, releases[0])
        assert asked.wait(20)
        told.clear()
        history.rollback(sqlite.address, sqlite.name, releases[1])
        assert told.wait(20)


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_watch_without_an_interval(sqlite, interval: float) -> None:
    sqlite.publish({"a.py": ""})
    with pytest.raises(archimport.ConfigError, match="interval"):
        sqlite.mount().watch(print, interval=interval)


def test_watch_survives_what_goes_wrong(sqlite, caplog: pytest.LogCaptureFixture) -> None:
    sqlite.publish({"a.py": "value = 1\n"})
    mounted = sqlite.mount()
    calls: list[int] = []
    twice = threading.Event()

    def fail() -> None:
        calls.append(1)
        if len(calls) == 2:
            twice.set()
        raise ValueError("mine")

    with caplog.at_level(logging.WARNING, "archimport"), mounted.watch(fail, interval=0.05):
        for value in (2, 3):
            sqlite.publish({"a.py": f"value = {value}\n"})
            for _ in range(200):
                if len(calls) >= value - 1:
                    break
                twice.wait(0.1)
        assert twice.wait(20)
    assert "callback" in caplog.text


def test_watch_stops_from_its_own_callback(sqlite) -> None:
    sqlite.publish({"a.py": ""})
    mounted = sqlite.mount()
    sqlite.publish({"a.py": "x = 1\n"})
    ready, done = threading.Event(), threading.Event()

    def stop() -> None:
        ready.wait(20)
        watch.stop()
        done.set()

    watch = mounted.watch(stop, interval=0.05)
    ready.set()
    assert done.wait(20)
    watch._thread.join(20)
    assert not watch._thread.is_alive()


MANY = {f"m{number:02}.py": f"import m{number + 1:02}\nvalue = 1\n" for number in range(60)} | {"m60.py": "value = 1\n"}


@pytest.mark.parametrize("channel", ["sqlite", *SERVERS], indirect=True)
@pytest.mark.parametrize("changed", [["m60.py"], list(MANY)], ids=["one", "all"])
@pytest.mark.parametrize("is_cached", [True, False], ids=["cached", "uncached"])
def test_reload_takes_few_round_trips(channel, changed: list[str], is_cached: bool, monkeypatch) -> None:
    """However many modules are loaded or have changed: the pointer, the manifest, and the contents in one batch."""
    if not is_cached:
        monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    channel.publish(MANY)
    mounted = channel.mount()
    importlib.import_module("m00")
    channel.publish(
        {path: source.replace("1\n", "2\n") if path in changed else source for path, source in MANY.items()}
    )
    database, connections = mounted.store._opened.database, []
    if channel.kind != "sqlite":
        sqlalchemy.event.listen(database._engine, "connect", lambda *_: connections.append(1))
    before = database.statements
    mounted.refresh(reload=True)
    assert database.statements - before <= 3
    assert len(connections) <= 2
    assert {sys.modules[f"m{number:02}"].value for number in range(61)} <= {1, 2}
    assert sys.modules["m60"].value == 2


def test_reload_of_what_has_no_source(sqlite, tmp_path: Path) -> None:
    """What imports a changed module is found by its bytecode."""

    def compiled(source: str) -> bytes:
        return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(compile(source, "m", "exec"))

    sqlite.publish({"base.py": "value = 1\n", "user.pyc": compiled("from base import value")})
    mounted = sqlite.mount()
    user = importlib.import_module("user")
    sqlite.publish({"base.py": "value = 2\n", "user.pyc": compiled("from base import value")})
    mounted.refresh(reload=True)
    assert user.value == 2
