"""Reload, invalidation, bytecode and writing."""

from __future__ import annotations

import importlib
import importlib.util
import marshal
import os
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest
from builders import STORES, publish_tree
from conftest import Place
from trees import Tree, flatten

import archimport
from archimport.runtime.bytecode import cached_member, hashed_pyc
from archimport.runtime.loader import StoreLoader


def rewrite(place: Place, tree: Tree) -> None:
    """Put another tree where the first one of a place is."""
    if "change" in place.cannot:
        pytest.skip("this kind of store never changes")
    if place.kind == "memory":
        place.mounted.store._files = flatten(tree)
    elif place.is_directory:
        STORES["zip"](tree, place.base / "unused")
        for name, content in flatten(tree).items():
            (place.base / "tree1" / name).write_bytes(content)
    elif place.mounted.store.kind == "sql":
        publish_tree(tree, place.source)
        place.mounted.refresh()
    else:
        STORES[place.kind](tree, place.base / "new")
        os.replace(place.base / "new.zip", place.base / "tree1.zip")


def test_reload(place: Place) -> None:
    place.add({"mod.py": "value = 1\n"})
    module = importlib.import_module("mod")
    module.extra = "kept"
    assert importlib.reload(module) is module
    assert (module.value, module.extra) == (1, "kept")


def test_reload_of_what_changed(place: Place) -> None:
    place.add({"mod.py": "value = 1\n"})
    module = importlib.import_module("mod")
    rewrite(place, {"mod.py": "value = 22\n\ndef f():\n    raise ValueError\n"})
    importlib.invalidate_caches()
    importlib.reload(module)
    assert module.value == 22


def test_new_modules_after_invalidate_caches(place: Place) -> None:
    place.add({"old.py": ""})
    importlib.import_module("old")
    rewrite(place, {"old.py": "", "new.py": "x = 1\n"})
    importlib.invalidate_caches()
    assert importlib.import_module("new").x == 1


def test_source_after_reload(place: Place) -> None:
    import inspect

    place.add({"mod.py": "def f():\n    return 1\n"})
    module = importlib.import_module("mod")
    assert "return 1" in inspect.getsource(module.f)
    rewrite(place, {"mod.py": "def f():\n    return 2222\n"})
    importlib.invalidate_caches()
    importlib.reload(module)
    if place.is_directory:
        import linecache

        linecache.checkcache()
    assert "return 2222" in inspect.getsource(module.f)


def write_over(place: Place, tree: Tree) -> None:
    """Put another tree into the files that a place has already: the same files, as `cp` leaves them."""
    if (
        "change" in place.cannot
        or place.kind == "memory"
        or (not place.is_directory and place.mounted.store.kind == "sql")
    ):
        pytest.skip("this kind of store is no file that is written over")
    if place.is_directory:
        rewrite(place, tree)
    else:
        STORES[place.kind](tree, place.base / "new")
        (place.base / "tree1.zip").write_bytes((place.base / "new.zip").read_bytes())


def test_import_after_the_container_was_written_over(place: Place) -> None:
    place.add({"one.py": "value = 1\n", "two.py": "value = 1\n", "three.py": "value = 1\n"})
    importlib.import_module("one")
    write_over(place, {"two.py": "value = 2222\n", "one.py": f"text = {'x' * 5000!r}\n", "three.py": "value = 3\n"})
    assert [importlib.import_module(name).value for name in ("two", "three")] == [2222, 3]


@pytest.mark.parametrize("change", [rewrite, write_over])
def test_lines_after_refresh(place: Place, change: Callable[[Place, Tree], None]) -> None:
    """Of a module that was loaded before: in a directory those of the file as it is now."""
    import linecache
    import traceback

    place.add({"mod.py": "def f():\n    raise ValueError\n"})
    module = importlib.import_module("mod")
    change(place, {"another.py": "x = 1\n" * 999, "mod.py": "def f():\n    raise ValueError  # newer\n"})
    if not place.is_directory:
        place.mounted.refresh()
    linecache.checkcache()
    with pytest.raises(ValueError) as caught:
        module.f()
    assert "raise ValueError" in "".join(traceback.format_exception(caught.value, chain=False)).split("in f")[-1]


