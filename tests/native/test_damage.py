"""Extracted packages whose files were lost or damaged since: the next start is one with an empty cache."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from trees import Tree, write_tree

import archimport
from archimport.pack.build import pack

SHARED = Path(sysconfig.get_config_var("DESTSHARED") or "/nowhere")
NATIVE = [path for path in SHARED.glob("xxlimited*") if path.name.endswith(tuple(EXTENSION_SUFFIXES))]
TREE: Tree = {
    "app.py": "from opens.sub import mod\ndef main():\n    print(mod.report())\n",
    "opens": {
        "__init__.py": "import os\nHERE = os.path.dirname(__file__)\nTEXT = open(os.path.join(HERE, 'data.txt')).read()\n",
        "data.txt": "by path, " * 9,
        "deep": {"down": {"page.html": "<p>page</p>"}},
        "sub": {
            "__init__.py": "",
            "mod.py": "import os, opens, inspect\n"
            "def report():\n"
            "    page = open(os.path.join(opens.HERE, 'deep', 'down', 'page.html')).read()\n"
            "    return opens.TEXT, page, len(inspect.getsource(report))\n",
        },
    },
}


@pytest.fixture
def cache() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"], "archimport")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    tree = {**TREE, "opens": {**TREE["opens"]}}
    if NATIVE:
        tree["opens"][NATIVE[0].name] = NATIVE[0].read_bytes()
        name = NATIVE[0].name.partition(".")[0]
        tree["app.py"] = f"import opens.{name} as native\n{TREE['app.py']}    print(native.__name__)\n"
    pack([write_tree(tree, tmp_path / "root")], tmp_path / "app.arc", entry="app:main")
    return tmp_path / "app.arc"


def start(app: Path, warning: str = "") -> str:
    """Return what a start prints; it has to succeed without a word on stderr but that warning."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-I", app]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept, timeout=600)
    assert done.returncode == 0, done.stderr
    assert warning in done.stderr if warning else done.stderr == ""
    return done.stdout


def unit_of(cache: Path) -> Path:
    (unit,) = (path for path in (cache / "files").iterdir() if path.is_dir())
    return unit


