"""The path hook, mounting, schemes and the registry."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import runpy
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from builders import STORES, MemoryStore, build_bundle, build_sqlite, build_zip, build_zip_with_folders
from conftest import Place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import write_tree

import archimport
from archimport.bundle.store import BundleStore
from archimport.runtime.hook import path_hook, registry
from archimport.runtime.store import Changes

TREE = {"mod.py": "value = 1\n", "src": {"inner.py": "value = 2\n"}}


def test_install_is_idempotent_and_first() -> None:
    archimport.install()
    archimport.install()
    assert sys.path_hooks.count(path_hook) == 1
    assert sys.path_hooks[0] is path_hook
    archimport.uninstall()
    archimport.uninstall()
    assert path_hook not in sys.path_hooks


@pytest.mark.parametrize("form", ["zip://{}.zip", "{}.arc", "sqlite:///{}.db", "{}.db", "{}"])
@pytest.mark.parametrize("is_mounted", [True, False], ids=["mounted", "on the path"])
def test_hooks_may_be_wrapped(form: str, is_mounted: bool, tmp_path: Path) -> None:
    """As tools do that watch imports; more than once, and before or after a store is opened."""

    def wrap() -> None:
        sys.path_hooks[:] = [lambda entry, hook=hook: hook(entry) for hook in sys.path_hooks]
        sys.path_importer_cache.clear()

    base = tmp_path / "store"
    for build in (build_zip, build_bundle, build_sqlite):
        build(TREE, base)
    write_tree(TREE, base)
    archimport.install()
    wrap()
    if is_mounted and form != "{}":
        archimport.mount(form.format(base))
        wrap()
    else:
        sys.path.insert(0, form.format(base))
    module = importlib.import_module("mod")
    wrap()
    importlib.invalidate_caches()
    assert importlib.reload(module).value == 1
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("absent")


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("zip", "zip://{}"),
        ("zip", "zip:{}"),
        ("zip", "zip://{}/"),
        ("bundle", "bundle://{}"),
        ("bundle", "{}"),
        ("bundle", "{}/"),
    ],
)
def test_strings_on_sys_path_just_work(kind: str, form: str, tmp_path: Path) -> None:
    file = STORES[kind](TREE, tmp_path / "store")
    archimport.install()
    sys.path.insert(0, form.format(file))
    module = importlib.import_module("mod")
    assert module.__file__ == f"{file}/mod.py"
    assert sys.path_importer_cache[file].get_data(module.__file__) == b"value = 1\n"
    for _ in range(2):
        importlib.invalidate_caches()
        assert importlib.reload(module).value == 1
    separator = "" if form.endswith("/") else "/"
    sys.path[0] = form.format(file) + f"{separator}src"
    assert importlib.import_module("inner").__file__ == f"{file}/src/inner.py"


def test_plain_zip_stays_with_zipimport_unless_mounted(tmp_path: Path) -> None:
    file = build_zip(TREE, tmp_path / "store")
    archimport.install()
    sys.path.insert(0, file)
    assert type(importlib.import_module("mod").__loader__).__name__ == "zipimporter"
    del sys.modules["mod"]
    with archimport.mount(file):
        assert type(importlib.import_module("mod").__loader__).__name__ == "StoreLoader"


def test_install_takes_over_bundles_that_zipimport_has_claimed(tmp_path: Path) -> None:
    file = build_bundle(TREE, tmp_path / "store")
    sys.path.insert(0, file)
    assert importlib.util.find_spec("mod") is None
    archimport.install()
    assert importlib.import_module("mod").value == 1


def test_mount_takes_over_what_zipimport_has_claimed(tmp_path: Path) -> None:
    file = build_bundle(TREE, tmp_path / "store")
    assert type(pkgutil.get_importer(file)).__name__ == "zipimporter"
    with archimport.mount(file):
        assert importlib.import_module("mod").value == 1


def test_mount_and_unmount(tmp_path: Path) -> None:
    file = build_bundle(TREE, tmp_path / "store")
    before = list(sys.path)
    with archimport.mount(file) as mounted:
        assert sys.path == [mounted.path_entry, *before]
        assert mounted.path_entry == mounted.store.location == file
        module = importlib.import_module("mod")
        assert not mounted.refresh()
    assert sys.path == before
    mounted.unmount()
    assert importlib.util.find_spec("inner") is None
    assert module.__loader__.get_source("mod") == "value = 1\n"
    assert file not in sys.path_importer_cache


def test_mount_twice_unmounts_with_the_last(tmp_path: Path) -> None:
    file = build_zip(TREE, tmp_path / "store")
    one, two = archimport.mount(file), archimport.mount(file)
    assert sys.path.count(file) == 1
    assert one.store is two.store
    one.unmount()
    assert importlib.import_module("mod").value == 1
    two.unmount()
    assert file not in sys.path


def test_mount_at_a_position(tmp_path: Path) -> None:
    file = build_zip(TREE, tmp_path / "store")
    with archimport.mount(Path(file), position=1):
        assert sys.path[1] == file
    with archimport.mount(file, position=len(sys.path)):
        assert sys.path[-1] == file


def test_mount_a_folder_inside(tmp_path: Path) -> None:
    file = build_zip(TREE, tmp_path / "store")
    with archimport.mount(f"{file}/src") as mounted:
        assert mounted.path_entry == f"{file}/src"
        assert importlib.import_module("inner").value == 2
        assert importlib.util.find_spec("mod") is None
    with pytest.raises(archimport.ConfigError, match="no such folder"):
        archimport.mount(f"zip://{file}/absent")


def test_relative_paths_are_resolved_when_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_zip(TREE, tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    with archimport.mount("store.zip") as mounted:
        monkeypatch.chdir("/")
        assert importlib.import_module("mod").__file__ == f"{mounted.store.location}/mod.py"


def test_every_spelling_of_a_path_leads_to_one_store(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    file = build_bundle(TREE, real / "store")
    link = tmp_path / "link"
    link.symlink_to(real)
    archimport.install()
    sys.path.insert(0, f"{link}/store.arc")
    module = importlib.import_module("mod")
    assert module.__file__ == f"{file}/mod.py"
    assert module.__loader__.get_data(f"{link}/store.arc/mod.py") == b"value = 1\n"
    with archimport.mount(f"{tmp_path}/link/../real/store.arc") as mounted:
        assert mounted.store is module.__loader__.store


def test_registered_scheme(tmp_path: Path) -> None:
    asked: list[str] = []

    def opener(entry: str, **options: object) -> archimport.Store:
        asked.append(entry)
        return MemoryStore({"remote.py": b"value = 3\n"}, "/virtual/remote")

    archimport.register_scheme("mem+test", opener)
    archimport.install()
    sys.path.insert(0, "mem+test://one")
    module = importlib.import_module("remote")
    assert module.__file__ == "/virtual/remote/remote.py"
    importlib.invalidate_caches()
    importlib.reload(module)
    assert asked == ["mem+test://one"]
    with archimport.mount("mem+test://one") as mounted:
        assert mounted.store is module.__loader__.store


def test_scheme_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "plugin-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[archimport.stores]\nviaplugin = plugin_stores:open_it\n")
    (tmp_path / "plugin_stores.py").write_text(
        "from builders import MemoryStore\n"
        "def open_it(entry):\n    return MemoryStore({'plugged.py': b'value = 4'}, '/virtual/plugged')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with archimport.mount("viaplugin:anything"):
        assert importlib.import_module("plugged").value == 4


def test_opener_by_others_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ImportError in the hook would mean that the entry is nobody's."""
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[archimport.stores]\nbroken = no_such_module:open_it\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    archimport.install()
    sys.path.append("broken:somewhere")
    try:
        with pytest.raises(archimport.ConfigError, match="no_such_module"):
            importlib.import_module("nothing_like_this")
    finally:
        sys.path.remove("broken:somewhere")