def test_sourceless_module(place: Place) -> None:
    code = compile("x = 1\ndef f():\n    raise ValueError\n", "built/elsewhere.py", "exec")
    pyc = importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)
    entry = place.add({"bare.pyc": pyc, "pkg": {"__init__.pyc": pyc}})
    module = importlib.import_module("bare")
    assert (module.x, module.__file__) == (1, f"{entry}/bare.pyc")
    assert module.__loader__.get_source("bare") is None
    assert importlib.import_module("pkg").__path__ == [f"{entry}/pkg"]


@pytest.mark.parametrize("pyc", [b"", b"short", b"\0" * 40, importlib.util.MAGIC_NUMBER + b"\xff" * 40])
def test_sourceless_module_of_another_python(place: Place, pyc: bytes) -> None:
    place.add({"bare.pyc": pyc})
    with pytest.raises((ImportError, EOFError)):
        importlib.import_module("bare")


def pycs(source: bytes, value: int) -> dict[str, bytes]:
    """Give pycs of the mod whose value is `value`: `good` ones must be used, bad ones not."""
    body = marshal.dumps(compile(f"value = {value}", "m", "exec"))
    magic, hashed = importlib.util.MAGIC_NUMBER, importlib.util.source_hash(source)
    return {
        "good unchecked": magic + b"\1\0\0\0" + bytes(8) + body,
        "good checked": magic + b"\3\0\0\0" + hashed + body,
        "bad checked": magic + b"\3\0\0\0" + bytes(8) + body,
        "bad time": magic + b"\0\0\0\0" + b"\1\2\3\4\5\6\7\0" + body,
        "bad flags": magic + b"\7\0\0\0" + hashed + body,
        "bad magic": b"\0\0\r\n" + b"\1\0\0\0" + bytes(8) + body,
        "bad empty": b"",
        "bad header": magic,
        "bad body": magic + b"\1\0\0\0" + bytes(8) + body[:5],
        "bad type": magic + b"\1\0\0\0" + bytes(8) + marshal.dumps("no code"),
    }


@pytest.mark.parametrize("kind", pycs(b"", 0))
def test_bound_bytecode(store_place: Place, kind: str) -> None:
    source = b"value = 1\n"
    member = cached_member("mod.py")
    assert member is not None
    folder, _, name = member.rpartition("/")
    entry = store_place.add({"mod.py": source, folder: {name: pycs(source, 2)[kind]}})
    module = importlib.import_module("mod")
    assert module.value == (2 if kind.startswith("good") else 1)
    code = module.__loader__.get_code("mod")
    assert code.co_filename == f"{entry}/mod.py"


@pytest.mark.parametrize(("policy", "kind", "value"), [("always", "good unchecked", 1), ("never", "bad checked", 2)])
def test_policy_on_hash_based_bytecode(
    store_place: Place, monkeypatch: pytest.MonkeyPatch, policy: str, kind: str, value: int
) -> None:
    monkeypatch.setattr("_imp.check_hash_based_pycs", policy)
    source = b"value = 1\n"
    folder, _, name = (cached_member("mod.py") or "").rpartition("/")
    store_place.add({"mod.py": source, folder: {name: pycs(source, 2)[kind]}})
    assert importlib.import_module("mod").value == value


