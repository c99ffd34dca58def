"""Writing into an archive: what stays is as it was, and bytecode of many modules is written at once."""

from __future__ import annotations

import importlib
import io
import os
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import build_zip
from odd_zips import FILES, ODD, unicode_path, with_raw_name, zipped

import archimport
from archimport.runtime.bytecode import cached_member
from archimport.zip import ZipStore, rewrite
from archimport.zip.format import find_directory, read_rows

CACHED = cached_member("m000.py") or ""
MODULES = {f"m{number:03}": f"value = {number}\n" for number in range(400)}


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the paths of the archives that are rewritten."""
    paths: list[str] = []
    original = rewrite.replace_file

    def replace_file(path: str, *arguments: object) -> None:
        paths.append(path)
        original(path, *arguments)

    monkeypatch.setattr(rewrite, "replace_file", replace_file)
    return paths


def modules(path: Path, names: Iterator[str] | list[str] | None = None) -> Path:
    path.write_bytes(zipped([(f"{name}.py", MODULES[name].encode()) for name in names or MODULES]))
    return path


def bytecode(path: Path) -> set[str]:
    return {name.partition("__pycache__/")[2].partition(".")[0] for name in members(path) if "__pycache__" in name}


def members(path: Path) -> dict[str, bytes]:
    store = ZipStore(str(path))
    return {entry.path: store.read(entry) for entry in store.walk()}


def test_imports_are_one_rewrite(tmp_path: Path, replaced: list[str]) -> None:
    path = modules(tmp_path / "x.zip")
    with archimport.mount(path, writable=True) as mounted:
        for name in MODULES:
            assert importlib.import_module(name).value == int(name[1:])
        assert replaced == []
        assert len(mounted.store.list("__pycache__")) == len(MODULES)
        cached = mounted.store.lookup(cached_member("m007.py") or "")
        assert cached is not None and mounted.store.read(cached)[:4] == importlib.util.MAGIC_NUMBER
    assert replaced == [str(path)]
    assert bytecode(path) == set(MODULES)


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import archimport, importlib, os, sys\n{code}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


IMPORT = "archimport.mount(sys.argv[1], writable=True)\nfor name in sys.argv[2:]: importlib.import_module(name)\n"


def test_bytecode_is_written_when_the_process_ends(tmp_path: Path) -> None:
    path = modules(tmp_path / "x.zip")
    assert run(IMPORT, path, "m000", "m001").stderr == ""
    assert bytecode(path) == {"m000", "m001"}
    run(f"{IMPORT}os._exit(0)", path, "m002")  # killed: what it compiled is lost, and nothing else
    assert bytecode(path) == {"m000", "m001"}
    before = path.stat().st_ino
    run(IMPORT, path, "m000", "m001")  # compiled already
    assert path.stat().st_ino == before


def test_exception_at_the_end_loses_nothing(tmp_path: Path) -> None:
    path = modules(tmp_path / "x.zip")
    code = f"import archimport, importlib, sys\n{IMPORT}raise SystemExit(3)"
    assert subprocess.run([sys.executable, "-c", code, str(path), "m000"], check=False).returncode == 3
    assert bytecode(path) == {"m000"}


def test_archive_that_cannot_be_written_any_more_fails_no_program(tmp_path: Path) -> None:
    path = modules(tmp_path / "x.zip")
    for spoil in ("os.unlink(sys.argv[1])", "open(sys.argv[1], 'wb').write(b'spoilt')"):
        modules(path)
        assert run(f"{IMPORT}{spoil}", path, "m000").stderr == ""


def test_other_writes_are_immediate_and_take_bytecode_along(tmp_path: Path, replaced: list[str]) -> None:
    path = modules(tmp_path / "x.zip")
    with archimport.mount(path, writable=True) as mounted:
        importlib.import_module("m000")
        mounted.store.write("notes.txt", b"kept")
        assert members(path)["notes.txt"] == b"kept" and bytecode(path) == {"m000"}
        written = len(replaced)
        mounted.store.close()
    assert len(replaced) == written


def test_close_writes_bytecode(tmp_path: Path) -> None:
    path = modules(tmp_path / "x.zip")
    store = ZipStore(str(path), writable=True)
    store.write(CACHED, b"bytecode")
    assert CACHED not in members(path)
    store.close()
    assert members(path)[CACHED] == b"bytecode"


def test_what_is_gathered_is_there_at_once(tmp_path: Path) -> None:
    path = Path(build_zip({"a": {"b": {"m000.py": "x = 1\n"}}}, tmp_path / "x"))
    store = ZipStore(str(path), writable=True)
    cached = f"a/b/{CACHED}"
    for data in (b"first", b"second"):
        store.write(cached, data)
        entry = store.lookup(cached)
        assert entry is not None and store.read(entry) == data and entry.size == len(data)
    there = store.lookup("a/b/__pycache__")
    assert there is not None and there.is_dir
    assert store.list("a/b") == ["__pycache__", "m000.py"]
    assert [found.path for found in store.walk("a")] == [cached, "a/b/m000.py"]
    store.flush()
    assert store.read(entry) == b"second"
    kept = store.lookup(cached)
    assert kept is not None and store.read(kept) == b"second"


def test_bytecode_without_its_source(tmp_path: Path) -> None:
    """It is a member as any: written at once."""
    path = modules(tmp_path / "x.zip")
    ZipStore(str(path), writable=True).write(f"a/{CACHED}", b"bytecode")
    assert members(path)[f"a/{CACHED}"] == b"bytecode"


def test_gathered_bytecode_goes_with_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = build_zip({"pkg": {"__init__.py": "", "mod.py": ""}, "other.py": ""}, tmp_path / "x")
    mounted = archimport.mount(source, writable=True)
    importlib.import_module("pkg.mod")
    Path(build_zip({"other.py": ""}, tmp_path / "new")).replace(source)
    mounted.refresh()
    assert [entry.path for entry in mounted.store.walk()] == ["other.py"]
    for name in ("pkg", "pkg.mod"):
        del sys.modules[name]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pkg")


def test_flush_that_fails_is_tried_again(tmp_path: Path) -> None:
    path = modules(tmp_path / "x.zip")
    store = ZipStore(str(path), writable=True)
    store.write(CACHED, b"bytecode")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    store.flush()
    path.write_bytes(whole)
    store.flush()
    assert members(path)[CACHED] == b"bytecode"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX forks")
def test_forked_child_writes_its_own_bytecode_alone(tmp_path: Path) -> None:
    path = modules(tmp_path / "x.zip")
    code = """
