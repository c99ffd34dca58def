"""Processes that die at any moment leave the old file or the new one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import build_zip
from needs import STRACE
from trees import write_tree

from archimport.bundle.store import BundleStore

WRITE = """
import sys
from archimport.bundle.writer import Member, write_bundle
contents = [bytes([n]) * 50_000 for n in range(20)]  # no two alike: more than three writes, however files are buffered
members = [Member(f"m{n}.py", lambda raw=raw: raw, codec="stored") for n, raw in enumerate(contents)]
write_bundle(sys.argv[1], members, meta={}, tail={"__main__.py": b""})
"""
WRITE_ZIP = """
import sys
from archimport.zip import ZipStore
ZipStore(sys.argv[1], writable=True).write("new.txt", b"new" * 10_000)
"""


pytestmark = STRACE


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize("fault", ["error=ENOSPC", "error=EIO", "signal=KILL"])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_bundle_is_old_or_new(tmp_path: Path, call: str, fault: str, when: int) -> None:
    path = tmp_path / "x.arc"
    subprocess.run([sys.executable, "-c", WRITE.replace("range(20)", "range(2)"), path], check=True)
    before = path.read_bytes()
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:{fault}:when={when}+"]
    done = subprocess.run([*command, sys.executable, "-B", "-c", WRITE, path], capture_output=True, check=False)
    if path.read_bytes() == before:
        assert done.returncode != 0
    else:  # the call that fails comes after the rename: making the folder durable, or printing
        assert (call, when) in {("fsync", 2), ("fsync", 3), ("rename", 2), ("rename", 3)}
        store = BundleStore(str(path))
        assert len(list(store.walk())) == 20
        assert list(store.verify())
    if "KILL" not in fault:
        assert list(tmp_path.iterdir()) == [path]


def test_killed_writer_leaves_a_whole_zip(tmp_path: Path) -> None:
    path = Path(build_zip({"a.txt": "a"}, tmp_path / "x"))
    before = path.read_bytes()
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=rename:signal=KILL:when=1"]
    done = subprocess.run([*command, sys.executable, "-B", "-c", WRITE_ZIP, path], capture_output=True, check=False)
    assert done.returncode != 0
    assert path.read_bytes() == before


def test_killed_pack_keeps_the_old_output(tmp_path: Path) -> None:
    root = write_tree({"m.py": "x = 1\n"}, tmp_path / "root")
    scratch = tmp_path / "scratch"  # where a killed process leaves what it was at
    scratch.mkdir()
    out = tmp_path / "x.arc"
    out.write_bytes(b"old")
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=rename:signal=KILL:when=1"]
    program = [sys.executable, "-B", "-m", "archimport", "pack", str(root), "-o", str(out)]
    done = subprocess.run(
        [*command, *program], capture_output=True, check=False, env={**os.environ, "TMPDIR": str(scratch)}
    )
    assert done.returncode != 0
    assert out.read_bytes() == b"old"


@pytest.mark.parametrize("fault", ["unlinkat:error=EIO:when=1+", "rmdir:error=EIO:when=1+", "fsync:error=EIO:when=2+"])  # fmt: skip
def test_what_fails_after_the_output_is_in_place_is_no_failure(fault: str, tmp_path: Path) -> None:
    root, out = write_tree({"m.py": "x = 1\n"}, tmp_path / "root"), tmp_path / "x.arc"
    program = [sys.executable, "-B", "-m", "archimport", "pack", str(root), "-o", str(out)]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}"]
    environment = {**os.environ, "TMPDIR": str(write_tree({}, tmp_path / "temporary"))}
    done = subprocess.run([*command, *program], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(BundleStore(str(out)).verify())


@pytest.mark.parametrize("fault", ["unlink", "fsync", "fdatasync", "pwrite64"])
@pytest.mark.parametrize("when", [1, 2, 3, 4])
def test_publish_says_what_it_did(fault: str, when: int, tmp_path: Path) -> None:
    root, out = write_tree({"m.py": "x = 1\n"}, tmp_path / "root"), tmp_path / "x.db"
    program = [sys.executable, "-B", "-m", "archimport", "publish", str(out), str(root)]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(out), "-P", f"{out}-journal"]
    inject = ["-P", str(tmp_path), "-e", f"inject={fault}:error=EIO:when={when}"]
    done = subprocess.run([*command, *inject, *program], capture_output=True, text=True, check=False)
    look = [sys.executable, "-m", "archimport", "ls", str(out)]
    there = subprocess.run(look, capture_output=True, text=True, check=False).stdout
    assert (done.returncode == 0) == ("m.py" in there), done.stderr
    assert done.stderr.count("\n") == done.returncode
    assert not Path(f"{out}-journal").exists()


def test_killed_publish_leaves_nothing_that_the_next_one_does_not_take_away(tmp_path: Path) -> None:
    root, out = write_tree({"m.py": "x = 1\n"}, tmp_path / "root"), tmp_path / "x.db"
    program = [sys.executable, "-B", "-m", "archimport", "publish", str(out), str(root)]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(out), "-e", "inject=pwrite64:signal=KILL:when=3"]
    assert subprocess.run([*command, *program], capture_output=True, check=False).returncode != 0
    assert Path(f"{out}-journal").exists()
    subprocess.run(program, capture_output=True, check=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["root", "x.db"]


def test_pack_takes_away_what_a_killed_one_left(tmp_path: Path) -> None:
    root, out = write_tree({"m.py": "x = 1\n"}, tmp_path / "root"), write_tree({}, tmp_path / "out")
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    dead, number = int(gone.stdout), "0123456789ab"
    names = {
        name: out / f".archimport.{name}.{number}.tmp" for name in (f"{dead}", f"{dead}0000000", f"{os.getpid()}", "x")
    }
    for file in names.values():
        file.touch()
        os.utime(file, (0, 0))
    young = out / f".archimport.{dead}.ba9876543210.tmp"
    young.touch()
    program = [sys.executable, "-m", "archimport", "pack", str(root), "-o", str(out / "x.arc")]
    subprocess.run(program, capture_output=True, check=True)
    kept = {file.name for file in out.iterdir()}
    assert kept == {"x.arc", young.name, *(names[name].name for name in (f"{dead}0000000", f"{os.getpid()}", "x"))}