@pytest.mark.parametrize("scheme", ["", "x", "ABC", "zip", "bundle", "1ab", "a b"])
def test_schemes_that_cannot_be_registered(scheme: str) -> None:
    with pytest.raises(archimport.ConfigError, match="scheme"):
        archimport.register_scheme(scheme, lambda entry: MemoryStore({}, "/virtual/x"))


def test_bad_url_of_a_folder_leaves_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "plain_module.py").write_text("value = 6\n")
    archimport.install()
    sys.path.insert(0, f"zip://{tmp_path}")
    with pytest.raises(archimport.ArchimportError):
        importlib.import_module("nothing_like_this")
    sys.path[0] = str(tmp_path)
    assert importlib.import_module("plain_module").value == 6


def test_two_stores_with_one_location() -> None:
    archimport.mount(MemoryStore({}, "/virtual/same"))
    with pytest.raises(archimport.ConfigError, match="one location"):
        archimport.mount(MemoryStore({}, "/virtual/same"))


def test_options_that_a_store_does_not_take(tmp_path: Path) -> None:
    file = build_zip(TREE, tmp_path / "store")
    with pytest.raises(archimport.ConfigError, match="takes no option 'channel'"):
        archimport.mount(file, channel="main")
    with archimport.mount(file), pytest.raises(archimport.ConfigError, match="open in another way"):
        archimport.mount(file, writable=True)
    with pytest.raises(archimport.ConfigError, match="takes no options"):
        archimport.mount(MemoryStore({}, "/virtual/options"), writable=True)


