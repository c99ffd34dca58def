"""A member that is odd is named, and refused when it is asked for; the others are read as ever."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_zips import FILES, ODD, unicode_path, with_mode, with_raw_name, zipped

import archimport
from archimport.zip import ZipStore


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, str]:
    make, name, reason = ODD[request.param]
    path = tmp_path / "x.zip"
    path.write_bytes(make())
    return str(path), name, reason


def test_odd_member_is_refused_alone(odd: tuple[str, str, str]) -> None:
    path, name, reason = odd
    store = ZipStore(path)
    (entry,) = store.odd()
    assert entry.path == name and not entry.is_dir
    for refused in (entry, store.lookup(name) if name else entry):  # no name is the root's
        assert refused is entry
        with pytest.raises((archimport.FormatError, archimport.LimitError), match=reason) as caught:
            store.read(refused)
        assert caught.value.store == path and caught.value.member is not None
        assert caught.value.member[:40] == name[:40]
    assert {entry.path: store.read(entry) for entry in store.walk()} == FILES
    assert list(store.verify()) == ["2 files"]
    assert (store.describe()["members"], store.describe()["odd"]) in ((2, 1), (3, 1))
    with archimport.mount(path):
        assert importlib.import_module("pkg").x == 1


def test_odd_member_answers_for_no_other_name(odd: tuple[str, str, str]) -> None:
    path, name, _ = odd
    store = ZipStore(path)
    for other in {name.replace("\\", "/"), os.path.normpath(name or "x"), name.strip("/"), "odd.py", "odd"} - {
        name,
        "",
    }:
        found = store.lookup(other)
        assert found is None or found.is_dir or other in FILES, other


def test_commands_name_odd_members(odd: tuple[str, str, str], tmp_path: Path) -> None:
    """Nothing is lost in silence, and nothing is called damaged."""
    path, name, reason = odd
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)

    def archimport(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "archimport", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    (line,) = [line for line in archimport("ls", path).stdout.splitlines() if "(odd: " in line]
    assert line.startswith(shown) and reason in line
    (row,) = [row for row in json.loads(archimport("ls", "--json", path).stdout) if "problem" in row]
    assert row["path"] == name and reason in row["problem"]
    assert line in archimport("verify", path).stdout.splitlines()
    assert line in json.loads(archimport("verify", "--json", path).stdout)[path]


def test_extract_writes_what_it_can_and_nothing_outside(odd: tuple[str, str, str], tmp_path: Path) -> None:
    """A name that no file can have is refused, as other names that not every file system takes; nothing is written."""
    path, name, reason = odd
    command = [sys.executable, "-m", "archimport", "extract", path, "-o", "out/inner"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    if done.returncode == 0:
        assert re.search(rf"skipped: .*  \(odd: .*{reason}", done.stderr)
        assert written == {"x.zip", *(f"out/inner/{file}" for file in FILES)}
    else:
        assert name not in ("odd.py", "pkg/odd") and "error: member name cannot be a file's" in done.stderr
        assert written == {"x.zip"}


@pytest.mark.parametrize("name", ["odd", "odd.py", "odd/__init__.py"])
def test_import_of_an_odd_member_is_an_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the next path entry: a directory would have followed the link."""
    path = tmp_path / "x.zip"
    path.write_bytes(with_mode(0o120777, name))
    (tmp_path / "odd.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with archimport.mount(path):
        with pytest.raises(archimport.FormatError, match="symbolic link"):
            importlib.import_module("odd")
        with pytest.raises(archimport.FormatError, match="symbolic link"):
            importlib.import_module("odd.sub")


def test_link_beside_a_module(tmp_path: Path) -> None:
    """A command that is a link to its script: a directory takes the script, which is a module."""
    path = tmp_path / "x.zip"
    link = zipfile.ZipInfo("tool")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    path.write_bytes(zipped([(link, b"tool.py"), ("tool.py", b"x = 2\n")]))
    with archimport.mount(path):
        assert importlib.import_module("tool").x == 2


def test_bytecode_that_is_odd_is_passed_over(tmp_path: Path) -> None:
    from archimport.runtime.bytecode import cached_member

    path = tmp_path / "x.zip"
    path.write_bytes(with_mode(0o120777, cached_member("pkg/__init__.py") or ""))
    with archimport.mount(path):
        assert importlib.import_module("pkg").x == 1


NAMES: dict[str, tuple[Callable[[], bytes], str]] = {
    "UTF-8 without the flag, as Info-ZIP writes": (lambda: with_raw_name("café.txt".encode()), "café.txt"),
    "decomposed, as macOS writes": (lambda: with_raw_name("cafe\u0301.txt".encode()), "cafe\u0301.txt"),
    "UTF-8 with the flag": (lambda: with_raw_name("あ.txt".encode(), flags=0x800), "あ.txt"),
    "code page 437": (lambda: with_raw_name("café.txt".encode("cp437")), "café.txt"),
    "Latin-1 that says nothing": (lambda: with_raw_name(b"caf\xe9.txt"), "cafΘ.txt"),
    "Latin-1 with a Unicode path": (
        lambda: with_raw_name(b"caf\xe9.txt", unicode_path(b"caf\xe9.txt", "café.txt")),
        "café.txt",
    ),
    "Unicode path that says the same": (
        lambda: with_raw_name("café.txt".encode(), unicode_path("café.txt".encode(), "café.txt")),
        "café.txt",
    ),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names(kind: str, tmp_path: Path) -> None:
    make, name = NAMES[kind]
    path = tmp_path / "x.zip"
    path.write_bytes(make())
    store = ZipStore(str(path))
    entry = store.lookup(name)
    assert entry is not None and store.read(entry) == b"odd"
    assert not store.odd() and name in store.list("")


def test_stale_unicode_path_is_another_name(tmp_path: Path) -> None:
    """A tool that knows nothing of the field changed the name: readers differ in whether they look at its checksum."""
    path = tmp_path / "x.zip"
    path.write_bytes(with_raw_name(b"caf\xe9.txt", unicode_path(b"caf\xe9.txt", "café.txt", crc=1)))
    (entry,) = ZipStore(str(path)).odd()
    assert entry.path == "cafΘ.txt"


def forged(content: bytes, crc: int) -> bytes:
    """Give other bytes of the same length and CRC-32: four bytes at the end are enough."""
    value = crc ^ 0xFFFFFFFF
    for _ in range(4):
        number = next(number for number in range(256) if (_entry(number) >> 24) == value >> 24)
        value = ((value ^ _entry(number)) << 8 | number) & 0xFFFFFFFF
    state = zlib.crc32(content[:-4]) ^ 0xFFFFFFFF
    return content[:-4] + (state ^ value).to_bytes(4, "little")


def _entry(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (0xEDB88320 if number & 1 else 0)
    return number


def twice(tmp_path: Path, second: bytes, method: int = zipfile.ZIP_STORED) -> ZipStore:
    info = zipfile.ZipInfo("pkg/data.txt")
    info.compress_type = method
    path = tmp_path / "x.zip"
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(zipped([*FILES.items(), (info, second)]))
    return ZipStore(str(path))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_name_twice_with_the_same_content(method: int, tmp_path: Path) -> None:
    store = twice(tmp_path, FILES["pkg/data.txt"], method)
    assert store.list("pkg") == ["__init__.py", "data.txt"]
    assert {entry.path: store.read(entry) for entry in store.walk()} == FILES


def test_name_twice_with_different_content(tmp_path: Path) -> None:
    content = FILES["pkg/data.txt"]
    same_checksum = forged(b"HELLO" + content[5:], zlib.crc32(content))
    assert zlib.crc32(same_checksum) == zlib.crc32(content) and len(same_checksum) == len(content)
    for second in (b"other", same_checksum):
        with pytest.raises(archimport.FormatError, match="member occurs twice"):
            twice(tmp_path, second)


def test_directory_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(zipped([("d/", b""), ("d/x", b""), ("d/", b"")]))
    assert ZipStore(str(path)).list("") == ["d"]


def test_two_names_that_are_one_when_decoded(tmp_path: Path) -> None:
    """é in code page 437 and in UTF-8: whichever were taken, another reader takes the other."""
    path = tmp_path / "x.zip"
    data = zipped([("NN1234.py", b"x = 1"), ("N1234.py", b"x = 2")])
    path.write_bytes(data.replace(b"NN1234", "é1234".encode()).replace(b"N1234", "é1234".encode("cp437")))
    with pytest.raises(archimport.FormatError, match="member occurs twice"):
        ZipStore(str(path))


def test_normal_member_and_odd_one_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    link = zipfile.ZipInfo("pkg/data.txt")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(zipped([*FILES.items(), (link, FILES["pkg/data.txt"])]))
    with pytest.raises(archimport.FormatError, match="member occurs twice"):
        ZipStore(str(path))


@pytest.mark.skipif(shutil.which("git") is None, reason="git archives")
def test_archive_of_git(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "pkg").mkdir(parents=True)
    (tree / "pkg" / "__init__.py").write_text("x = 1\n")
    (tree / "README.md").write_text("about")
    (tree / "alias").symlink_to("pkg")
    git = ["git", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for step in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a"], ["archive", "-o", f"{tmp_path}/x.zip", "HEAD"]):
        subprocess.run([*git, *step], check=True)
    with archimport.mount(tmp_path / "x.zip") as mounted:
        assert importlib.import_module("pkg").x == 1
        assert [entry.path for entry in mounted.store.odd()] == ["alias"]
        with pytest.raises(archimport.FormatError, match="symbolic link"):
            importlib.import_module("alias")


@pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP archives")
def test_archives_of_info_zip(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "pkg").mkdir(parents=True)
    (tree / "pkg" / "__init__.py").write_text("x = 1\n")
    (tree / "pkg" / "café.txt").write_text("a")
    (tree / "pkg" / "Icon\r").write_text("a")
    (tree / "pkg" / "link").symlink_to("café.txt")
    (tree / "secret.py").write_text("x = 1\n")
    for step in (["-qry", "../x.zip", "pkg"], ["-q", "-P", "password", "../x.zip", "secret.py"]):
        subprocess.run(["zip", *step], cwd=tree, check=True)
    with archimport.mount(tmp_path / "x.zip") as mounted:
        assert importlib.import_module("pkg").x == 1
        assert mounted.store.list("pkg") == ["__init__.py", "café.txt", "link"]
        assert [entry.path for entry in mounted.store.odd()] == ["pkg/Icon\r", "pkg/link", "secret.py"]
        with pytest.raises(archimport.FormatError, match="encrypted"):
            importlib.import_module("secret")
