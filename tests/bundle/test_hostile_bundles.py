"""Bundles whose digests are right and whose content lies: what `verify` and `extract` must not pass over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
from trees import write_tree

import archimport
from archimport.bundle import writer
from archimport.bundle.index import FILE, FOLDER, Row, key_of, pack_page
from archimport.bundle.store import BundleStore
from archimport.bundle.tables import PagePlace
from archimport.bundle.tail import carried_sources, tail_files
from archimport.bundle.writer import Member, write_bundle
from archimport.pack.build import pack
from archimport.pack.compile import compile_runtime
from archimport.runtime.digest import digest

Lie = tuple[str, int, int, bytes]


def craft(
    path: Path,
    lies: list[Lie],
    meta: dict[str, str] | None = None,
    *,
    change: Callable[[bytes], bytes] = bytes,
    sort: bool = True,
    first: bytes | None = None,
) -> Path:
    """Write a bundle of just these rows (path, kind, layer and content) in one page, and `change` that."""

    def one_page(file: BinaryIO, rows: list[Row]) -> Iterator[PagePlace]:
        rows = sorted(rows, key=lambda row: row.order) if sort else rows
        raw = change(pack_page(rows))
        begins = (key_of(rows[0].path) if rows else b"") if first is None else first
        yield PagePlace(file.tell(), len(raw), digest(raw), begins)
        file.write(raw)

    with path.open("w+b") as file, pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as threads:
        patch.setattr(writer, "_write_pages", one_page)
        patch.setattr(writer, "check_name", str)
        file.write(bytes(256))
        blocks = writer._Blocks(file, None, threads)
        rows = []
        for name, kind, layer, content in lies:
            row = blocks.add(Member(name, partial(bytes, content), layer)) if content else Row(name, kind, layer)
            row.kind = kind
            rows.append(row)
        blocks.finish()
        writer._finish(file, rows, blocks.table, meta or {}, {"__main__.py": b""})
    return path


def folder(path: str, layer: int = 0, content: bytes = b"") -> Lie:
    return path, FOLDER, layer, content


def module(path: str, content: bytes = b"x = 1\n", layer: int = 0) -> Lie:
    return path, FILE, layer, content


def test_honest_rows_pass(tmp_path: Path) -> None:
    honest = [folder("p"), module("a.py"), module("p/b.py", b"2")]
    store = BundleStore(str(craft(tmp_path / "x.arc", honest)))
    assert list(store.verify()) == ["1 blocks", "1 pages of the index", "2 files"]


LIES: dict[str, list[Lie]] = {
    "file and folder in two layers": [folder("a"), module("a", layer=1), module("a/b.py")],
    "file and folder": [module("a"), folder("a")],
    "module in a folder that is not there": [module("p/a.py")],
    "module in a folder of another layer": [folder("p", layer=1), module("p/a.py")],
    "folder of nothing": [folder("p"), module("a.py")],
    "folder with a content": [folder("p", content=b"a.py\n"), module("p/a.py")],
    "path that leaves": [folder(".."), module("a.py"), module("../x")],
    "absolute path": [folder(""), module("a.py"), module("/abs")],
    "path of two spellings": [folder("a"), folder("a/.."), module("a/../b")],
    "two rows of one path": [module("a.py"), module("a.py", b"other")],
    "root that is a file": [module("", b"a.py\n"), module("a.py")],
    "empty name": [folder("p"), module("p/")],
    "control character": [module("a\x07")],
    "path that is no text": [module("a\udcff")],
    "file of nowhere": [("a.py", 7, 0, b"x")],
}


@pytest.mark.parametrize("lie", LIES)
def test_verify_refuses(tmp_path: Path, lie: str) -> None:
    store = BundleStore(str(craft(tmp_path / "x.arc", LIES[lie])))
    with pytest.raises((archimport.FormatError, archimport.IntegrityError, archimport.LimitError)):
        list(store.verify())


@pytest.mark.parametrize("lie", LIES)
def test_extract_writes_nothing_outside(tmp_path: Path, lie: str) -> None:
    bundle = craft(tmp_path / "x.arc", LIES[lie])
    command = [sys.executable, "-m", "archimport", "extract", str(bundle), "-o", str(tmp_path / "deep" / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert {file.name for file in tmp_path.rglob("*")} <= {"x.arc", "deep", "out", "a.py", "b.py", "p", "a"}
    assert not (tmp_path / "deep" / "x").exists()


@pytest.mark.parametrize(
    "meta", [{"kind": "zip", "location": "/trusted", "signed": "yes"}], ids=["what archimport itself says"]
)
def test_meta_cannot_speak_for_the_facts(tmp_path: Path, meta: dict[str, str]) -> None:
    bundle = craft(tmp_path / "x.arc", [module("a.py")], meta)
    command = [sys.executable, "-m", "archimport", "info", str(bundle)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines)
    assert (shown["kind"], shown["location"], shown["signed"]) == ("bundle", str(bundle), "no")
    assert shown["meta.kind"] == "zip"


@pytest.mark.parametrize("meta", [{"k": "\x1b[2J"}, {"": "x"}, {"a=b": "", "a": "b="}, {"k": "x\nno equals sign"}])
def test_meta_that_is_no_meta(tmp_path: Path, meta: dict[str, str]) -> None:
    with pytest.raises(archimport.FormatError):
        BundleStore(str(craft(tmp_path / "x.arc", [], meta)))


def test_sparse_file_with_a_huge_tail(tmp_path: Path) -> None:
    bundle = craft(tmp_path / "x.arc", [])
    size = 1 << 40
    with bundle.open("r+b") as file:
        file.truncate(size)
        file.seek(144)
        file.write(size.to_bytes(8, "little"))
    with pytest.raises(archimport.LimitError):
        BundleStore(str(bundle))


@pytest.mark.parametrize("damage", [lambda raw: raw[:128] + b"X" + raw[129:], lambda raw: b"before\n" + raw])
def test_bundle_that_does_not_look_like_one_fails_in_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.arc"
    pack([write_tree({"app.py": "def main(): pass\n"}, tmp_path / "root")], path, entry="app:main")
    path.write_bytes(damage(path.read_bytes()))
    done = subprocess.run([sys.executable, "-I", path], capture_output=True, text=True, check=False)
    said = f"x.arc: error: not a bundle: {str(path)!r} (if it was one, it is damaged: fetch it again)\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_damaged_runtime_is_not_unmarshalled(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    runtime = compile_runtime(sys.executable, carried_sources())
    runtimes = {runtime.magic: runtime.table}
    table = runtime.table
    app = Member("app.py", lambda: b"print('ran')\n")
    write_bundle(str(path), [app], meta={"entry": "app"}, tail=tail_files(runtimes))
    good = path.read_bytes()
    start = good.index(table)
    for at in range(start, start + len(table), len(table) // 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        done = subprocess.run([sys.executable, "-I", "-S", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "x.arc: error: the runtime is damaged\n")
    path.write_bytes(good)
    assert subprocess.run([sys.executable, path], capture_output=True, text=True, check=True).stdout == "ran\n"


def test_hostile_path_is_not_searched_at_start(tmp_path: Path) -> None:
    """Neither for what the stub imports, nor for what the runtime does: marshalled or from source."""
    evil = tmp_path / "evil"
    evil.mkdir()
    for name in ("struct", "zlib", "_blake2", "__future__", "archimport", "_struct"):
        (evil / f"{name}.py").write_text(f"raise SystemExit('evil {name}')\n")
    runtime = compile_runtime(sys.executable, carried_sources())
    runtimes = {runtime.magic: runtime.table}
    for tail in (tail_files(runtimes), tail_files({})):
        path = tmp_path / "x.arc"
        write_bundle(str(path), [Member("app.py", lambda: b"print('ran')\n")], meta={"entry": "app"}, tail=tail)
        done = subprocess.run(
            [sys.executable, "-S", path],
            capture_output=True,
            text=True,
            check=False,
            cwd=evil,
            env={"PYTHONPATH": str(evil)},
        )
        assert (done.stdout, done.stderr) == ("ran\n", "")


def test_layers_that_are_not_sorted(tmp_path: Path) -> None:
    """The order says which layer answers: a page of another order is refused, not read in another way."""
    rows = [module("a.py", b"mine", 1), module("a.py", b"common", 0)]
    with pytest.raises(archimport.FormatError, match="not sorted"):
        BundleStore(str(craft(tmp_path / "x.arc", rows, sort=False))).lookup("a.py")


@pytest.mark.parametrize(
    "options",
    [
        {"meta": {"k": "x" * (1 << 21)}},
        {"meta": {"k": "two\nlines"}},
        {"meta": {"\x1bk": ""}},
        {"meta": {"k": "line\u2028end"}},
        {"members": [Member("a", lambda: b"", 256)]},
        {"members": [Member("a", lambda: b"", 1), Member("a/b.py", lambda: b"")]},
    ],
)
def test_what_would_not_be_read_is_not_written(tmp_path: Path, options: dict[str, object]) -> None:
    arguments = {"members": [], "meta": {}, "tail": {"__main__.py": b""}} | options
    with pytest.raises((archimport.FormatError, archimport.LimitError)):
        write_bundle(str(tmp_path / "x.arc"), **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-1],
        lambda raw: raw[:3],
        lambda raw: b"",
        lambda raw: b"\xff\xff\xff\xff" + raw[4:],
        lambda raw: b"\1" + raw[1:],
        lambda raw: raw + b"\0",
        lambda raw: raw.replace(b"a.py", b"\0.py"),
        lambda raw: raw.replace(b"a.py", b"z.py"),
    ],
    ids=["cut", "short", "empty", "too many", "too few", "too long", "no key", "unsorted"],
)
def test_page_that_is_none(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    rows = [module("a.py"), module("b.py")]
    with pytest.raises(archimport.FormatError, match="page of the index is damaged"):
        BundleStore(str(craft(tmp_path / "x.arc", rows, change=change))).lookup("a.py")


def test_page_that_begins_elsewhere(tmp_path: Path) -> None:
    """A row that no lookup finds, since the tables send it elsewhere, is shown by no list, and refused by `verify`."""
    store = BundleStore(str(craft(tmp_path / "x.arc", [module("a.py")], first=b"\nb.py")))
    with pytest.raises(archimport.FormatError, match="does not begin where the tables say"):
        list(store.verify())


def test_tables_that_have_too_few_pages(tmp_path: Path) -> None:
    with pytest.raises(archimport.FormatError, match="tables are damaged"):
        BundleStore(str(craft(tmp_path / "x.arc", [module("a.py")], first=b"\na.py\0\nb.py")))


def test_tables_that_are_too_short(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(archimport.FormatError, match="tables are damaged"):
        patch.setattr(writer, "pack_tables", lambda blocks, pages: b"")
        BundleStore(str(craft(tmp_path / "x.arc", [module("a.py")])))


def test_key_that_no_lookup_finds(tmp_path: Path) -> None:
    """A slash in a name: what a list would show is not what a lookup finds."""
    bundle = craft(tmp_path / "x.arc", [module("aXevil.py")], change=lambda raw: raw.replace(b"aXevil", b"a/evil"))
    for look in (lambda store: list(store.verify()), lambda store: store.list("")):
        with pytest.raises(archimport.FormatError) as caught:
            look(BundleStore(str(bundle)))
        assert caught.value.store == str(bundle)