@pytest.mark.parametrize("entry", ["", "/", "/nowhere", "nowhere", "unknown:///x", "c:/x", "http://x/y", "a\0b", "zip"])
def test_hook_leaves_alone_what_is_not_its(entry: str) -> None:
    with pytest.raises(ImportError):
        path_hook(entry)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.text() | st.text().map(lambda text: f"/{text}"))
def test_hook_raises_import_error_or_a_typed_one(entry: str) -> None:
    try:
        path_hook(entry)
    except (ImportError, archimport.ArchimportError):
        return
    pytest.fail("the hook took something that is not there")


def test_hook_refuses_files_of_other_kinds(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("value = 1\n")
    database = tmp_path / "other.db"
    sqlite3.connect(database).close()
    database.write_bytes(b"SQLite format 3\0" + bytes(200))
    archimport.install()
    assert runpy.run_path(str(script))["value"] == 1
    for file in (script, database, tmp_path, build_zip(TREE, tmp_path / "plain")):
        with pytest.raises(ImportError):
            path_hook(str(file))


def test_failure_is_remembered_until_caches_are_invalidated(tmp_path: Path) -> None:
    file = Path(build_bundle(TREE, tmp_path / "store"))
    good = file.read_bytes()
    file.write_bytes(good[:-1])
    archimport.install()
    sys.path.insert(0, str(file))
    errors = []
    for _ in range(2):
        with pytest.raises(archimport.FormatError) as caught:
            importlib.import_module("mod")
        errors.append(caught.value)
    assert errors[0] is errors[1]
    file.write_bytes(good)
    with pytest.raises(archimport.FormatError):
        importlib.import_module("mod")
    importlib.invalidate_caches()
    assert importlib.import_module("mod").value == 1


def test_unknown_schemes() -> None:
    with pytest.raises(archimport.ConfigError, match="unknown scheme 'nonsense'"):
        archimport.mount("nonsense:///x")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://bob:hunter2@host/db",
        "mysql+pymysql://bob:hunter2@host:3306/db?channel=x",
        "nonsense://:hunter2@host",
        "postgresql://host/db?user=bob&password=hunter2",
        "postgresql://bob:hunt@er2@host/db",
        "postgresql://bob:hunt?er2@host/db",
        "postgresql://bob:hunt/er2@host/db",
        "postgresql:bob:hunter2@host",
        "postgresql://host/db?pass=hunter2",
        "postgresql://host/db?api_key=hunter2",
        "postgresql://host/db?pass%77ord=hunter2",
        "postgresql://host/db;password=hunter2",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2",
    ],
)
def test_passwords_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(archimport.ConfigError, match="password") as caught:
        archimport.mount(url)
    assert "hunter2" not in repr(caught.value) + str(caught.value)
    assert "er2" not in str(caught.value)
    assert "sql:NAME" in str(caught.value)


