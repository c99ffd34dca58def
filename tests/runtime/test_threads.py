"""What happens when two threads do things at once; each order is forced, none is left to luck."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from builders import MemoryStore, build_zip
from trees import write_tree

import archimport
from archimport.runtime import hook, mount, opening
from archimport.runtime.early import TooEarlyError, refuse_while_importing
from archimport.zip.store import ZipStore

ROOT = str(Path(archimport.__file__).parents[1])
LIMIT = 200


def in_threads(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own, and raise what one of them raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - raised below
            errors.append(exc)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "threads wait for each other"
    if errors:
        raise errors[0]


def test_entry_is_opened_while_another_thread_imports_what_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook is called under the import lock, which that other thread needs to go on."""
    body = "import sys\nsys.modules['meeting'].arrive()\nimport only_then_needed\nvalue = 1\n"
    sys.path.insert(0, str(write_tree({"opens_it.py": body, "only_then_needed.py": ""}, tmp_path / "drivers")))
    importing, opening = threading.Event(), threading.Event()
    meeting = ModuleType("meeting")
    meeting.arrive = lambda: (importing.set(), opening.wait(LIMIT))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "meeting", meeting)

    def opener(entry: str) -> archimport.Store:
        opening.set()
        return MemoryStore({"found.py": b"x = %d" % importlib.import_module("opens_it").value}, "/memory/meeting")

    archimport.register_scheme("meeting", opener)
    archimport.install()

    def use() -> None:
        importing.wait(LIMIT)
        sys.path.append("meeting:x")
        assert importlib.import_module("found").x == 1

    in_threads(lambda: importlib.import_module("opens_it"), use)


@pytest.mark.parametrize(("running", "is_early"), [("driver", True), ("driver.part", True), ("drivers", False)])
def test_thread_that_is_importing_what_opens_an_entry(running: str, is_early: bool) -> None:
    """It holds the lock of that module, which another thread that opens the entry waits for."""
    body = compile("refuse_while_importing('sqlalchemy', 'driver')", "driver.py", "exec")
    namespace = {"__name__": running, "refuse_while_importing": refuse_while_importing}
    if is_early:
        with pytest.raises(TooEarlyError, match=running):
            exec(body, namespace)
    else:
        exec(body, namespace)


def test_entry_whose_opening_imports_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver may wait for threads of its own that import; they meet the entry that is being opened."""
    monkeypatch.setattr(opening, "_PATIENCE", 0.2)

    def opener(entry: str) -> archimport.Store:
        sys.modules.pop("colorsys", None)
        in_threads(lambda: importlib.import_module("colorsys"))
        with pytest.raises(ModuleNotFoundError):
            in_threads(lambda: importlib.import_module("absent_from_everywhere"))
        return MemoryStore({"found.py": b"x = 1"}, "/memory/busy")

    archimport.register_scheme("busy", opener)
    archimport.install()
    sys.path.insert(0, "busy:x")
    in_threads(lambda: importlib.import_module("found"))
    assert sys.modules["found"].x == 1


def test_entry_that_was_postponed_is_there_for_other_threads(tmp_path: Path) -> None:
    entry = f"zip://{build_zip({'inside.py': 'x = 1'}, tmp_path / 'a')}"
    asked, answered = threading.Event(), threading.Event()

    def opener(entry: str) -> archimport.Store:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("absent_from_everywhere")  # asks for every entry of the path
        asked.set()
        answered.wait(LIMIT)
        raise archimport.StoreUnavailable("down")

    def use() -> None:
        asked.wait(LIMIT)
        try:
            assert importlib.import_module("inside").x == 1
        finally:
            answered.set()

    def open_it() -> None:
        with pytest.raises(archimport.StoreUnavailable):
            archimport.mount("slow:x")

    archimport.register_scheme("slow", opener)
    archimport.install()
    sys.path.insert(0, entry)
    in_threads(open_it, use)


def test_entry_that_is_nobodys_is_not_asked_for_again(tmp_path: Path) -> None:
    archimport.install()
    nobodys = str(tmp_path / "absent.zip")
    sys.path.append(nobodys)
    with opening.Alone(), pytest.raises(ModuleNotFoundError):
        importlib.import_module("absent_from_everywhere")
    assert isinstance(sys.path_importer_cache[nobodys], hook.Postponed)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("absent_from_everywhere")
    assert sys.path_importer_cache[nobodys] is None


@pytest.mark.parametrize("body", ["import colorsys", "import archimport; archimport.mount(sys.argv[2])"])
def test_auditors_may_import_and_open(tmp_path: Path, body: str) -> None:
    code = f"""
import sys, archimport
def audit(event, arguments):
    if event == "archimport.open" and arguments[0] == sys.argv[1]:
        {body}
        if "refused" not in globals():
            globals()["refused"] = True
            raise PermissionError("not yet")
sys.addaudithook(audit)
for attempt in range(2):
    try:
        archimport.mount(sys.argv[1])
        import one
        print("opened")
    except PermissionError as exc:
        print(exc)
"""
    stores = [build_zip({f"{name}.py": ""}, tmp_path / name) for name in ("one", "two")]
    command = [sys.executable, "-c", f"import sys; sys.path.append({ROOT!r}){code}", *stores]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "not yet\nopened\n"


@pytest.mark.parametrize("name", ["linecache", "importlib.abc"])
def test_module_that_another_thread_has_begun_to_import(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archimport.mount(build_zip({"one.py": "x = 1"}, tmp_path / "a"))
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert importlib.import_module("one").x == 1


def test_archive_is_looked_at_by_each_thread_until_one_has_done_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ZipStore(build_zip({"old.py": ""}, tmp_path / "a"))
    build_zip({"new.py": ""}, tmp_path / "a")
    looking, found = threading.Event(), threading.Event()
    original = ZipStore._look_again

    def slow(self: ZipStore) -> None:
        if not looking.is_set():
            looking.set()
            found.wait(LIMIT)
        original(self)

    def use() -> None:
        looking.wait(LIMIT)
        assert store.lookup("new.py") is not None
        found.set()

    monkeypatch.setattr(ZipStore, "_look_again", slow)
    store.invalidate()
    in_threads(lambda: store.lookup("old.py"), use)


def test_store_that_is_unmounted_while_it_is_mounted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = build_zip({"one.py": "x = 1"}, tmp_path / "a")
    first = archimport.mount(file)
    original = mount.forget_finders
    monkeypatch.setattr(mount, "forget_finders", lambda location: (original(location), first.unmount()))
    with archimport.mount(file):
        assert type(importlib.import_module("one").__loader__).__name__ == "StoreLoader"


def test_mount_is_unmounted_once(tmp_path: Path) -> None:
    file = build_zip({"one.py": "x = 1"}, tmp_path / "a")
    first, second = archimport.mount(file), archimport.mount(file)
    in_threads(*[first.unmount] * 8)
    assert str(second.path_entry) in sys.path
    second.unmount()
    assert str(second.path_entry) not in sys.path


def test_install_in_many_threads() -> None:
    in_threads(*[archimport.install] * 8)
    assert sys.path_hooks.count(hook.path_hook) == sys.meta_path.count(hook.metadata_finder) == 1
    in_threads(*[archimport.uninstall] * 8)
    assert hook.path_hook not in sys.path_hooks