def test_transformers_never_get_code_of_others(store_place: Place) -> None:
    source = b"value = 1\n"
    folder, _, name = (cached_member("mod.py") or "").rpartition("/")
    store_place.add({"mod.py": source, folder: {name: pycs(source, 2)["good unchecked"]}})

    class Doubling(StoreLoader):
        def source_to_code(self, data: bytes, path: str, *rest: object, **options: object) -> object:
            return super().source_to_code(data.replace(b"1", b"10"), path, *rest)

    plain = importlib.util.find_spec("mod").loader
    loader = Doubling(plain.name, plain.path, plain.store, plain.entry)
    spec = importlib.util.spec_from_loader("mod", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    assert module.value == 10


def test_loaders_that_read_in_their_own_way(store_place: Place) -> None:
    source = b"value = 1\n"
    folder, _, name = (cached_member("mod.py") or "").rpartition("/")
    store_place.add({"mod.py": source, folder: {name: pycs(source, 2)["good unchecked"]}})

    class Reading(StoreLoader):
        def get_data(self, path: str) -> bytes:
            return super().get_data(path).replace(b"1", b"10")

    spec = importlib.util.find_spec("mod")
    assert spec is not None and spec.loader is not None
    spec.loader.__class__ = Reading
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.value == 10
    assert spec.loader.get_source("mod") == "value = 10\n"


@pytest.mark.parametrize("where", ["instance", "class"])
def test_patched_loaders_spoil_nothing_for_others(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they compile is kept under no digest of a source, where another store would find it."""
    first, second = (STORES["zip"]({"mod.py": "value = 1\n"}, tmp_path / name) for name in "ab")

    def patched(data: bytes, path: str, *rest: object) -> CodeType:
        return compile(b"value = 2", path, "exec")

    with archimport.mount(first):
        loader = importlib.util.find_spec("mod").loader
        with monkeypatch.context() as patch:
            if where == "instance":
                patch.setattr(loader, "source_to_code", patched, raising=False)
            else:
                patch.setattr(StoreLoader, "source_to_code", lambda self, *given: patched(*given))
            assert "2" in str(loader.get_code("mod").co_consts)
    with archimport.mount(second):
        assert importlib.import_module("mod").value == 1


def test_stock_get_code_works_over_the_three_methods(store_place: Place) -> None:
    """`get_data`, `path_stats` and `set_data` are enough for importlib's own `get_code`, cold and warm."""
    store_place.add({"mod.py": "value = 1\n"})
    loader = importlib.util.find_spec("mod").loader
    for _ in range(2):
        code = super(StoreLoader, loader).get_code("mod")
        assert code is not None and code.co_filename == loader.path


def test_writable_store_keeps_bytecode_and_gives_it_back(tmp_path: Path) -> None:
    for kind in ("zip", "memory"):
        name = f"kept_{kind}"
        source = STORES[kind]({f"{name}.py": "value = 1\n"}, tmp_path / kind)
        options = {"writable": True} if isinstance(source, str) else {}
        with archimport.mount(source, **options) as mounted:
            module = importlib.import_module(name)
            member = cached_member(f"{name}.py") or ""
            entry = mounted.store.lookup(member)
            assert entry is not None
            assert mounted.store.read(entry)[:4] == importlib.util.MAGIC_NUMBER
            loader: SourceFileLoader = module.__loader__
            loader.set_data(f"{mounted.path_entry}/notes.txt", b"hello")
            assert loader.get_data(f"{mounted.path_entry}/notes.txt") == b"hello"
            mounted.store.write(f"{name}.py", b"value = 2\n")
            importlib.reload(module)
            assert module.value == 2


def test_read_only_store_says_so(store_place: Place) -> None:
    entry = store_place.add({"mod.py": ""})
    if store_place.mounted.store.writable:
        pytest.skip("this kind is always writable")
    loader = importlib.import_module("mod").__loader__
    loader.set_data(f"{entry}/x.txt", b"")
    with pytest.raises(archimport.ConfigError, match="read-only"):
        store_place.mounted.store.write("x.txt", b"")


def test_compiled_code_is_cached_for_the_user(tmp_path: Path) -> None:
    cache = Path(os.environ["XDG_CACHE_HOME"], "archimport", "bytecode")
    for kind in ("zip", "bundle"):
        with archimport.mount(STORES[kind]({"cached_once.py": "value = 1\n"}, tmp_path / kind)) as mounted:
            module = importlib.import_module("cached_once")
            code = module.__loader__.get_code("cached_once")
            assert code.co_filename == f"{mounted.path_entry}/cached_once.py"
            del sys.modules["cached_once"]
    (blob,) = cache.iterdir()
    assert cache.stat().st_mode & 0o077 == 0

    def damage(change: Callable[[bytes], bytes]) -> None:
        blob.write_bytes(change(blob.read_bytes()))

    for change in (lambda data: data[:-1], lambda data: b"", lambda data: bytes([data[0] ^ 1]) + data[1:]):
        damage(change)
        with archimport.mount(str(tmp_path / "zip.zip")):
            assert importlib.import_module("cached_once").value == 1
            del sys.modules["cached_once"]


def test_cache_is_not_written_when_bytecode_is_not_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with archimport.mount(STORES["zip"]({"uncached.py": "value = 1\n"}, tmp_path / "x")):
        importlib.import_module("uncached")
    assert not Path(os.environ["XDG_CACHE_HOME"], "archimport").exists()


def test_shared_cache_folder_is_not_trusted(tmp_path: Path) -> None:
    folder = Path(os.environ["XDG_CACHE_HOME"], "archimport")
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with archimport.mount(STORES["zip"]({"untrusted.py": "value = 1\n"}, tmp_path / "x")):
        assert importlib.import_module("untrusted").value == 1
    assert list(folder.iterdir()) == []


def code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_objects(constant)


@pytest.mark.parametrize("kind", ["zip", "bundle", "sqlite"])
@pytest.mark.parametrize("bound", [True, False], ids=["bound", "in the user's cache"])
def test_code_names_the_place_that_a_store_was_moved_to(kind: str, bound: bool, tmp_path: Path) -> None:
    source = b"class A:\n    def f(self):\n        return [x for x in (lambda: 1)()]\n"
    member = cached_member("moved.py") or ""
    folder, _, name = member.rpartition("/")
    pyc = hashed_pyc(compile(source, "/built/here/moved.py", "exec"), source, checked=False)
    store = STORES[kind]({"moved.py": source, **({folder: {name: pyc}} if bound else {})}, tmp_path / "first")
    assert isinstance(store, str)
    (tmp_path / "away").mkdir()
    for place in (store, f"{tmp_path}/away/{Path(store).name}"):
        if place != store:
            os.replace(store, place)
        with archimport.mount(place):
            code = importlib.util.find_spec("moved").loader.get_code("moved")
        names = [nested.co_filename for nested in code_objects(code)]
        assert len(names) >= 4 and set(names) == {f"{place}/moved.py"}


def test_threads_import_concurrently(place: Place) -> None:
    names = [f"mod{number}" for number in range(40)]
    place.add({f"{name}.py": f"import mod{(number + 1) % 40}\nvalue = {number}\n" for number, name in enumerate(names)})
    # At the first new file after a change of `sys.path` coverage takes out what other threads import meanwhile.
    place.add({"traced_first.py": ""})
    importlib.import_module("traced_first")
    errors: list[BaseException] = []

    def work(offset: int) -> None:
        try:
            for name in names[offset:] + names[:offset]:
                importlib.import_module(name)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it is shown
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(0, 40, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert [sys.modules[name].value for name in names] == list(range(40))


def extensions() -> list[str]:
    """Give the names that stevedore finds."""
    return importlib.import_module("stevedore").ExtensionManager("demo.group").entry_points_names()


def with_entry_point(name: str) -> Tree:
    info = {"METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1\n"}
    return {"demo-1.dist-info": {**info, "entry_points.txt": f"[demo.group]\n{name} = demo_mod\n"}, "demo_mod.py": ""}


@pytest.mark.parametrize("is_loaded_first", [True, False])
@pytest.mark.parametrize("is_new_process", [True, False])
def test_stevedore_sees_new_entry_points(
    store_place: Place, monkeypatch: pytest.MonkeyPatch, is_loaded_first: bool, is_new_process: bool
) -> None:
    pytest.importorskip("stevedore")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python")  # below /tmp nothing is kept on disk

    def forget_stevedore() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "stevedore"]:
            del sys.modules[name]

    if not is_loaded_first:
        forget_stevedore()
    store_place.add(with_entry_point("one"))
    assert extensions() == ["one"]
    rewrite(store_place, with_entry_point("two"))
    importlib.invalidate_caches()
    if is_new_process:
        forget_stevedore()
    assert extensions() == ["two"]
    archimport.uninstall()
    assert sys.modules["stevedore._cache"]._hash_settings_for_path.__module__ == "stevedore._cache"
