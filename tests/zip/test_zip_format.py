"""One meaning per archive: a directory that readers may read differently is refused."""

from __future__ import annotations

import importlib
import io
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archimport
from archimport.runtime import codec
from archimport.runtime.file import ContainerFile
from archimport.zip import ZipStore
from archimport.zip.format import read_directory
from archimport.zip.member import METHODS, read_member

ROOT = str(Path(archimport.__file__).parents[1])

FILES = {"pkg/__init__.py": b"x = 1\n", "pkg/data.txt": b"hello hello hello hello " * 20, "top.py": b""}


def archive(
    files: dict[str, bytes] | None = None, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"", prefix: bytes = b""
) -> bytes:
    stream = io.BytesIO()
    stream.write(prefix)
    with zipfile.ZipFile(stream, "w", method) as new:
        for name, content in (FILES if files is None else files).items():
            new.writestr(zipfile.ZipInfo(name), content, method)
        new.comment = comment
    return stream.getvalue()


def read_all(data: bytes) -> dict[str, bytes]:
    """Read an archive from memory with our parser."""

    def read(offset: int, length: int) -> bytes:
        assert offset >= 0 and 0 <= length <= len(data) - offset
        return data[offset : offset + length]

    members = read_directory(read, len(data))
    archimport.MemberIndex(members)  # checks the names
    return {m.path: read_member(m, read(m.offset, m.span)) for m in members if not m.is_dir}


def central(data: bytes) -> int:
    return data.index(b"PK\x01\x02")


def patch(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize("method", [0, 8, 12, 14])
def test_methods(method: int) -> None:
    assert read_all(archive(method=method)) == FILES


def test_zstd_method() -> None:
    if sys.version_info < (3, 14):
        pytest.skip("zipfile writes zstd from Python 3.14")
    assert read_all(archive(method=93)) == FILES


def test_forms_that_are_read() -> None:
    assert read_all(archive({})) == {}
    assert read_all(archive(comment=b"a comment" * 100)) == FILES
    assert read_all(archive(prefix=b"#!/usr/bin/env python3\n")) == FILES
    shifted = b"#!/usr/bin/env python3\n" + archive()
    assert read_all(shifted) == FILES
    with_folder = io.BytesIO()
    with zipfile.ZipFile(with_folder, "w") as new:
        new.writestr("folder/", b"")
        new.writestr("folder/x", b"1")
    assert read_all(with_folder.getvalue()) == {"folder/x": b"1"}


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *args: int) -> int:
        raise OSError("cannot seek")

    def tell(self) -> int:
        raise OSError("cannot tell")


def test_streamed_archive_with_descriptors() -> None:
    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in FILES.items():
            new.writestr(name, content)
    assert read_all(stream.getvalue()) == FILES


def test_streamed_archive_that_says_some_sizes_before() -> None:
    """Info-ZIP into a pipe: a member that is stored as it is has its size in the local header, and no checksum."""
    stream = Unseekable()
    with zipfile.ZipFile(stream, "w") as new:
        new.writestr("m.py", b"x = 1\n")
    data = bytearray(stream.getvalue())
    assert data[14:26] == bytes(12)
    data[22:26] = (6).to_bytes(4, "little")
    assert read_all(bytes(data)) == {"m.py": b"x = 1\n"}
    data[22:26] = (7).to_bytes(4, "little")
    with pytest.raises(archimport.FormatError, match="local header differs"):
        read_all(bytes(data))


def test_streamed_zip64() -> None:
    stream = Unseekable()
    with zipfile.ZipFile(stream, "w") as new, new.open("m.py", "w", force_zip64=True) as member:
        member.write(b"x = 1\n" * 20)
    assert read_all(stream.getvalue()) == {"m.py": b"x = 1\n" * 20}


def test_zip64() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as new:
        for name, content in FILES.items():
            with new.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(content)
    assert read_all(stream.getvalue()) == FILES


def test_many_members(tmp_path: Path) -> None:
    files = {f"d{number % 100}/m{number}.py": b"" for number in range(66_000)}
    data = archive(files, zipfile.ZIP_STORED)
    assert b"PK\x06\x06" in data[-200:]
    assert len(read_all(data)) == 66_000