def test_passwords_on_the_path_are_not_repeated() -> None:
    """Not by the traceback either: importlib is handling a KeyError that quotes the entry."""
    archimport.install()
    sys.path.append("postgresql+psycopg://bob:hunter2@host/db")
    with pytest.raises(archimport.ConfigError, match="password") as caught:
        importlib.import_module("absent_module")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_password_in_the_url_of_a_file_is_not_repeated() -> None:
    with pytest.raises(archimport.ConfigError) as caught:
        archimport.mount("zip://bob:hunter2@host/x.zip")
    assert "hunter2" not in str(caught.value)


def test_urls_that_only_look_like_it_are_not_refused() -> None:
    for url in ("nonsense://host:5432/db?mail=a@b", "nonsense:////abs/x:y@z.db", "nonsense://host/db?passfile=/x"):
        with pytest.raises(archimport.ConfigError, match="unknown scheme"):
            archimport.mount(url)


def test_remembered_failure_does_not_grow(tmp_path: Path) -> None:
    file = Path(build_bundle(TREE, tmp_path / "store"))
    file.write_bytes(file.read_bytes()[:-1])
    archimport.install()
    sys.path.insert(0, str(file))
    depths = []
    for _ in range(20):
        with pytest.raises(archimport.FormatError) as caught:
            importlib.import_module("mod")
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert max(depths[1:]) == min(depths[1:])


def test_metadata_of_a_damaged_store_is_no_missing_package(tmp_path: Path) -> None:
    many = {f"module_of_a_long_name_{number}.py": "" for number in range(300)}  # more than a page has
    file = Path(build_bundle(TREE | many, tmp_path / "store"))
    data = bytearray(file.read_bytes())
    data[BundleStore(str(file)).tables.page(0).offset] ^= 1
    file.write_bytes(data)
    with archimport.mount(file), pytest.raises(archimport.IntegrityError):
        importlib.metadata.version("anything")


@pytest.mark.parametrize("url", ["zip://relative.zip", "bundle:x.arc", "zip:"])
def test_file_urls_are_absolute(url: str) -> None:
    with pytest.raises(archimport.ConfigError, match="absolute"):
        archimport.mount(url)


def test_mounting_what_is_not_there(tmp_path: Path) -> None:
    for source in (tmp_path / "absent.arc", f"bundle://{tmp_path}/absent.arc", f"zip://{tmp_path}/absent.zip"):
        with pytest.raises(archimport.StoreUnavailable, match="No such file|no such file") as caught:
            archimport.mount(source)
        assert isinstance(caught.value, OSError)
        assert caught.value.errno == 2
    with pytest.raises(archimport.ConfigError, match="folder"):
        archimport.mount(tmp_path)


@pytest.mark.parametrize("source", [None, 5, b"/x.zip", object()])
def test_mounting_objects_of_the_wrong_kind(source: object) -> None:
    with pytest.raises(archimport.ConfigError, match="cannot mount an object"):
        archimport.mount(source)


def test_mounting_files_of_the_wrong_kind(tmp_path: Path) -> None:
    text = tmp_path / "text.arc"
    text.write_text("hello")
    (tmp_path / "empty").touch()
    with pytest.raises(archimport.FormatError, match="neither a bundle, a zip nor"):
        archimport.mount(text)
    with pytest.raises(archimport.FormatError):
        archimport.mount(tmp_path / "empty")
    with pytest.raises(archimport.FormatError, match="not a bundle"):
        archimport.mount(f"bundle://{build_zip(TREE, tmp_path / 'x')}")
    with pytest.raises(archimport.FormatError):
        archimport.mount(f"zip://{text}")
    with pytest.raises((archimport.FormatError, archimport.StoreUnavailable)):
        archimport.mount("/dev/null")


def test_errors_are_no_import_errors() -> None:
    for name in dir(archimport):
        value = getattr(archimport, name)
        if isinstance(value, type) and issubclass(value, archimport.ArchimportError):
            assert not issubclass(value, ImportError)
            error = value("what", store="/s", member="m", hint="do this")
            assert str(error) == "what: '/s/m' (do this)"


