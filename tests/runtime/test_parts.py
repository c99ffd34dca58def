"""Codecs, names, locations and files: the small parts of the runtime."""

from __future__ import annotations

import bz2
import gc
import lzma
import os
import pickle
import shlex
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from builders import MemoryStore
from hypothesis import given
from hypothesis import strategies as st

import archimport
from archimport.bundle.compress import compressor
from archimport.runtime import atomic, cache, codec
from archimport.runtime.file import ContainerFile
from archimport.runtime.garbage import HeldBack
from archimport.runtime.location import member_of, split_file, split_scheme
from archimport.runtime.names import check_name, normalise
from archimport.runtime.resources import StorePath

RAW = b"some text, some more text, some text again " * 50


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def zip_lzma(data: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1}]
    packed = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    properties = lzma._encode_filter_properties(filters[0])
    return b"\x09\x04" + len(properties).to_bytes(2, "little") + properties + packed.compress(data) + packed.flush()


def zstd(data: bytes) -> bytes:
    return compressor("zstd")(data)


CODECS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes, int], bytes]]] = {
    "stored": (bytes, codec.stored),
    "deflate": (raw_deflate, codec.deflate),
    "bzip2": (bz2.compress, codec.bzip2),
    "lzma": (zip_lzma, codec.zip_lzma),
    "zstd": (zstd, codec.zstd),
}


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("raw", [b"", b"x", RAW, os.urandom(1000)], ids=["empty", "one", "text", "random"])
def test_codec_gives_back_what_was_packed(name: str, raw: bytes) -> None:
    pack, unpack = CODECS[name]
    assert unpack(pack(raw), len(raw)) == raw


@pytest.mark.parametrize("name", CODECS)
def test_codec_refuses_what_has_another_size(name: str) -> None:
    pack, unpack = CODECS[name]
    for size in (0, 1, len(RAW) - 1, len(RAW) + 1, 10 * len(RAW)):
        with pytest.raises(archimport.IntegrityError):
            unpack(pack(RAW), size)


@pytest.mark.parametrize("name", [name for name in CODECS if name != "stored"])
def test_codec_refuses_what_is_damaged(name: str) -> None:
    pack, unpack = CODECS[name]
    packed = pack(RAW)
    for damaged in (packed[: len(packed) // 2], b"", b"junk", packed[::-1]):
        with pytest.raises(archimport.IntegrityError):
            unpack(damaged, len(RAW))


@pytest.mark.parametrize("name", [name for name in CODECS if name != "stored"])
@pytest.mark.parametrize("size", [-1, 2**20 * 17, 2**30, 2**30 + 1, 2**63])
def test_codec_refuses_sizes_that_no_content_has(name: str, size: int) -> None:
    pack, unpack = CODECS[name]
    with pytest.raises((archimport.LimitError, archimport.IntegrityError)):
        unpack(pack(RAW), size)


def test_lzma_of_a_large_dictionary_is_refused() -> None:
    large = b"\x09\x04\x05\x00" + b"\x5d" + (1 << 30).to_bytes(4, "little") + bytes(1 << 20)
    with pytest.raises(archimport.LimitError, match="dictionary"):
        codec.zip_lzma(large, 1 << 29)


@pytest.mark.parametrize("name", ["deflate", "bzip2", "zstd"])
def test_codec_refuses_what_follows(name: str) -> None:
    pack, unpack = CODECS[name]
    for trailing in (b"x", pack(RAW)):
        with pytest.raises(archimport.IntegrityError):
            unpack(pack(RAW) + trailing, len(RAW))


def test_zstd_frame_that_states_no_size() -> None:
    codec.prepare("zstd")
    packer = codec._modules["zstd"].ZstdCompressor()
    frame = packer.compress(RAW[:100], packer.FLUSH_BLOCK) + packer.flush()
    assert codec.zstd_content_size(frame) is None
    assert codec.zstd(frame, 100) == RAW[:100]
    for size in (0, 99, 101):
        with pytest.raises(archimport.IntegrityError):
            codec.zstd(frame, size)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65791, 65792, 70000])
