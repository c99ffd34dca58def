"""`archimport cache`: looking after what is kept between starts."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import build_zip
from trees import write_tree

from archimport.pack.build import pack

OPENS = {
    "opens": {"__init__.py": "X = open(__file__).read()\n", "data.txt": "x" * 1000},
    "more.py": "X = open(__file__).read()\n",
}


def archimport(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archimport", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def use(store: Path, module: str = "opens") -> None:
    """Import from a store in a process of its own."""
    with started(store, module=module) as child:
        assert child.communicate(timeout=60)[0] == "used\n"


def started(*stores: Path, module: str = "opens", then: str = "") -> subprocess.Popen[str]:
    code = f"import sys, archimport; [archimport.mount(s) for s in sys.argv[1:]]; import {module}; print('used', flush=True); {then}"
    command = [sys.executable, "-c", code, *map(str, stores)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def cache() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"], "archimport")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    pack([write_tree(OPENS, tmp_path / "root")], tmp_path / "x.arc")
    return tmp_path / "x.arc"


def test_info(store: Path, cache: Path, tmp_path: Path) -> None:
    assert json.loads(archimport("cache", "info", "--json").stdout) == {"folder": str(cache), "kinds": {}}
    use(store)
    use(Path(build_zip({"compiled_here.py": ""}, tmp_path / "z")), module="compiled_here")
    kinds = json.loads(archimport("cache", "info", "--json").stdout)["kinds"]
    assert kinds.keys() == {"bytecode", "files"}
    assert kinds["files"]["items"] == kinds["bytecode"]["items"] == 1
    assert kinds["files"]["bytes"] > 1000
    assert archimport("cache", "info").stdout.startswith(f"{cache}\nbytecode ")
    assert (cache / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_verify_takes_away_what_is_damaged(store: Path, cache: Path, tmp_path: Path) -> None:
    use(store)
    use(Path(build_zip({"compiled_here.py": ""}, tmp_path / "z")), module="compiled_here")
    whole = archimport("cache", "verify")
    assert (whole.stdout, whole.returncode) == ("2 items are whole\n", 0)
    (data,) = cache.rglob("data.txt")
    (blob,) = (cache / "bytecode").iterdir()
    for path in (data, blob):
        path.write_bytes(b"damaged")
    found = archimport("cache", "verify")
    assert found.returncode == 1
    assert sorted(found.stdout.splitlines()) == sorted(f"{path}: damaged" for path in (data, blob))
    assert found.stderr.startswith("archimport: error: 2 of what the cache held was damaged")
    assert not data.exists() and not blob.exists()
    use(store)
    assert data.read_text() == "x" * 1000


def test_what_was_deleted_by_hand_is_made_again(store: Path, cache: Path) -> None:
    use(store)
    (unit,) = (path for path in (cache / "files").iterdir() if path.is_dir())
    shutil.rmtree(unit)
    use(store)
    (unit / "opens" / "data.txt").unlink()
    found = archimport("cache", "verify")
    assert found.stdout == f"{unit}/opens/data.txt: is not there\n"
    use(store)
    assert (unit / "opens" / "data.txt").read_text() == "x" * 1000


def test_what_is_not_ours_is_left_alone(store: Path, cache: Path) -> None:
    use(store)
    strange = [cache / "mine" / "notes.txt", cache / "bytecode" / "folder" / "x", cache / "files" / ".seed.tmp"]
    for path in strange:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (1, 1))
    (cache / "files" / "link").symlink_to(cache / "mine")
    for command in ("info", "verify", "gc", "clear"):
        done = archimport("cache", command)
        assert done.returncode == 0, done.stderr
    assert [path.read_text() for path in strange] == ["mine"] * 3


def test_gc_keeps_what_was_used_last(tmp_path: Path, cache: Path) -> None:
    stores = []
    for number in range(3):
        tree = {"opens": {"__init__.py": f"X = open(__file__).read()\n# {number}\n", "data.txt": "x" * 100_000}}
        stores.append(tmp_path / f"{number}.arc")
        pack([write_tree(tree, tmp_path / f"root{number}")], stores[-1])
        use(stores[-1])
    units = [path for path in (cache / "files").iterdir() if path.is_dir()]
    by_number = {
        next(line for line in (unit / "opens/__init__.py").read_text().splitlines() if line[0] == "#"): unit
        for unit in units
    }
    for age, number in enumerate((1, 2, 0)):
        for path in [
            by_number[f"# {number}"],
            *by_number[f"# {number}"].rglob("*"),
            *cache.glob(f"files/{by_number[f'# {number}'].name}.*"),
        ]:
            os.utime(path, (1_700_000_000 + age, 1_700_000_000 + age))
    done = archimport("cache", "gc", "--max-size", "250K")
    assert done.stdout.startswith("0.10 MB deleted, 0.20 MB kept"), done.stderr
    assert [by_number[f"# {number}"].exists() for number in range(3)] == [True, False, True]
    assert not list(cache.glob(f"files/{by_number['# 1'].name}*"))


def test_clear_leaves_what_a_program_uses(store: Path, cache: Path) -> None:
    child = started(
        store, then="sys.stdin.read(); import opens.__init__; print(open(opens.__path__[0] + '/data.txt').read()[:2])"
    )
    assert child.stdout is not None and child.stdout.readline() == "used\n"
    assert archimport("cache", "clear").returncode == 0
    assert list(cache.rglob("data.txt"))
    assert child.communicate("", timeout=60)[0] == "xx\n"
    assert archimport("cache", "clear").returncode == 0
    assert list(cache.rglob("data.txt")) == []
    use(store)


def test_starts_while_the_cache_is_cleared_again_and_again(store: Path) -> None:
    for _ in range(5):
        children = [started(store) for _ in range(4)]
        assert archimport("cache", "clear").returncode == 0
        assert [child.communicate(timeout=60)[0] for child in children] == ["used\n"] * 4


def test_orphans_are_swept_after_an_hour(store: Path, cache: Path) -> None:
    use(store)
    old, new = cache / "files" / ".archimport.1.0123456789ab.tmp", cache / "files" / ".archimport.2.0123456789cd.tmp"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    assert archimport("cache", "gc").returncode == 0
    assert not old.exists() and new.exists()


@pytest.mark.parametrize("command", ["info", "verify", "gc", "clear"])
def test_cache_that_is_not_ours(command: str, cache: Path) -> None:
    (cache / "files").mkdir(parents=True)
    cache.chmod(0o777)
    done = archimport("cache", command)
    assert done.returncode == 1
    assert done.stderr == f"archimport: error: the cache folder cannot be used: '{cache}' may be written by others\n"


@pytest.mark.parametrize("exists", [True, False])
def test_cache_below_a_directory_that_others_may_write(exists: bool, cache: Path, store: Path) -> None:
    """What a program does instead is said once, and `cache info` says what to do."""
    if exists:
        (cache / "files").mkdir(parents=True, mode=0o700)
    cache.parent.chmod(0o777)
    why = f"'{cache.parent}' may be written by others (chmod go-w '{cache.parent}')"
    done = archimport("cache", "info")
    assert (done.returncode, done.stderr) == (1, f"archimport: error: the cache folder cannot be used: {why}\n")
    command = [sys.executable, "-c", "import archimport, sys; archimport.mount(sys.argv[1]); import opens, more", store]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert said.count("RuntimeWarning: the cache") == 1
    assert f"RuntimeWarning: the cache is not used, each start extracts again: {why}\n" in said


@pytest.mark.parametrize("size", ["x", "-1", "1.5G", ""])
def test_sizes_that_are_none(size: str) -> None:
    done = archimport("cache", "gc", "--max-size", size)
    assert done.returncode == 2
    assert "write 500M or 2G" in done.stderr


MODES = {
    "by time": py_compile.PycInvalidationMode.TIMESTAMP,
    "by checked hash": py_compile.PycInvalidationMode.CHECKED_HASH,
}


def bytecode_of(cache: Path) -> Path:
    (source,) = cache.rglob("opens/__init__.py")
    return Path(importlib.util.cache_from_source(str(source)))


@pytest.mark.parametrize("mode", MODES)
def test_bytecode_that_python_wrote_anew_is_no_damage(store: Path, cache: Path, mode: str) -> None:
    use(store)
    pyc = bytecode_of(cache)
    packed = pyc.read_bytes()
    py_compile.compile(str(pyc.parents[1] / "__init__.py"), str(pyc), invalidation_mode=MODES[mode])
    assert pyc.read_bytes() != packed
    done = archimport("cache", "verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == f"{pyc}: written anew by Python; the packed one comes back with the next start\n1 items are whole\n"
    )
    use(store)
    assert pyc.read_bytes() == packed
    assert archimport("cache", "verify").stdout == "1 items are whole\n"


def test_bytecode_of_another_python_is_no_damage(store: Path, cache: Path) -> None:
    """One with the same tag, as those have that come before a release."""
    use(store)
    pyc = bytecode_of(cache)
    pyc.write_bytes(b"\x99\x0d\r\n" + bytes(12) + b"code")
    pyc.with_name("__init__.cpython-399.pyc").write_bytes(b"not in the list")
    done = archimport("cache", "verify")
    assert (done.returncode, "written anew by Python" in done.stdout) == (0, True)


@pytest.mark.parametrize("damage", [b"", b"\x99\x0d\r\n", None])
def test_bytecode_that_is_damaged(store: Path, cache: Path, damage: bytes | None) -> None:
    use(store)
    pyc = bytecode_of(cache)
    pyc.write_bytes(pyc.read_bytes()[:-1] if damage is None else damage)
    done = archimport("cache", "verify")
    assert (done.returncode, done.stdout) == (1, f"{pyc}: damaged\n")


@pytest.mark.parametrize("kind", ["file", "directory", "link", "link above"])
def test_other_things_in_the_place_of_a_file_or_directory(store: Path, cache: Path, kind: str, tmp_path: Path) -> None:
    use(store)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.txt").touch()
    (data,) = cache.rglob("data.txt")
    if kind == "file":
        data.unlink()
        data.mkdir()
        (data / "x").touch()
    elif kind == "link":
        data.unlink()
        data.symlink_to(tmp_path / "mine")
    else:
        shutil.rmtree(data.parent)
        data.parent.touch() if kind == "directory" else data.parent.symlink_to(tmp_path / "mine")
    assert archimport("cache", "verify").returncode == 1
    use(store)
    assert data.read_text() == "x" * 1000
    assert (tmp_path / "mine" / "data.txt").exists()