def lose(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


FILES = [
    "opens/data.txt",
    "opens/deep/down/page.html",
    "opens/__init__.py",
    "opens/sub/mod.py",
    importlib.util.cache_from_source("opens/__init__.py"),
    importlib.util.cache_from_source("opens/sub/mod.py"),
    *(f"opens/{path.name}" for path in NATIVE[:1]),
]
DIRECTORIES = ["", "opens", "opens/deep", "opens/deep/down", "opens/sub", "opens/sub/__pycache__"]


def start_as_before(app: Path, damage: Callable[[], object]) -> None:
    """Damage the cache after a start; the next one and the one after it are as the first."""
    first = start(app)
    damage()
    assert [start(app), start(app)] == [first, first]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", [lose, empty, cut])
def test_file_that_is_damaged(app: Path, cache: Path, file: str, damage: Callable[[Path], None]) -> None:
    start_as_before(app, lambda: damage(unit_of(cache) / file))


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_directory_that_is_lost(app: Path, cache: Path, directory: str) -> None:
    start_as_before(app, lambda: lose(unit_of(cache) / directory))


@pytest.mark.parametrize("damage", [lose, empty, cut])
@pytest.mark.parametrize("note", [".list", ".complete", ".sizes"])
def test_note_that_is_damaged(app: Path, cache: Path, note: str, damage: Callable[[Path], None]) -> None:
    def both() -> None:
        unit = unit_of(cache)
        damage(Path(f"{unit}{note}"))
        empty(unit / "opens" / "data.txt")

    start_as_before(app, both)


@pytest.mark.parametrize("age", ["-atime", "-mtime"])
def test_cleaner_that_deletes_by_age(app: Path, cache: Path, age: str) -> None:
    """Of an app that is used each day: its modules are read from bytecode, so that nothing reads the sources."""

    def clean() -> None:
        for path in cache.rglob("*"):
            if path.suffix in (".py", ".html", ".list"):
                os.utime(path, (1_700_000_000, 1_700_000_000))
        subprocess.run(["find", cache, "-type", "f", age, "+30", "-delete"], check=True)
        assert not list(cache.rglob("mod.py"))

    start_as_before(app, clean)


def test_first_start_in_a_directory_that_was_deleted(app: Path, tmp_path: Path) -> None:
    for command in ([app], ["-m", "archimport", "run", app], ["-m", "archimport", "extract", app, tmp_path / "out"]):
        gone = tmp_path / "gone"
        gone.mkdir()
        script = 'cd "$0" && rmdir "$0" && exec "$@"'
        done = subprocess.run(
            ["sh", "-c", script, gone, sys.executable, *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_whole_cache_that_is_lost(app: Path, cache: Path) -> None:
    start_as_before(app, lambda: lose(cache))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_directory_of_somebody_else_is_not_used(app: Path, cache: Path) -> None:
    first = start(app)
    unit = unit_of(cache)
    (unit / "opens" / "data.txt").write_text("planted!!" * 9)
    os.chown(unit, 65534, -1)
    for _ in range(2):
        assert start(app, f"{str(unit)!r} belongs to another user") == first


@pytest.mark.skipif(not NATIVE, reason="this interpreter has no extension modules in files")
@pytest.mark.parametrize("is_executable", [True, False])
def test_extension_module_of_an_extracted_package_without_a_cache(
    app: Path, tmp_path: Path, is_executable: bool
) -> None:
    """It is a file, which stays when the program closes descriptors; a link to memory where no file is executed."""
    (tmp_path / "nothing").touch()
    name = NATIVE[0].name.partition(".")[0]
    code = f"""
import os, sys, types
sys.path.insert(0, {str(Path(archimport.__file__).parents[1])!r})
if not {is_executable}:
    os.statvfs = lambda path: types.SimpleNamespace(f_flag=os.ST_NOEXEC)
import archimport
archimport.mount({str(app)!r})
import opens
if {is_executable}:
    os.closerange(3, 256)
import opens.{name} as module
print(os.path.islink(module.__file__))
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "nothing")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == f"{not is_executable}\n", done.stderr


def with_many_files(tmp_path: Path) -> Path:
    """Pack an app with more files than each start looks at; it imports one when it has started."""
    tree = {
        "app.py": "import opens\ndef main():\n    import opens.late\n    print(opens.TEXT, opens.late.X)\n",
        "opens": {
            **TREE["opens"],
            "late.py": "X = 2\n",
            "many": {f"{number}.txt": "" for number in range(1000)},
        },
    }
    pack([write_tree(tree, tmp_path / "root")], tmp_path / "app.arc", entry="app:main")
    return tmp_path / "app.arc"


def test_start_after_one_that_failed_verifies_all_files(tmp_path: Path, cache: Path) -> None:
    app = with_many_files(tmp_path)
    first = start(app)
    cut(unit_of(cache) / importlib.util.cache_from_source("opens/late.py"))
    with pytest.raises(AssertionError, match="too short"):
        start(app)
    assert [start(app), start(app)] == [first, first]


def test_cleaner_that_deletes_by_age_from_many_files(tmp_path: Path, cache: Path) -> None:
    app = with_many_files(tmp_path)

    def clean() -> None:
        lose(Path(f"{unit_of(cache)}.list"))
        lose(unit_of(cache) / "opens" / "late.py")

    start_as_before(app, clean)


def test_many_files_are_looked_at_once_a_day(tmp_path: Path, cache: Path) -> None:
    app = with_many_files(tmp_path)
    first = start(app)
    note = Path(f"{unit_of(cache)}.sizes")
    empty(unit_of(cache) / "opens" / "data.txt")
    assert start(app) == " 2\n"
    os.utime(note, (note.stat().st_mtime - 86400,) * 2)
    assert [start(app), start(app)] == [first, first]
    os.utime(note, (note.stat().st_mtime - 86400,) * 2)
    before = note.stat().st_mtime
    assert start(app) == first
    assert note.stat().st_mtime > before
