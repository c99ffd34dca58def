"""The bundle format: every byte is covered, and what it says is what was written."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archimport
from archimport.bundle import format as bundle_format
from archimport.bundle.store import BundleStore
from archimport.bundle.tail import tail_files
from archimport.bundle.writer import Member, write_bundle
from archimport.runtime.file import ContainerFile

FILES = {"pkg/__init__.py": b"x = 1\n", "pkg/data.txt": b"hello " * 50, "app.py": b"def main():\n    print('ran')\n"}


def members(files: dict[str, bytes], layer: int = 0, codec: str = "deflate") -> list[Member]:
    return [Member(path, partial(bytes, content), layer, codec) for path, content in files.items()]


def small_bundle(path: Path, files: dict[str, bytes] = FILES, codec: str = "deflate") -> bytes:
    """Write a bundle whose tail is a stub of one line, so that the whole file is small."""
    tail = {"__main__.py": b"print('tail')\n"}
    write_bundle(str(path), members(files, codec=codec), meta={"entry": "app:main"}, tail=tail)
    return path.read_bytes()


def read_all(path: Path) -> dict[str, bytes]:
    store = BundleStore(str(path))
    list(store.verify())
    return {entry.path: store.read(entry) for entry in store.walk()}


@pytest.mark.parametrize("codec", ["stored", "deflate", "zstd"])
def test_what_was_written_is_read(tmp_path: Path, codec: str) -> None:
    small_bundle(tmp_path / "x.arc", codec=codec)
    assert read_all(tmp_path / "x.arc") == FILES


def test_unknown_codec(tmp_path: Path) -> None:
    with pytest.raises(archimport.ConfigError, match="one of stored, deflate, zstd"):
        small_bundle(tmp_path / "x.arc", codec="rot13")
    assert list(tmp_path.iterdir()) == []


def test_levels(tmp_path: Path) -> None:
    files = {f"m{number}.py": b"".join(b"x%d = %d\n" % (n, n * number) for n in range(2000)) for number in range(9)}
    sizes = []
    for level in (1, 9, 22, None):
        write_bundle(str(tmp_path / "x.arc"), members(files), meta={}, tail={}, level=level)
        assert read_all(tmp_path / "x.arc") == files
        sizes.append((tmp_path / "x.arc").stat().st_size)
    assert sizes[0] > sizes[1] == sizes[2] == sizes[3]  # deflate has nine
    for level in (0, 23):
        with pytest.raises(archimport.ConfigError, match=f"no level {level}"):
            write_bundle(str(tmp_path / "x.arc"), members(files), meta={}, tail={}, level=level)


@pytest.mark.parametrize("level", [20])
def test_large_contents_are_read_at_any_level(tmp_path: Path, level: int) -> None:
    files = {"large": random.Random(1).randbytes(100_000) * 99, "small": b"x" * 100}
    write_bundle(str(tmp_path / "x.arc"), members(files, codec="zstd"), meta={}, tail={}, level=level)
    assert read_all(tmp_path / "x.arc") == files


tree_files = st.dictionaries(
    st.lists(st.text("abü", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join), st.binary(max_size=50)
)


@settings(max_examples=60, deadline=None)
@given(tree_files)
def test_any_tree_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    files = {path: data for path, data in files.items() if not any(other.startswith(f"{path}/") for other in files)}
    path = tmp_path_factory.mktemp("law") / "x.arc"
    first = small_bundle(path, files)
    assert read_all(path) == files
    assert small_bundle(path, files) == first


def test_every_prefix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    data = small_bundle(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises((archimport.FormatError, archimport.IntegrityError)):
            archimport.mount(path)


def test_every_longer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    data = small_bundle(path)
    for more in (b"\0", b"x" * 1000, data):
        path.write_bytes(data + more)
        with pytest.raises(archimport.FormatError):
            archimport.mount(path)


def test_every_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    data = small_bundle(path)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        with pytest.raises((archimport.FormatError, archimport.IntegrityError, archimport.LimitError)):
            mounted = archimport.mount(path)
            try:
                for entry in mounted.store.walk():
                    mounted.store.read(entry)
                list(mounted.store.verify())
            finally:
                mounted.unmount()


def test_members_reach_their_content_only_through_what_was_verified(tmp_path: Path) -> None:
    """A flip in a block that a module needs is an error of its import, not another module."""
    path = tmp_path / "x.arc"
    data = bytearray(small_bundle(path, {"mod.py": b"x = 1\n"}, codec="stored"))
    data[bundle_format.HEADER_SIZE + 4] ^= 3
    path.write_bytes(data)
    code = f"import archimport; archimport.mount({str(path)!r}); import mod"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "archimport.runtime.errors.IntegrityError: block is damaged: " in done.stderr


def test_equal_contents_are_stored_once(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(50_000)
    one = small_bundle(tmp_path / "one.arc", {"a": content})
    many = small_bundle(tmp_path / "many.arc", {f"copy{number}": content for number in range(20)})
    assert len(many) - len(one) < 5000


def test_blocks_are_bounded_and_large_members_have_their_own(tmp_path: Path) -> None:
    noise = random.Random(2)
    files = {f"m{number:03}": noise.randbytes(20_000) for number in range(40)} | {"large": noise.randbytes(700_000)}
    small_bundle(tmp_path / "x.arc", files)
    assert read_all(tmp_path / "x.arc") == files
    assert BundleStore(str(tmp_path / "x.arc")).describe()["blocks"] == 15  # 3 a block, and the large one


def test_layers(tmp_path: Path) -> None:
    this, other = f"{sys.version_info[0]}.{sys.version_info[1]}", "3.99"
    path = tmp_path / "x.arc"
    layered = [*members({"common": b"0", "both": b"common"}), *members({"mine": b"1", "both": b"mine"}, 1)]
    layered += members({"theirs": b"2"}, 2)
    write_bundle(str(path), layered, meta={"targets": f"{this}/any/1 {other}/any/2"}, tail={"__main__.py": b""})
    assert read_all(path) == {"common": b"0", "both": b"mine", "mine": b"1"}
    BundleStore(str(path)).check()
    write_bundle(str(path), layered, meta={"targets": f"{other}/any/2"}, tail={"__main__.py": b""})
    assert read_all(path) == {"common": b"0", "both": b"common"}
    with pytest.raises(archimport.ConfigError, match=r"supports Python 3\.99, not"):
        archimport.mount(path)
    write_bundle(str(path), layered, meta={"targets": f"{this}/plan9_vax/2"}, tail={"__main__.py": b""})
    with pytest.raises(archimport.ConfigError, match=r"on plan9_vax, not"):
        archimport.mount(path)


def test_member_that_occurs_twice(tmp_path: Path) -> None:
    with pytest.raises(archimport.FormatError, match="twice"):
        write_bundle(str(tmp_path / "x.arc"), members(FILES) * 2, meta={}, tail={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/x", "a\\b", ""])
def test_names_that_no_member_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(archimport.FormatError):
        small_bundle(tmp_path / "x.arc", {name: b""})


def test_failed_write_keeps_the_old_bundle(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    old = small_bundle(path)

    def fail() -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        write_bundle(str(path), [Member("x", fail)], meta={}, tail={})
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_opening_costs_the_same_for_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[tuple[int, int]] = []
    original = ContainerFile.read

    def counting(self: ContainerFile, offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return original(self, offset, length)

    monkeypatch.setattr(ContainerFile, "read", counting)
    counts = []
    for count in (10, 20_000):
        path = tmp_path / f"{count}.arc"
        small_bundle(path, {f"pkg{number % 50}/mod{number}.py": b"x = %d\n" % number for number in range(count)})
        reads.clear()
        store = BundleStore(str(path))
        opening = len(reads)
        entry = store.lookup("pkg3/mod3.py")
        assert entry is not None
        assert store.read(entry) == b"x = 3\n"
        assert store.lookup("pkg3/absent.py") is None
        counts.append((opening, len(reads)))
        assert max(length for _, length in reads[opening:]) < 200_000
    assert counts[0][0] == counts[1][0] == 2
    assert counts[1][1] <= 2 + 3


def test_stock_zip_readers_see_the_tail(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    write_bundle(str(path), members(FILES), meta={}, tail=tail_files({}))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert "__main__.py" in archive.namelist()
        assert "archimport/runtime/hook.py" in archive.namelist()


def test_bundle_is_executable_as_the_umask_allows(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    small_bundle(path)
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o777 & ~umask
    assert path.read_bytes().startswith(b"#!/usr/bin/env -S python3 -I\n")


def test_version_of_the_future(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    data = bytearray(small_bundle(path))
    data[136] = 2
    path.write_bytes(data)
    with pytest.raises(archimport.FormatError, match="format version 2, this archimport reads 1"):
        archimport.mount(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_anything_behind_the_magic_is_a_typed_error(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("junk") / "x.arc"
    path.write_bytes(b"#!".ljust(128) + bundle_format.BUNDLE_MAGIC + junk)
    with pytest.raises((archimport.FormatError, archimport.IntegrityError)):
        BundleStore(str(path))