def test_zstd_content_size(size: int) -> None:
    assert codec.zstd_content_size(zstd(bytes(size))) == size


@pytest.mark.parametrize(
    "name",
    [
        "/abs",
        "a//b",
        "a/",
        "./a",
        "a/../b",
        "..",
        "",
        "a\\b",
        "a\0b",
        "a\nb",
        "c:x",
        "a/\x7f",
        "a\x85b",
        "a\u2028",
        "a\udc80",
    ],
)
def test_names_that_no_member_has(name: str) -> None:
    with pytest.raises(archimport.FormatError):
        check_name(name)


@pytest.mark.parametrize("name", ["no\u00a0break", "new\U0001fa77", "👩\u200d🚀", "ab:c", "sp ", "é"])
def test_names_are_allowed_by_every_python_alike(name: str) -> None:
    assert check_name(name) == name


def test_name_that_is_too_long() -> None:
    check_name("x" * 1024)
    for name in ("x" * 1025, "ä" * 513, "a/" * 128 + "a"):
        with pytest.raises(archimport.LimitError):
            check_name(name)


@given(st.text(alphabet="ab./"))
def test_normalised_paths_stay_inside(path: str) -> None:
    result = normalise(path)
    expected = os.path.normpath(f"/root/{path.lstrip('/')}")
    if result is not None:
        assert os.path.normpath(f"/root/{result}") == expected
        assert ".." not in result.split("/")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("zip:///x", ("zip", "///x")),
        ("postgresql+psycopg://h/d", ("postgresql+psycopg", "//h/d")),
        ("redshift+redshift_connector://h/d", ("redshift+redshift_connector", "//h/d")),
        ("sql:NAME", ("sql", "NAME")),
        ("C:\\x", None),
        ("c:/x", None),
        ("/abs:x", None),
        ("Zip:///x", None),
        ("plain", None),
        ("1a:x", None),
        ("", None),
    ],
)
def test_split_scheme(entry: str, expected: tuple[str, str] | None) -> None:
    assert split_scheme(entry) == expected


def test_split_file(tmp_path: Path) -> None:
    file = tmp_path / "x.arc"
    file.touch()
    assert split_file(str(file)) == (str(file), "")
    assert split_file(f"{file}/a/b") == (str(file), "a/b")
    assert split_file(str(tmp_path)) is None
    assert split_file(f"{tmp_path}/absent/x") is None


def test_member_of() -> None:
    assert member_of("/s/x.zip", "/s/x.zip") == ""
    assert member_of("/s/x.zip/a//b/../c", "/s/x.zip") == "a/c"
    assert member_of("/s/x.zipper/a", "/s/x.zip") is None
    assert member_of("/s/x.zip/../y", "/s/x.zip") is None
    assert member_of("a/b", "/s/x.zip") == "a/b"


def test_container_file_reads_by_position(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"0123456789")
    container = ContainerFile(str(file))
    assert container.read(3, 4) == b"3456"
    assert container.is_current()
    with pytest.raises(archimport.StoreChangedError):
        container.read(8, 4)
    os.replace(tmp_path / "f", tmp_path / "g")
    assert not container.is_current()
    assert container.read(0, 1) == b"0"


def test_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(archimport.FormatError, match="regular"):
        ContainerFile(str(tmp_path / "fifo"))