def test_path_entry_hook_opens_while_first_on_the_path(tmp_path: Path) -> None:
    """Opening imports modules; with the entry first on `sys.path` each of those asks the hook again."""
    names = ["archimport.zip.store", "archimport.zip.format", "archimport.zip", "struct"]
    file = build_zip_with_folders(TREE, tmp_path / "store")
    other = build_bundle({"second.py": "value = 9\n"}, tmp_path / "other")
    archimport.install()
    for name in names:
        sys.modules.pop(name, None)
    sys.path[:0] = [f"zip://{file}", other]
    importlib.invalidate_caches()
    assert importlib.import_module("mod").value == 1
    assert importlib.import_module("second").value == 9


def test_refresh_says_what_changed(tmp_path: Path) -> None:
    file = build_zip({"a.py": "1", "b.py": "2"}, tmp_path / "store")
    with archimport.mount(file) as mounted:
        assert not mounted.refresh()
        build_zip({"a.py": "10", "c.py": "3"}, tmp_path / "store")
        changes = mounted.refresh()
        assert isinstance(changes, Changes)
        assert (changes.added, changes.changed, changes.removed) == (("c.py",), ("a.py",), ("b.py",))
        assert not mounted.refresh()


def test_registry_keeps_stores_that_python_forgets(tmp_path: Path) -> None:
    file = build_zip(TREE, tmp_path / "store")
    archimport.install()
    sys.path.insert(0, f"zip://{file}")
    store = importlib.import_module("mod").__loader__.store
    importlib.invalidate_caches()
    sys.path_importer_cache.clear()
    importlib.import_module("mod")
    found = registry.locate(f"{file}/src")
    assert found == (store, "src")


def test_entries_that_are_no_strings(place: Place) -> None:
    place.add(TREE)
    sys.path[:0] = [b"/bytes", Path("/p")]
    assert importlib.import_module("mod").value == 1


