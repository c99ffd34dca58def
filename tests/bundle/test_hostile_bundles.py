"""Bundles whose digests are right and whose content lies: what `verify` and `extract` must not pass over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

import archimport
from archimport.bundle import writer
from archimport.bundle.format import FILE, FOLDER, Page, Row, listing
from archimport.bundle.store import BundleStore
from archimport.bundle.tail import carried_sources, tail_files
from archimport.bundle.writer import Member, write_bundle
from archimport.pack.compile import compile_runtime
from archimport.pack.target import THIS_PYTHON, Target
from archimport.runtime.digest import digest

Lie = tuple[str, int, int, bytes]


def craft(path: Path, lies: list[Lie], meta: dict[str, str] | None = None, cut: int = 0, sort: bool = True) -> Path:
    """Write a bundle of just these rows (path, kind, layer and content) in one page, `cut` bytes short."""

    def one_page(file: BinaryIO, rows: list[Row]) -> Iterator[Page]:
        raw = b"".join(row.pack() for row in (sorted(rows, key=lambda row: (row.path, row.layer)) if sort else rows))
        raw = raw[: len(raw) - cut]
        yield Page(file.tell(), len(raw), digest(raw))
        file.write(raw)

    with path.open("w+b") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_write_pages", one_page)
        file.write(bytes(256))
        blocks = writer._Blocks(file, writer._compressor("deflate"))
        rows = [blocks._add(name, kind, layer, content) for name, kind, layer, content in lies]
        blocks.flush()
        writer._finish(file, rows, blocks.table, meta or {}, {"__main__.py": b""})
    return path


def folder(path: str, *names: str, layer: int = 0) -> Lie:
    return path, FOLDER, layer, listing(names)


def module(path: str, content: bytes = b"x = 1\n", layer: int = 0) -> Lie:
    return path, FILE, layer, content


def test_honest_rows_pass(tmp_path: Path) -> None:
    store = BundleStore(
        str(
            craft(
                tmp_path / "x.arc",
                [folder("", "a.py", "p"), folder("p", "b.py"), module("a.py"), module("p/b.py", b"2")],
            )
        )
    )
    assert list(store.verify()) == ["1 blocks", "1 pages of the index", "2 files"]


LIES: dict[str, list[Lie]] = {
    "file and folder in two layers": [
        folder("", "a"),
        folder("", "a", layer=1),
        folder("a", "b.py"),
        module("a", layer=1),
        module("a/b.py"),
    ],
    "hidden module": [folder("", "a.py"), module("a.py"), module("evil.py")],
    "listed and not there": [folder("", "a.py", "b.py"), module("a.py")],
    "path that leaves": [folder("", "a.py", ".."), folder("..", "x"), module("a.py"), module("../x")],
    "absolute path": [folder("", "a.py"), module("a.py"), module("/abs")],
    "path of two spellings": [folder("", "a.py"), module("a.py"), module("a/../b")],
    "two rows of one path": [folder("", "a.py"), module("a.py"), module("a.py", b"other")],
    "file and folder": [folder("", "a"), module("a"), folder("a")],
    "no root": [module("a.py")],
    "root that is a file": [module("", b"a.py\n"), module("a.py")],
    "slash in a name": [folder("", "p", "p/a.py"), folder("p", "a.py"), module("p/a.py")],
    "unsorted": [("", FOLDER, 0, b"b.py\na.py\n"), module("a.py"), module("b.py")],
    "list without an end": [("", FOLDER, 0, b"a.py"), module("a.py")],
    "list that is no text": [("", FOLDER, 0, b"a\xff.py\n"), module("a.py")],
    "control character": [("", FOLDER, 0, b"a\x07\n"), module("a.py")],
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
    bundle = craft(tmp_path / "x.arc", [folder("", "a.py"), module("a.py")], meta)
    command = [sys.executable, "-m", "archimport", "info", str(bundle)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines)
    assert (shown["kind"], shown["location"], shown["signed"]) == ("bundle", str(bundle), "no")
    assert shown["meta.kind"] == "zip"


@pytest.mark.parametrize("meta", [{"k": "\x1b[2J"}, {"": "x"}, {"a=b": "", "a": "b="}, {"k": "x\nno equals sign"}])
def test_meta_that_is_no_meta(tmp_path: Path, meta: dict[str, str]) -> None:
    with pytest.raises(archimport.FormatError):
        BundleStore(str(craft(tmp_path / "x.arc", [folder("")], meta)))


def test_list_that_is_too_long(tmp_path: Path) -> None:
    bundle = craft(tmp_path / "x.arc", [("", FOLDER, 0, b"x" * (1 << 26) + b"\n")])
    with pytest.raises(archimport.LimitError):
        BundleStore(str(bundle)).list("")


def test_sparse_file_with_a_huge_tail(tmp_path: Path) -> None:
    bundle = craft(tmp_path / "x.arc", [folder("")])
    size = 1 << 40
    with bundle.open("r+b") as file:
        file.truncate(size)
        file.seek(144)
        file.write(size.to_bytes(8, "little"))
    with pytest.raises(archimport.LimitError):
        BundleStore(str(bundle))


def test_damaged_runtime_is_not_unmarshalled(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    runtimes = compile_runtime(Target(THIS_PYTHON, sys.executable), carried_sources())
    (table,) = runtimes.values()
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
    runtimes = compile_runtime(Target(THIS_PYTHON, sys.executable), carried_sources())
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


def test_rows_that_are_not_sorted(tmp_path: Path) -> None:
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


def test_row_that_is_cut(tmp_path: Path) -> None:
    with pytest.raises(archimport.FormatError, match="page of the index is damaged"):
        BundleStore(str(craft(tmp_path / "x.arc", [module("a.py")], cut=1))).lookup("a.py")