from archimport.zip import rewrite
count = 0
original = rewrite.replace_file
def counting(*arguments):
    global count
    count += 1
    original(*arguments)
rewrite.replace_file = counting
archimport.mount(sys.argv[1], writable=True)
import m000
child = os.fork()
if child:
    os.waitpid(child, 0)
    from archimport.zip import ZipStore
    store = ZipStore(sys.argv[1])
    print(len(store.list("__pycache__")))
else:
    import importlib
    assert importlib.reload(m000)
    if sys.argv[2:]:
        import m001
"""
    assert run(code, path).stdout == "0\n"
    assert bytecode(path) == {"m000"}
    assert run(code.replace("import m000\n", "import m002 as m000\n"), path, "more").stdout == "2\n"
    assert bytecode(path) == {"m000", "m001", "m002"}


def test_processes_at_once(tmp_path: Path) -> None:
    path = modules(tmp_path / "x.zip")
    names = list(MODULES)
    shares = [names[0:30], names[10:40], names[20:50]]
    code = f"import archimport, importlib, sys\n{IMPORT}"
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), *share]) for share in shares]
    assert [child.wait(100) for child in children] == [0, 0, 0]
    assert bytecode(path) == set(names[:50])


def test_threads_at_once(tmp_path: Path) -> None:
    path = modules(tmp_path / "x.zip")
    store = ZipStore(str(path), writable=True)

    def work(number: int) -> None:
        for part in range(20):
            store.write(f"t{number}/__pycache__/m{part}.cpython-311.pyc", b"x")
            store.list("")
            if part % 5 == 0:
                store.flush()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    store.close()
    assert len([name for name in members(path) if "__pycache__" in name]) == 80


def test_archive_that_was_replaced_keeps_what_is_new(tmp_path: Path, replaced: list[str]) -> None:
    """Bytecode of modules that are other ones by now, or gone, is not written into it."""
    path = modules(tmp_path / "x.zip")
    with archimport.mount(path, writable=True):
        for name in ("m000", "m001", "m002"):
            importlib.import_module(name)
        newer = zipped([("m000.py", MODULES["m000"].encode()), ("m001.py", b"value = 'another'\n"), ("new.py", b"")])
        (tmp_path / "y").write_bytes(newer)
        os.replace(tmp_path / "y", path)
    assert bytecode(path) == {"m000"}
    assert members(path)["m001.py"] == b"value = 'another'\n" and "new.py" in members(path)


def test_bytecode_that_another_process_wrote_is_not_written_again(tmp_path: Path, replaced: list[str]) -> None:
    path = modules(tmp_path / "x.zip")
    with archimport.mount(path, writable=True):
        importlib.import_module("m000")
        run(IMPORT, path, "m000")
    assert replaced == [] and bytecode(path) == {"m000"}


def test_bytecode_where_its_directory_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(before := zipped([("m.py", b"value = 1\n"), ("__pycache__", b"")]))
    with archimport.mount(path, writable=True):
        assert importlib.import_module("m").value == 1
    assert path.read_bytes() == before


def raw_members(data: bytes) -> dict[bytes, tuple[bytes, bytes]]:
    """Give the bytes of each member and its row of the directory without the offset, by the name as it is stored."""

    def read(at: int, length: int) -> bytes:
        return data[at : at + length]

    directory = find_directory(read, len(data))
    rows = rewrite._split(read(directory.start, directory.length))
    return {
        member.raw_name: (read(member.offset, member.span), row[:42] + row[46:])
        for member, row in zip(read_rows(read, directory), rows, strict=True)
    }


STAYS = {kind: make for kind, (make, _, _) in ODD.items() if "two gigabytes" not in kind}
STAYS |= {
    "UTF-8 without the flag": lambda: with_raw_name("café.txt".encode()),
    "code page 437": lambda: with_raw_name("café.txt".encode("cp437")),
    "Unicode path": lambda: with_raw_name(b"caf\xe9.txt", unicode_path(b"caf\xe9.txt", "café.txt")),
}


@pytest.mark.parametrize("kind", STAYS)
def test_what_stays_is_as_it_was(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(before := STAYS[kind]())
    store = ZipStore(str(path), writable=True)
    names = [entry.path for entry in (*store.walk(), *store.odd())]
    store.write("new é.txt", b"new " * 99)
    assert [entry.path for entry in (*store.walk(), *store.odd()) if entry.path != "new é.txt"] == names
    store.write("new é.txt", b"newer")
    after = raw_members(path.read_bytes())
    assert after.pop("new é.txt".encode())[0].endswith(b"newer")
    assert after == raw_members(before)


def test_replaced_members_leave_no_gap(tmp_path: Path) -> None:
    """The first, one in the middle, one that is there twice, and a link."""
    path = tmp_path / "x.zip"
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(zipped([("a", b"1"), ("b", b"2"), ("c", b"3"), (link, b"a"), ("b", b"2"), ("d", b"4")]))
    store = ZipStore(str(path), writable=True)
    for name in ("a", "b", "link"):
        store.write(name, b"new " + name.encode())
    assert members(path) == {"a": b"new a", "b": b"new b", "c": b"3", "link": b"new link", "d": b"4"}
    with zipfile.ZipFile(path) as theirs:
        assert theirs.testzip() is None and len(theirs.namelist()) == 5


@pytest.mark.parametrize("moved", [b"", b"#!/usr/bin/env python3\n"], ids=["offsets are told", "offsets are not told"])
def test_archives_with_something_in_front(moved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    stream = io.BytesIO(b"" if moved else b"#!/bin/sh\n")
    stream.seek(0, os.SEEK_END)
    with zipfile.ZipFile(stream, "w") as new:
        new.writestr("a.txt", b"1")
        new.comment = b"about"
    path.write_bytes(moved + stream.getvalue())
    ZipStore(str(path), writable=True).write("a.txt", b"2")
    assert path.read_bytes().startswith(moved or b"#!/bin/sh\n") and path.read_bytes().endswith(b"about")
    with zipfile.ZipFile(path) as theirs:
        assert theirs.read("a.txt") == b"2"
    assert members(path) == {"a.txt": b"2"}


def test_many_members(tmp_path: Path) -> None:
    """More than the narrow end record can count."""
    path = tmp_path / "x.zip"
    path.write_bytes(zipped([(f"{number}", b"") for number in range(65_534)]))
    store = ZipStore(str(path), writable=True)
    store.write("one more", b"x")
    assert b"PK\6\6" in path.read_bytes()[-200:]
    store.write("two more", b"y")
    assert len(members(path)) == 65_536
    with zipfile.ZipFile(path) as theirs:
        assert len(theirs.namelist()) == 65_536


def test_rows_with_wide_offsets(tmp_path: Path) -> None:
    """Writers that stream give every field 64 bits."""
    path = tmp_path / "x.zip"
    data = zipped([("a", b"12"), ("b", b"34")])
    at = data.index(b"PK\1\2")
    rows = b""
    for name, offset in ((b"a", 0), (b"b", data.rindex(b"PK\3\4"))):
        row = bytearray(data[at : at + 46])
        crc = zlib.crc32(b"12" if name == b"a" else b"34")
        struct.pack_into("<3L", row, 16, crc, 0xFFFFFFFF, 0xFFFFFFFF)
        struct.pack_into("<H", row, 30, 28)
        struct.pack_into("<L", row, 42, 0xFFFFFFFF)
        rows += bytes(row) + name + struct.pack("<HHQQQ", 1, 24, 2, 2, offset)
    path.write_bytes(data[:at] + rows + data[-22:-10] + struct.pack("<LLH", len(rows), at, 0))
    assert members(path) == {"a": b"12", "b": b"34"}
    ZipStore(str(path), writable=True).write("a", b"5")
    assert members(path) == {"a": b"5", "b": b"34"}


def test_content_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(before := zipped(FILES.items()))
    monkeypatch.setattr("archimport.zip.rewrite.MAX_MEMBER", 10)
    store = ZipStore(str(path), writable=True)
    with pytest.raises(archimport.LimitError):
        store.write("x", bytes(11))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x.zip"]
