"""Reloading what has changed since it was loaded, whoever has made the store look again meanwhile."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from builders import STORES, publish_tree
from conftest import Place
from trees import Tree, flatten

OLD: Tree = {
    "base.py": "value = 1\n",
    "user.py": "from base import value\n",
    "other.py": "runs = globals().get('runs', 0) + 1\n",
}
NEW: Tree = {**OLD, "base.py": "value = 2\n"}  # of the same size


@pytest.fixture(params=[kind for kind in STORES if kind != "bundle"])
def changing(request: pytest.FixtureRequest, tmp_path) -> Place:
    """Give each kind of store that can change, with modules of the old tree loaded."""
    place = Place(request.param, tmp_path)
    place.add(OLD)
    for name in ("user", "other"):
        importlib.import_module(name)
    return place


def put(place: Place, tree: Tree) -> None:
    """Put another tree where the one of a place is; nobody is told."""
    if place.kind == "memory":
        place.mounted.store._files = flatten(tree)
    elif place.mounted.store.kind == "sql":
        publish_tree(tree, place.source)
    else:
        os.replace(STORES[place.kind](tree, place.base / "new"), place.source)


def by_nobody(place: Place) -> None:
    pass


def by_invalidate_caches(place: Place) -> None:
    importlib.invalidate_caches()
    importlib.util.find_spec("nowhere")


def by_refresh(place: Place) -> None:
    place.mounted.refresh()


def by_another_mount(place: Place) -> None:
    with type(place.mounted)(place.mounted.path_entry, place.mounted.store) as other:
        other.refresh()
        other._counts.clear()


LOOKS = [by_nobody, by_invalidate_caches, by_refresh, by_another_mount]


@pytest.mark.parametrize("look", LOOKS)
def test_modules_of_an_older_content_are_reloaded(changing: Place, look: Callable[[Place], None]) -> None:
    put(changing, NEW)
    look(changing)
    if changing.kind == "memory":
        importlib.invalidate_caches()
    changes = changing.mounted.refresh(reload=True)
    modules = sys.modules
    assert (modules["base"].value, modules["user"].value, modules["other"].runs) == (2, 2, 1)
    assert changes.changed == ("base.py",)
    assert not changing.mounted.refresh(reload=True)


@pytest.mark.parametrize("look", [by_nobody, by_invalidate_caches])
def test_changes_since_the_last_refresh(changing: Place, look: Callable[[Place], None]) -> None:
    if changing.kind == "memory":
        pytest.skip("this store does not say what changed")
    put(changing, {"base.py": "value = 2\n", "other.py": OLD["other.py"], "new.py": ""})
    look(changing)
    changes = changing.mounted.refresh()
    assert (changes.added, changes.changed, changes.removed) == (("new.py",), ("base.py",), ("user.py",))
    assert not changing.mounted.refresh()


def test_module_that_became_a_package(changing: Place) -> None:
    package = {"__init__.py": "from other.part import runs\n", "part.py": "runs = 7\n"}
    put(changing, {"base.py": OLD["base.py"], "user.py": OLD["user.py"], "other": package})
    changing.mounted.refresh()
    if changing.kind == "memory":
        importlib.invalidate_caches()
    changing.mounted.refresh(reload=True)
    assert sys.modules["other"].runs == 7
    assert sys.modules["other"].__path__ == [f"{changing.mounted.path_entry}/other"]


def test_package_that_comes_before_a_module(changing: Place) -> None:
    put(changing, {**OLD, "other": {"__init__.py": "runs = 7\n"}})
    changing.mounted.refresh()
    if changing.kind == "memory":
        importlib.invalidate_caches()
    changes = changing.mounted.refresh(reload=True)
    assert sys.modules["other"].runs == 7
    assert not set(changes.added) & set(changes.changed)


@pytest.mark.parametrize("look", LOOKS)
def test_watch_calls_back_whoever_has_looked(changing: Place, look: Callable[[Place], None]) -> None:
    if changing.kind == "memory":
        pytest.skip("this store does not say that there is something newer")
    called = threading.Event()

    def follow() -> None:
        changing.mounted.refresh(reload=True)
        called.set()

    put(changing, NEW)
    look(changing)
    with changing.mounted.watch(follow, interval=0.05):
        if look is not by_refresh:  # for this mount, that was the last refresh
            assert called.wait(60)
            assert sys.modules["user"].value == 2
        called.clear()
        put(changing, OLD)
        look(changing)
        assert called.wait(60)
        assert sys.modules["user"].value == 1


def test_watch_calls_back_once(changing: Place) -> None:
    if changing.kind == "memory":
        pytest.skip("this store does not say that there is something newer")
    calls: list[int] = []
    waited, wait = threading.Event(), changing.mounted.store.wait

    def noted(seconds: float, stopped: threading.Event) -> None:
        wait(seconds, stopped)
        if calls:
            waited.set()

    changing.mounted.store.wait = noted
    put(changing, NEW)
    with changing.mounted.watch(lambda: calls.append(1), interval=0.05):
        assert waited.wait(60)
    assert calls == [1]


def test_change_during_a_callback(changing: Place) -> None:
    """It is told by another callback, though somebody has made the store look again meanwhile."""
    if changing.kind == "memory":
        pytest.skip("this store does not say that there is something newer")
    newest = {**OLD, "base.py": "value = 3\n"}
    seen: list[int] = []
    called = threading.Event()

    def follow() -> None:
        changing.mounted.refresh(reload=True)
        seen.append(sys.modules["user"].value)
        if seen == [2]:
            put(changing, newest)
            by_invalidate_caches(changing)
        if seen[-1] == 3:
            called.set()

    put(changing, NEW)
    with changing.mounted.watch(follow, interval=0.05):
        assert called.wait(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_watches_that_begin_and_end_beside_a_fork(tmp_path) -> None:
    """A fork waits for all of them no longer than for one, and lets go of just those that it has paused."""
    place = Place("zip", tmp_path)
    place.add(OLD)
    in_callback, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        in_callback.set()
        may_end.wait(60)

    put(place, NEW)
    first = place.mounted.watch(slow, interval=0.05)
    second = place.mounted.watch(print, interval=0.05)
    assert in_callback.wait(60)
    third = []

    def beside() -> None:
        second.stop()
        third.append(place.mounted.watch(print, interval=0.05))
        may_end.set()

    thread = threading.Timer(0.2, beside)
    thread.start()
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    thread.join(60)
    for watch in (first, second, *third):
        stopper = threading.Thread(target=watch.stop, daemon=True)
        stopper.start()
        stopper.join(60)
        assert not stopper.is_alive()


#: Forks as servers do which load the app first; the children say when they have the new content.
FORK = """
import os, sys, time, archimport
source, what = sys.argv[1:]
mounted = archimport.mount(source)
import base, slow
def follow():
    mounted.refresh(reload=True)