def central_field(offset: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: patch(data, central(data) + offset, new)


def local_field(offset: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: patch(data, offset, new)


def end_field(offset: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: patch(data, len(data) - 22 + offset, new)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "encrypted": lambda d: patch(patch(d, 6, b"\1"), central(d) + 8, b"\1"),
    "local flags": local_field(6, b"\x02"),
    "local method": local_field(8, b"\0"),
    "local crc": local_field(14, b"\xff\xff\xff\x00"),
    "local stored size": local_field(18, b"\1\0\0\0"),
    "local size": local_field(22, b"\1\0\0\0"),
    "local name": local_field(30, b"P"),
    "local signature": local_field(0, b"PKxx"),
    "central crc": central_field(16, b"\xff\xff\xff\x00"),
    "central size": central_field(24, b"\xff\xff\xff\x00"),
    "central stored size": central_field(20, b"\xff\xff\xff\x00"),
    "central name": central_field(46, b"P"),
    "central signature": central_field(0, b"PKxx"),
    "central method": central_field(10, b"\x63"),
    "central disk": central_field(34, b"\1"),
    "central offset": central_field(42, b"\1"),
    "central offset beyond": central_field(42, b"\xff\xff\xff\x7f"),
    "central name length": central_field(28, b"\xff\xff"),
    "sentinel without 64-bit field": central_field(24, b"\xff\xff\xff\xff"),
    "symbolic link": lambda d: patch(d, central(d) + 38, struct.pack("<L", 0o120777 << 16)),
    "device": lambda d: patch(d, central(d) + 38, struct.pack("<L", 0o60777 << 16)),
    "end count": end_field(10, b"\2\0"),
    "end counts": end_field(8, b"\2\0\2\0"),
    "end size": end_field(12, b"\1\0\0\0"),
    "end offset": end_field(16, b"\1\0\0\0"),
    "end disk": end_field(4, b"\1\0"),
    "end comment length": end_field(20, b"\1\0"),
    "trailing byte": lambda d: d + b"x",
    "trailing zeros": lambda d: d + bytes(70_000),
    "two archives": lambda d: d + d,
    "archive in comment": lambda d: archive(comment=d),
    "junk in front": lambda d: b"junk" + d,
    "executable in front": lambda d: b"\x7fELF" + d,
    "not a zip": lambda d: b"hello",
    "empty file": lambda d: b"",
}


@pytest.mark.parametrize(("at", "length"), [(26, 2), (28, 1)], ids=["name", "extra field"])
def test_lengths_of_a_local_header_that_go_beyond_an_empty_member(at: int, length: int) -> None:
    data = archive({"a": b""})
    assert read_all(data) == {"a": b""}
    with pytest.raises(archimport.FormatError, match="local header differs"):
        read_all(patch(data, at, bytes([length])))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused(damage: str) -> None:
    with pytest.raises(archimport.ArchimportError) as caught:
        read_all(DAMAGES[damage](archive()))
    assert type(caught.value) in (archimport.FormatError, archimport.IntegrityError, archimport.LimitError)


def test_path_that_is_a_file_and_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive({"a": b"", "a/b": b""}))
    with pytest.raises(archimport.FormatError, match="both a file and a folder") as caught:
        ZipStore(str(path))
    assert caught.value.store == str(path)


def test_overlapping_members() -> None:
    data = archive({"a": b"1" * 100, "b": b"2" * 100}, zipfile.ZIP_STORED)
    second = data.index(b"PK\x01\x02", central(data) + 4)
    with pytest.raises(archimport.FormatError, match="overlap"):
        read_all(patch(data, second + 42, b"\x05\0\0\0"))


def test_bomb_is_not_inflated() -> None:
    bomb = archive({"bomb": bytes(50 << 20)})
    small = struct.pack("<L", 1000)
    lying = patch(patch(bomb, 22, small), central(bomb) + 24, small)
    with pytest.raises(archimport.IntegrityError):
        read_all(lying)
    huge = struct.pack("<L", 1 << 29)
    with pytest.raises(archimport.LimitError):
        read_all(patch(patch(bomb, 22, huge), central(bomb) + 24, huge))


def test_every_prefix_is_refused() -> None:
    data = archive()
    for length in range(len(data)):
        with pytest.raises(archimport.ArchimportError):
            read_all(data[:length])


def test_every_flipped_byte_is_refused_or_changes_nothing() -> None:
    """A zip has bytes without meaning (times, versions); no other flip gives other files than before."""
    data = archive()
    for at in range(len(data)):
        flipped = patch(data, at, bytes([data[at] ^ 0xFF]))
        try:
            assert read_all(flipped) == FILES, at
        except archimport.ArchimportError as exc:
            assert type(exc) is not archimport.ArchimportError


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_what_is_accepted_zipfile_reads_the_same(draw: st.DataObject) -> None:
    data = bytearray(archive())
    for at in draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        data[at] = draw.draw(st.integers(0, 255))
    try:
        ours = read_all(bytes(data))
    except archimport.ArchimportError:
        return
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as theirs:
        assert ours == {name: theirs.read(name) for name in theirs.namelist() if not name.endswith("/")}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_anything_else_is_a_typed_error(junk: bytes) -> None:
    with pytest.raises(archimport.ArchimportError):
        read_all(junk + b"PK\x05\x06" + junk)


def test_opened_archive_stays_readable_when_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path))
    old = store.lookup("pkg/__init__.py")
    (tmp_path / "y").write_bytes(archive({"pkg/__init__.py": b"x = 22222222\n"}))
    (tmp_path / "y").replace(path)
    assert old is not None
    assert store.read(old) == FILES["pkg/__init__.py"]
    store.invalidate()
    new = store.lookup("pkg/__init__.py")
    assert new is not None
    assert store.read(new) == b"x = 22222222\n"
    assert store.read(old) == FILES["pkg/__init__.py"]