def test_replace_keeps_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")

    def fail(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        atomic.replace_file(str(target), fail)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_replace_follows_links(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    atomic.replace_file(str(tmp_path / "link"), lambda file: file.write(b"new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_cache_gives_back_what_was_put() -> None:
    assert cache.get("bytecode", "key") is None
    cache.put("bytecode", "key", b"content")
    assert cache.get("bytecode", "key") == b"content"


def test_cache_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache.put("bytecode", "key", b"content")
    assert cache.get("bytecode", "key") is None


def test_errors_are_pickled_whole() -> None:
    error = archimport.StoreUnavailable("cannot open", store="/s", hint="wait")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.store, copy.hint, type(copy)) == (str(error), "/s", "wait", type(error))


def test_store_path_relative_to() -> None:
    root = StorePath(MemoryStore({"a/b/c.txt": b""}, "/virtual/rel"), "")
    assert (root / "a/b/c.txt").relative_to(root / "a") == PurePosixPath("b/c.txt")
    assert (root / "a/x").relative_to(root / "a/b/c.txt", walk_up=True) == PurePosixPath("../../x")
    with pytest.raises(ValueError, match="subpath"):
        (root / "a").relative_to(root / "b")


def test_container_whose_descriptor_was_closed_is_opened_again(tmp_path: Path) -> None:
    """Daemons close what they do not know; the number may be another file's by then, which is to stay open."""
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_bytes(b"content")
    other.write_bytes(b"nothing")
    container = ContainerFile(str(file))
    os.close(container._fd)
    assert container.read(0, 7) == b"content"
    fd = os.open(other, os.O_RDONLY)
    os.dup2(fd, container._fd)
    taken = container._fd
    assert container.read(0, 7) == b"content"
    os.dup2(fd, container._fd)
    container.close()
    assert os.read(taken, 7) == b"nothing"
    container = ContainerFile(str(file))
    os.dup2(fd, container._fd)
    file.unlink()
    with pytest.raises(archimport.StoreUnavailable, match="descriptor was closed"):
        container.read(0, 7)
    os.close(fd)


def test_container_is_no_standard_stream() -> None:
    code = f"from archimport.runtime.file import ContainerFile\nprint(ContainerFile({__file__!r})._fd > 2)"
    command = f"exec {shlex.join([sys.executable, '-c', code])} 0<&- 2>&-"
    done = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"True\n"


@pytest.mark.parametrize(
    "names",
    [["a.py", "a.py"], ["a", "a/b.py"], ["../x"], ["a/", "a/"]],
    ids=["twice", "both", "outside", "folder-twice"],
)
def test_index_has_one_meaning(names: list[str]) -> None:
    entries = [archimport.Entry(name.rstrip("/"), is_dir=name.endswith("/")) for name in names]
    with pytest.raises(archimport.FormatError):
        archimport.MemberIndex(entries)


def test_index_implies_folders() -> None:
    index = archimport.MemberIndex([archimport.Entry("a/b/c.py"), archimport.Entry("a/b", is_dir=True)])
    assert index.list("") == ["a"] and index.list("a/b") == ["c.py"] and index.list("absent") == []
    assert all((entry := index.lookup(folder)) is not None and entry.is_dir for folder in ("", "a", "a/b"))


def test_collections_are_held_back_for_a_while() -> None:
    """What is made meanwhile is old afterwards, thresholds are as they were, and nobody's own are changed."""
    before = gc.get_threshold()
    collections = sum(generation["collections"] for generation in gc.get_stats())
    with HeldBack():
        made = [[] for _ in range(20 * before[0])]
        assert sum(generation["collections"] for generation in gc.get_stats()) == collections
        assert gc.isenabled()
    assert gc.get_threshold() == before
    if sys.version_info < (3, 14):  # a collector in steps has no such generations
        assert any(made[0] is old for old in gc.get_objects(generation=2))
    with HeldBack():
        gc.set_threshold(*before[:2], 77)
    assert gc.get_threshold() == (*before[:2], 77)
    gc.set_threshold(*before)


def test_programs_that_collect_never_or_rarely_go_on_so() -> None:
    before = gc.get_threshold()
    try:
        for threshold in (0, 1_000_000):
            gc.set_threshold(threshold, *before[1:])
            with HeldBack():
                assert gc.get_threshold()[0] == threshold
            assert gc.get_threshold()[0] == threshold
    finally:
        gc.set_threshold(*before)


def test_what_was_frozen_before_stays_frozen() -> None:
    gc.freeze()
    try:
        with HeldBack():
            pass
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


def test_frozen_objects_of_a_program_stay_frozen() -> None:
    with HeldBack():
        gc.freeze()
    try:
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
