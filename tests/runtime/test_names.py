"""What archimport loads for itself occupies no name of a program: the oracle is a directory at the same place."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from builders import STORES, build_directory

import archimport
from archimport.pack.build import pack

ROOT = str(Path(archimport.__file__).parents[1])
#: Modules of the standard library that are loaded to open a store of some kind, and that the store has itself.
SHADOWED = ["struct", "zlib", "linecache", "datetime", "contextlib", "functools", "sqlite3", "bz2", "lzma"]
TREE = {f"{name}.py": "whose = 'own'\n" for name in SHADOWED}
MAIN = f"def main():\n    print([getattr(__import__(name), 'whose', 'lib') for name in {SHADOWED}])\n"
MOUNT = f"""
import sys
sys.path.append({ROOT!r})
if {{is_store}}:
    import archimport
    archimport.mount(sys.argv[1])
else:
    sys.path.insert(0, sys.argv[1])
import app
app.main()
"""


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-I", "-S", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("kind", ["zip", "bundle", "sqlite"])
def test_modules_of_a_store_named_as_what_opens_it(kind: str, tmp_path: Path) -> None:
    tree = {**TREE, "app.py": MAIN}
    found = run("-c", MOUNT.format(is_store=True), str(STORES[kind](tree, tmp_path / "x")))
    expected = run("-c", MOUNT.format(is_store=False), build_directory(tree, tmp_path / "directory"))
    assert found == expected
    assert "own" in expected


def test_modules_of_a_bundle_named_as_what_starts_it(tmp_path: Path) -> None:
    """But for what the interpreter itself loads to start any archive."""
    with zipfile.ZipFile(tmp_path / "bare.zip", "w") as archive:
        archive.writestr("__main__.py", "import sys\nprint(*sys.modules)\n")
    loaded = [*run(str(tmp_path / "bare.zip")).split(), *sys.builtin_module_names]
    pack([build_directory({**TREE, "app.py": MAIN}, tmp_path / "x")], tmp_path / "x.arc", entry="app:main")
    expected = ["lib" if name in loaded else "own" for name in SHADOWED]
    assert run(str(tmp_path / "x.arc")) == f"{expected}\n"
    assert "own" in expected


@pytest.mark.parametrize("is_there", [True, False], ids=["on the path before", "mounted behind"])
def test_stores_behind_the_standard_library_leave_it_alone(is_there: bool, tmp_path: Path) -> None:
    store = STORES["sqlite"](TREE, tmp_path / "x")
    code = f"""
import sys
sys.path.append({ROOT!r})
if {is_there}:
    sys.path.append(sys.argv[1])
import archimport
archimport.mount(sys.argv[1], position={0 if is_there else 99})
names = [name for name in ("datetime", "sqlite3") if name in sys.modules]
import datetime, sqlite3
print(names, hasattr(datetime, "whose"))
"""
    assert run("-c", code, str(store)) == "['datetime', 'sqlite3'] False\n"


def test_odd_member_named_as_what_opens_the_store(tmp_path: Path) -> None:
    """It is refused when it is imported, not when the archive is mounted."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo("struct.py")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "elsewhere.py")
        archive.writestr("good.py", "print('good')\n")
    code = f"import sys; sys.path.append({ROOT!r}); import archimport; archimport.mount(sys.argv[1]); import good"
    assert run("-c", code, str(tmp_path / "x.zip")) == "good\n"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the interpreter has zstd")
def test_decompressor_leaves_no_package_behind(tmp_path: Path) -> None:
    """An app may have a package `backports` of its own, as backports.tarfile brings it."""
    tree = {"backports": {"__init__.py": "", "tarfile.py": "value = 1\n"}, "app.py": "import backports.tarfile\n"}
    pack([build_directory(tree, tmp_path / "x")], tmp_path / "x.arc", codec="zstd")
    code = """
import sys, archimport
before = {name for name in sys.modules if name.startswith("backports")}
archimport.mount(sys.argv[1])
print({name for name in sys.modules if name.startswith("backports")} - before)
import app
print(sys.modules["backports"].__file__)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.arc"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"set()\n{tmp_path}/x.arc/backports/__init__.py\n", "")