def test_archive_truncated_while_open(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path))
    entry = store.lookup("pkg/data.txt")
    assert entry is not None
    path.write_bytes(b"")
    with pytest.raises(archimport.StoreChangedError):
        store.read(entry)


def test_archive_written_over_is_read_as_it_is_now(tmp_path: Path) -> None:
    """As `cp` does: the same file with other content. What was found in the old content is looked for in the new."""
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path))
    entries = {name: store.lookup(name) for name in FILES}
    newer = archive({"before": b"x" * 5000, "pkg/__init__.py": b"x = 2\n", "pkg/data.txt": b"other"})
    path.write_bytes(newer[:-1])
    for entry in entries.values():
        with pytest.raises(archimport.StoreChangedError, match="written over while open.*try again") as caught:
            store.read(entry)
        assert caught.value.store == str(path)
    path.write_bytes(newer)
    assert [store.read(entries[name]) for name in ("pkg/__init__.py", "pkg/data.txt")] == [b"x = 2\n", b"other"]
    with pytest.raises(archimport.StoreChangedError, match="no such member now"):
        store.read(entries["top.py"])
    assert store.list("") == ["before", "pkg"]


def test_archive_written_over_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path))
    entry = store.lookup("pkg/data.txt")
    newer = archive({"before": b"", "pkg/data.txt": b"other"}, zipfile.ZIP_STORED)
    path.write_bytes(newer.replace(b"other", b"0ther"))
    with pytest.raises(archimport.StoreChangedError, match="checksum differs"):
        store.read(entry)
    path.unlink()
    with pytest.raises(archimport.FormatError, match="local header is missing"):
        store.read(entry)


def test_damage_of_a_file_that_nobody_wrote_over(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive({"a": b"content"}, zipfile.ZIP_STORED).replace(b"content", b"c0ntent"))
    store = ZipStore(str(path))
    with pytest.raises(archimport.IntegrityError, match="checksum differs") as caught:
        store.read(store.lookup("a"))
    assert type(caught.value) is archimport.IntegrityError


def test_writing_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive(prefix=b"#!/usr/bin/env python3\n", comment=b"about"))
    store = ZipStore(str(path), writable=True)
    store.write("new/file.txt", b"new")
    store.write("top.py", b"changed = 1\n")
    expected = FILES | {"new/file.txt": b"new", "top.py": b"changed = 1\n"}
    assert read_all(path.read_bytes()) == expected
    assert path.read_bytes().startswith(b"#!/usr/bin")
    assert b"about" in path.read_bytes()[-10:]
    for name in ("../x", "/x", "a//b"):
        with pytest.raises(archimport.FormatError):
            store.write(name, b"")


WRITER = """
import sys
from archimport.zip import ZipStore
store = ZipStore(sys.argv[1], writable=True)
for number in range(10):
    store.write(f"{sys.argv[2]}/{number}.txt", b"x")
"""


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive({}))
    children = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"w{number}"]) for number in range(4)]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    assert len(read_all(path.read_bytes())) == 40


def test_reads_are_one_for_each_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path))
    reads: list[int] = []
    original = ContainerFile.read
    monkeypatch.setattr(
        ContainerFile, "read", lambda self, at, length: (reads.append(at), original(self, at, length))[1]
    )
    entry = store.lookup("pkg/data.txt")
    assert entry is not None
    store.read(entry)
    assert len(reads) == 1


def test_methods_have_names() -> None:
    assert {name for name, _ in METHODS.values()} == {"stored", "deflate", "bzip2", "lzma", "zstd"}
    assert zlib.crc32(b"") == 0


def test_extra_field_that_occurs_twice() -> None:
    """The first or the last of two sizes: readers differ, so neither is taken."""
    field = b"\x01\x00\x10\x00" + (6).to_bytes(8, "little") * 2
    data = archive({"a.py": b"x = 1\n"}, zipfile.ZIP_STORED)
    at = central(data)
    row = (
        patch(patch(data[at : at + 46], 20, b"\xff" * 8), 30, len(field * 2).to_bytes(2, "little"))
        + b"a.py"
        + field * 2
    )
    end = data[-22:]
    end = patch(end, 12, len(row).to_bytes(4, "little"))
    with pytest.raises(archimport.FormatError, match="twice"):
        read_all(data[:at] + row + end)


