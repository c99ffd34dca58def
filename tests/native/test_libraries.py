"""Shared libraries that extension modules need: found when packing, loaded from the cache and from memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from needs import needs
from trees import write_tree

import archimport
from archimport.pack.build import pack
from archimport.pack.elf import read_library
from archimport.pack.libraries import needs_of
from archimport.runtime import memory

ROOT = str(Path(archimport.__file__).parents[1])
COMPILER = shutil.which("cc") or shutil.which("gcc")
HEADER = Path(sysconfig.get_path("include"), "Python.h")
pytestmark = needs(
    "a C compiler and Python.h",
    "install the system's packages, on Linux",
    is_here=COMPILER is not None and HEADER.exists() and sys.platform == "linux",
)
MODULE = """
#include <Python.h>
int one(int);
static PyObject *call(PyObject *self, PyObject *args) { return PyLong_FromLong(one(3)); }
static PyMethodDef methods[] = {{"call", call, METH_NOARGS, 0}, {0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "fast", 0, 0, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModuleDef_Init(&definition); }
"""
ONE = "int two(int); int one(int n) { return n ? 1 + two(n - 1) : 0; }"
TWO = "int one(int); int two(int n) { return n ? 10 + one(n - 1) : 0; }"


def compiled(source: str, target: Path, *options: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [str(COMPILER), "-shared", "-fPIC", "-x", "c", "-", "-o", str(target), *options]
    subprocess.run(command, input=source, text=True, check=True)


@pytest.fixture(scope="module", params=["long names", "short names"])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a tree like that of a repaired wheel: a module, and beside its package two libraries.

    The two need each other. A short name cannot be written over.
    """
    root = tmp_path_factory.mktemp("wheel")
    is_long = request.param == "long names"
    first, second = ("libone-0123456789ab.so.1", "libtwo-0123456789ab.so.1") if is_long else ("libone.so", "libtwo.so")
    libraries, package = root / "acme.libs", root / "acme"
    compiled(TWO, libraries / second, f"-Wl,-soname,{second}")
    compiled(ONE, libraries / first, f"-Wl,-soname,{first}", f"-L{libraries}", f"-l:{second}", "-Wl,-rpath,$ORIGIN")
    compiled(TWO, libraries / second, f"-Wl,-soname,{second}", f"-L{libraries}", f"-l:{first}", "-Wl,-rpath,$ORIGIN")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    search = "-Wl,-rpath,$ORIGIN/../acme.libs"
    compiled(MODULE, package / f"fast{suffix}", f"-I{HEADER.parent}", f"-L{libraries}", f"-l:{first}", search)
    (package / "__init__.py").touch()
    return root


def run(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-c", f"import sys; sys.path.append({ROOT!r})\n{code}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**kept, **environment}, timeout=60)


def test_needs_are_found(wheel: Path) -> None:
    files = {path.relative_to(wheel).as_posix(): path for path in wheel.rglob("*") if path.is_file()}
    needs = {path: [need for _, need in found] for path, found in needs_of(files).items()}
    (module,) = (path for path in needs if path.startswith("acme/"))
    first, second = sorted(path for path in needs if path != module)
    assert needs[module] == [first]
    assert needs[first] == [second]
    assert needs[second] == [first]
    for path, found in needs_of(files).items():
        content = files[path].read_bytes()
        for offset, need in found:
            name = os.path.basename(need).encode() + b"\0"
            assert bool(offset) is (len(name) > memory.SHORTEST_NAME)
            assert not offset or content[offset : offset + len(name)] == name


@pytest.mark.parametrize("suffix", ["arc", "zip", "db"])
@pytest.mark.parametrize("place", ["cache", "memory"])
def test_libraries_are_loaded(wheel: Path, suffix: str, place: str, tmp_path: Path) -> None:
    pack([wheel], tmp_path / f"x.{suffix}")
    (tmp_path / "nothing").touch()
    environment = {"XDG_CACHE_HOME": str(tmp_path / "nothing")} if place == "memory" else {}
    code = """
import archimport, sys
archimport.mount(sys.argv[1])
from acme.fast import call
print(call(), sum("/files/" in line for line in open("/proc/self/maps")) > 0)
"""
    done = run(code, tmp_path / f"x.{suffix}", **environment)
    assert done.stdout == f"12 {place == 'cache'}\n", done.stderr


@pytest.mark.parametrize("when", ["before", "after"])
def test_libraries_of_a_program_that_closes_all_descriptors(wheel: Path, when: str, tmp_path: Path) -> None:
    """Before it loads them from memory, and after."""
    pack([wheel], tmp_path / "x.arc")
    (tmp_path / "nothing").touch()
    code = """
import archimport, os, sys
from archimport.runtime import memory, places, unit
store = archimport.mount(sys.argv[1]).store
if sys.argv[2] == "before":
    (path,) = (path for path in unit.plan_of(store).libraries if path.startswith("acme/"))
    places.library_path(unit.unit_of_library(store, path), path)
    os.closerange(3, 256)
from acme.fast import call
os.closerange(3, 256)
del sys.modules["acme.fast"]
from acme.fast import call
print(call())
"""
    done = run(code, tmp_path / "x.arc", when, XDG_CACHE_HOME=str(tmp_path / "nothing"))
    assert done.stdout == "12\n", done.stderr


def test_only_what_is_needed_is_extracted(wheel: Path, tmp_path: Path) -> None:
    root = shutil.copytree(wheel, tmp_path / "root")
    compiled("int lonely(void) { return 1; }", root / "acme.libs" / "liblonely.so")
    pack([root], tmp_path / "x.arc")
    assert (
        run("import archimport, sys; archimport.mount(sys.argv[1]); import acme.fast", tmp_path / "x.arc").returncode
        == 0
    )
    extracted = {path.name for path in Path(os.environ["XDG_CACHE_HOME"]).rglob("lib*")}
    assert len(extracted) == 2 and "liblonely.so" not in extracted


def test_name_that_is_the_end_of_a_symbols_name_is_left_alone(tmp_path: Path) -> None:
    """Linkers keep one text for a name and for those that it ends: what is written over would change both."""
    name = "libneeded_with_a_long_name"
    compiled("int f(void) { return 1; }", tmp_path / name, f"-Wl,-soname,{name}")
    source = f"int f(void); int prefix_{name}(void) {{ return f(); }}"
    compiled(source, tmp_path / "libuser.so", f"-L{tmp_path}", f"-l:{name}", "-Wl,-O2")
    library = read_library(tmp_path / "libuser.so")
    assert library is not None
    (offset,) = (need.offset for need in library.needs if need.name == name)
    content = (tmp_path / "libuser.so").read_bytes()
    is_shared = content.count(f"{name}\0".encode()) == content.count(f"prefix_{name}\0".encode())
    assert is_shared, "this linker does not share them"
    assert offset == 0


def test_files_that_are_no_libraries(tmp_path: Path) -> None:
    root = write_tree(
        {"a.so": b"", "b.so": b"\x7fELF", "c.so": b"text", "d.so.1": b"\x7fELF" + bytes(100)}, tmp_path / "r"
    )
    files = {path.name: path for path in root.iterdir()}
    assert needs_of(files) == {name: [] for name in files}