watch = mounted.watch(follow, interval=0.05)
if what == "stopped":
    watch.stop()
elif what == "in-a-reload":
    print("ready", flush=True)
    while not slow.is_half:
        time.sleep(0.01)
children = []
for _ in range(3):
    pid = os.fork()
    if not pid:
        until = time.monotonic() + (1 if what == "stopped" else 60)
        while (base.value == 1 or slow.is_half) and time.monotonic() < until:
            time.sleep(0.01)
        os._exit(base.value + 10 * slow.is_half)
    children.append(pid)
if what != "in-a-reload":
    print("ready", flush=True)
print(sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""
#: In the middle of its second execution for a while.
SLOW = "import time\nis_half = 'is_half' in globals()\nif is_half:\n    time.sleep(1)\nis_half = False\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("what", ["waiting", "in-a-reload", "stopped"])
@pytest.mark.parametrize("kind", [kind for kind in STORES if kind not in ("bundle", "memory")])
def test_watch_goes_on_in_forked_children(kind: str, what: str, tmp_path) -> None:
    """Whole, too: no child has half of a reload. A watch that was stopped stays so."""
    place = Place(kind, tmp_path)
    old = {"base.py": "value = 1\n", "slow.py": SLOW}
    place.add(old)
    command = [sys.executable, "-W", "ignore", "-c", FORK, place.source, what]
    untraced = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    with subprocess.Popen(command, env=untraced, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        put(place, {"base.py": "value = 2\n", "slow.py": f"{SLOW}# another\n"})
        assert process.communicate(timeout=300)[0] == f"{[1 if what == 'stopped' else 2] * 3}\n"