def test_64_bit_locator_that_points_elsewhere() -> None:
    data = archive({f"m{number}": b"" for number in range(66_000)}, zipfile.ZIP_STORED)
    locator = data.rindex(b"PK\x06\x07")
    with pytest.raises(archimport.FormatError, match="64-bit"):
        read_all(patch(data, locator + 8, b"\0\0"))


def test_what_hides_in_a_folder_is_found_by_verify(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as new:
        new.writestr("folder/", b"")
        new.writestr("folder/x", b"1")
    path = tmp_path / "x.zip"
    path.write_bytes(stream.getvalue())
    assert list(ZipStore(str(path)).verify()) == ["1 files"]
    path.write_bytes(patch(stream.getvalue(), 30, b"F"))
    with pytest.raises(archimport.FormatError):
        list(ZipStore(str(path)).verify())


def test_member_whose_stored_size_is_huge(tmp_path: Path) -> None:
    data = archive({"a": b"x" * 100}, zipfile.ZIP_STORED)
    at = central(data)
    huge = (0x7FFFFFFF).to_bytes(4, "little")
    with pytest.raises((archimport.LimitError, archimport.FormatError)):
        read_all(patch(patch(data, at + 20, huge), 18, huge))


@pytest.mark.parametrize("name", ["pkg", "pkg/__init__.py/a"])
def test_write_that_would_give_two_meanings_changes_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path), writable=True)
    with pytest.raises(archimport.FormatError):
        store.write(name, b"x")
    assert path.read_bytes() == archive()
    assert list(tmp_path.iterdir()) == [path]


def test_writing_beside_members_with_64_bit_fields(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as new, new.open(zipfile.ZipInfo("a.txt"), "w", force_zip64=True) as member:
        member.write(b"content")
    path.chmod(0o664)
    ZipStore(str(path), writable=True).write("b.txt", b"more")
    assert read_all(path.read_bytes()) == {"a.txt": b"content", "b.txt": b"more"}
    assert path.stat().st_mode & 0o777 == 0o664


def test_writing_what_cannot_be_rewritten_is_a_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path), writable=True)
    path.write_bytes(b"garbage")
    with pytest.raises(archimport.FormatError):
        store.write("x", b"")


def test_invalidation_while_reading_anew_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive({"one": b""}))
    store = ZipStore(str(path))
    original = ZipStore._look_again

    def slow_look(self: ZipStore) -> None:
        original(self)
        if "three" not in self._opened.index.paths:
            (tmp_path / "y").write_bytes(archive({"three": b""}))
            (tmp_path / "y").replace(path)
            self.invalidate()

    (tmp_path / "y").write_bytes(archive({"two": b""}))
    (tmp_path / "y").replace(path)
    monkeypatch.setattr(ZipStore, "_look_again", slow_look)
    store.invalidate()
    store.list("")
    assert store.list("") == ["three"]


def test_read_after_close(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path))
    entry = store.lookup("top.py")
    store.close()
    assert entry is not None
    with pytest.raises(archimport.StoreUnavailable):
        store.read(entry)


def test_device_error_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive())
    store = ZipStore(str(path))
    entry = store.lookup("pkg/data.txt")

    def fail(*arguments: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("archimport.runtime.file._pread", fail)
    assert entry is not None
    with pytest.raises(archimport.StoreUnavailable, match="Input/output error"):
        store.read(entry)


@pytest.mark.parametrize("name", ["bz2", "lzma"])
def test_interpreter_without_a_codec(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(codec, "_modules", {})
    with pytest.raises(archimport.ConfigError, match="cannot be read by this interpreter"):
        METHODS[{"bz2": 12, "lzma": 14}[name]][1](b"x" * 20, 6)


@pytest.mark.parametrize(("method", "name"), [(zipfile.ZIP_BZIP2, "bz2"), (zipfile.ZIP_LZMA, "lzma")])
def test_archive_that_holds_the_module_that_would_read_it(method: int, name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", method) as writer:
        writer.writestr(f"{name}.py", "raise AssertionError('the wrong one')\n" * 9)
        writer.writestr("mod.py", "value = 1\n" * 99)
    code = f"import sys; sys.path.append({ROOT!r}); import archimport; archimport.mount({str(path)!r}); import mod; print(mod.value)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr


def test_the_only_part_of_what_was_to_be_split(tmp_path: Path) -> None:
    """Info-ZIP's `zip -s` writes the mark of parts first, and counts it in offsets."""
    stream = io.BytesIO()
    stream.write(b"PK\x07\x08")
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("mod.py", "value = 1\n")
    assert read_all(stream.getvalue()) == {"mod.py": b"value = 1\n"}
    (tmp_path / "x.zip").write_bytes(stream.getvalue())
    archimport.mount(tmp_path / "x.zip")
    assert importlib.import_module("mod").value == 1