def spoil(file: Path, damage: str) -> None:
    """Damage a file in one of the ways that disks, transfers and people know."""
    raw = file.read_bytes()
    spoiled = {
        "flipped magic": raw[:130] + bytes([raw[130] ^ 1]) + raw[131:],
        "text transfer": raw.replace(b"\r\n", b"\n"),
        "other line ends": raw.replace(b"\n", b"\r\n"),
        "header of zeros": bytes(256) + raw[256:],
        "magic overwritten": raw[:128] + b"????????" + raw[136:],
        "something before it": b"#!/bin/sh\n" + raw,
        "cut": raw[: len(raw) // 2],
        "cut in the header": raw[:100],
        "zeros": bytes(len(raw)),
        "empty": b"",
    }
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(spoiled[damage])


DAMAGES = ("flipped magic", "text transfer", "other line ends", "header of zeros", "magic overwritten", "something before it",
           "cut", "cut in the header", "zeros", "empty", "gone")  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("inside", ["", "/pkg"])
def test_damaged_bundle_on_the_path_is_not_passed_over(damage: str, inside: str, tmp_path: Path) -> None:
    file = Path(build_bundle(TREE, tmp_path / "store"))
    spoil(file, damage)
    write_tree({"mod.py": "value = 'of the next entry'\n"}, tmp_path / "next")
    archimport.install()
    sys.path[:0] = [f"{file}{inside}", str(tmp_path / "next")]
    kinds = (archimport.FormatError, archimport.IntegrityError, archimport.StoreUnavailable)
    for _ in range(2):
        with pytest.raises(kinds) as caught:
            importlib.import_module("mod")
        assert caught.value.store == str(file)
    with pytest.raises(kinds, match="not a bundle|bundle has|No such file"):
        archimport.mount(file)


@pytest.mark.parametrize("gone", ["nowhere/store.arc", "STORE.ARC", "store.arc/pkg"])
def test_bundle_that_is_gone_with_its_directory(gone: str, tmp_path: Path) -> None:
    write_tree({"mod.py": ""}, tmp_path)
    archimport.install()
    sys.path[:0] = [f"{tmp_path}/{gone}", str(tmp_path)]
    with pytest.raises(archimport.StoreUnavailable, match="(?i)store.arc"):
        importlib.import_module("mod")


@pytest.mark.parametrize("size", [16, 60, 99])
def test_database_that_is_cut(size: int, tmp_path: Path) -> None:
    file = Path(build_sqlite(TREE, tmp_path / "store"))
    file.write_bytes(file.read_bytes()[:size])
    write_tree({"mod.py": ""}, tmp_path / "next")
    archimport.install()
    sys.path[:0] = [str(file), str(tmp_path / "next")]
    with pytest.raises(archimport.ArchimportError):
        importlib.import_module("mod")


@pytest.mark.parametrize("scheme", ["bundle", "zip", "sqlite"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "gone"])
def test_damaged_url_on_the_path_is_not_passed_over(scheme: str, damage: str, tmp_path: Path) -> None:
    file = Path({"bundle": build_bundle, "zip": build_zip, "sqlite": build_sqlite}[scheme](TREE, tmp_path / "store"))
    spoil(file, damage)
    archimport.install()
    sys.path.insert(0, f"{scheme}://{'/' if scheme == 'sqlite' else ''}{file}")
    with pytest.raises(archimport.ArchimportError):
        importlib.import_module("mod")


@pytest.mark.parametrize("at", [0, 16, 68, 71])
def test_damaged_database_on_the_path_is_not_passed_over(at: int, tmp_path: Path) -> None:
    """What says that it is ours may be hit: then it is read as it is, or an error."""
    file = Path(build_sqlite(TREE, tmp_path / "store"))
    raw = bytearray(file.read_bytes())
    raw[at] ^= 0xFF
    file.write_bytes(raw)
    write_tree({"mod.py": "value = 'of the next entry'\n"}, tmp_path / "next")
    archimport.install()
    sys.path[:0] = [str(file), str(tmp_path / "next")]
    try:
        assert importlib.import_module("mod").value == 1
    except archimport.FormatError:
        assert at < 68


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(1000),
        b"#!/bin/sh\n" * 100,
        b"ARC\n" * 100,
        b"SQLite format 3\0" + bytes(300),
        b"PK\x03\x04" + bytes(500),
    ],
    ids=["empty", "zeros", "script", "text", "database", "zip"],
)
def test_files_of_others_stay_theirs(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "folder.arc").mkdir()
    (tmp_path / "text.arc").write_text("hello\n")
    archimport.install()
    for entry in ("file", "folder.arc", "folder.arc/absent", "text.arc", "absent", "absent.db", "absent.zip"):
        with pytest.raises(ImportError):
            path_hook(str(tmp_path / entry))


@pytest.mark.parametrize("name", ["\udcff", "\ud800", "\ud800.arc"])
def test_surrogates_in_paths_and_names(name: str, tmp_path: Path) -> None:
    sources = [name, f"{tmp_path}/{name}", *(f"{scheme}://{tmp_path}/{name}" for scheme in ("zip", "bundle", "sqlite"))]
    for source in sources:
        with pytest.raises(archimport.ArchimportError):
            archimport.mount(source)
        with pytest.raises((ImportError, archimport.ArchimportError)):
            path_hook(source)
    for build in (build_zip, build_bundle, build_sqlite):
        with archimport.mount(build(TREE, tmp_path / build.__name__)) as mounted:
            assert mounted.store.lookup(name) is None
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module(name.replace(".", ""))
            with pytest.raises(archimport.ArchimportError):
                archimport.mount(f"{mounted.path_entry}/{name}")
    with pytest.raises(archimport.ConfigError):
        archimport.mount(f"sqlite:///{tmp_path}/build_sqlite.db?path={name}")


def test_child_of_a_mount_that_is_damaged_meanwhile(tmp_path: Path) -> None:
    code = """
import multiprocessing, sys
import archimport
def work():
    import mod
if __name__ == "__main__":
    archimport.mount(sys.argv[1])
    open(sys.argv[1], "wb").close()
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
    print(child.exitcode)
"""
    (tmp_path / "main.py").write_text(code)
    (tmp_path / "mod.py").write_text("")
    file = Path(build_bundle(TREE, tmp_path / "store"))
    file = file.rename(tmp_path / "store.bin")
    command = [sys.executable, str(tmp_path / "main.py"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr
    assert "FormatError" in done.stderr
