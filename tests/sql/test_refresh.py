"""Moving to a newer release: refresh, reload, watch."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from pathlib import Path

import pytest
from builders import STORES

import archimport


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
    """Long before the next poll."""
    channel.publish({"a.py": "value = 1\n"})
    mounted = channel.mount()
    listening = threading.Event()
    wait, moved = mounted.store._database.wait, threading.Event()

    def noted(seconds: float, stopped: threading.Event) -> None:
        listening.set()
        wait(seconds, stopped)

    mounted.store._database.wait = noted
    with mounted.watch(moved.set, interval=600):
        assert listening.wait(20)
        number = 2
        while not moved.wait(1):  # the first may come before the server knows that somebody listens
            channel.publish({"a.py": f"value = {number}\n"})
            number += 1
            assert number < 20


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
