"""Extension modules of every store: from the user's cache, and from memory where nothing may be written."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import pickle
import pkgutil
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from builders import STORES, MemoryStore
from conftest import Place
from needs import STRACE
from trees import write_tree

import archimport
from archimport.bundle.store import PLATFORM, BundleStore
from archimport.pack.build import pack
from archimport.pack.target import THIS_PYTHON
from archimport.runtime import extract, memory, private
from archimport.runtime.digest import digest
from archimport.runtime.unit import Unit

KINDS = ["zip", "bundle", "sqlite"]
ROOT = str(Path(archimport.__file__).parents[1])


@pytest.fixture(scope="module")
def extension() -> Path:
    """Give an extension module of the interpreter that nothing imports and that needs nothing."""
    import sysconfig

    folder = Path(sysconfig.get_config_var("DESTSHARED") or "/nowhere")
    for name in ("xxlimited", "_xxtestfuzz", "xxlimited_35"):
        for suffix in EXTENSION_SUFFIXES:
            if (folder / f"{name}{suffix}").exists():
                return folder / f"{name}{suffix}"
    pytest.skip("this interpreter has no extension modules in files")


@pytest.fixture
def name(extension: Path) -> str:
    return extension.name.partition(".")[0]


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    """Forget what this process knows of caches: each test has another one."""
    yield
    for fd in extract._held.values():
        os.close(fd)
    extract._held.clear()
    extract._verified.clear()
    memory._descriptors.clear()
    private._trusted.clear()


def run(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-c", f"import sys; sys.path.append({ROOT!r})\n{code}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**kept, **environment}, timeout=60)


def cache() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"], "archimport", "files")


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in folder.rglob("*")}


def test_module_looks_as_from_a_folder(place: Place, extension: Path, name: str) -> None:
    entry = place.add({"pkg": {"__init__.py": "", extension.name: extension.read_bytes()}})
    assert [found for _, found, _ in pkgutil.iter_modules([f"{entry}/pkg"])] == [name]
    module = importlib.import_module(f"pkg.{name}")
    loader = module.__loader__
    assert module.__file__ == module.__spec__.origin == loader.get_filename(module.__name__)
    assert module.__file__ == f"{entry}/pkg/{extension.name}"
    assert (module.__package__, module.__spec__.submodule_search_locations) == ("pkg", None)
    assert not loader.is_package(module.__name__)
    assert loader.get_source(module.__name__) is loader.get_code(module.__name__) is None
    assert loader.get_data(module.__file__) == extension.read_bytes()
    assert importlib.reload(module) is module


def test_reload_keeps_the_code_of_an_extension_module_that_changed(tmp_path: Path, extension: Path, name: str) -> None:
    tree = {"pkg": {"__init__.py": "value = 1\n", extension.name: extension.read_bytes()}}
    source = STORES["zip"](tree, tmp_path / "old")
    mounted = archimport.mount(source)
    module = importlib.import_module(f"pkg.{name}")
    changed = {"pkg": {"__init__.py": "value = 2\n", extension.name: extension.read_bytes() + b"\0"}}
    Path(STORES["zip"](changed, tmp_path / "new")).replace(source)
    assert mounted.refresh(reload=True).changed == ("pkg/__init__.py", f"pkg/{extension.name}")
    assert (sys.modules["pkg"].value, sys.modules[f"pkg.{name}"]) == (2, module)


def test_order_of_suffixes(place: Place, extension: Path, name: str) -> None:
    entry = place.add({extension.name: extension.read_bytes(), f"{name}.py": "", f"{name}.abi3.so": b""})
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin == f"{entry}/{extension.name}"


def test_modules_for_other_interpreters_are_passed_over(place: Place, name: str) -> None:
    others = (f"{name}.cpython-399-x86_64-linux-gnu.so", f"{name}.cpython-311-sparc-solaris.so", f"{name}.pyd")
    place.add({"pkg": {"__init__.py": "", **dict.fromkeys(others, b"")}})
    assert importlib.util.find_spec(f"pkg.{name}") is None


def test_package_that_is_an_extension_module(store_place: Place, extension: Path) -> None:
    suffix = extension.name.partition(".")[2]
    store_place.add({"pkg": {f"__init__.{suffix}": extension.read_bytes(), "sub.py": ""}})
    spec = importlib.util.find_spec("pkg")
    assert spec is not None and spec.loader is not None
    assert spec.submodule_search_locations is not None
    assert spec.loader.is_package("pkg")
    with pytest.raises(ImportError, match=f"PyInit_pkg.*pkg/__init__.{suffix}"):
        importlib.import_module("pkg")


def test_what_is_no_library_is_named(store_place: Place, extension: Path, name: str) -> None:
    entry = store_place.add({extension.name: b"no library at all"})
    with pytest.raises(ImportError, match=f"{entry}/{extension.name}") as caught:
        importlib.import_module(name)
    assert (caught.value.name, caught.value.path) == (name, f"{entry}/{extension.name}")


CODE = """
import archimport, importlib, sys
archimport.mount(sys.argv[1])
module = importlib.import_module(sys.argv[2])
print(module.__file__)
print(*{line.split()[-1] for line in open("/proc/self/maps") if sys.argv[2] in line and not line.endswith("(deleted)\\n")})
"""


@pytest.mark.parametrize("kind", KINDS)
def test_second_start_writes_nothing(kind: str, extension: Path, name: str, tmp_path: Path) -> None:
    store = STORES[kind]({extension.name: extension.read_bytes()}, tmp_path / "store")
    first = run(CODE, store, name)
    before = snapshot(cache().parent)
    second = run(CODE, store, name)
    assert first.stdout == second.stdout != "", first.stderr
    assert f"{cache()}/" in first.stdout
    assert snapshot(cache().parent) == before
    assert {path.stat().st_mode & 0o077 for path in cache().rglob("*")} == {0}


@STRACE
@pytest.mark.parametrize("kind", KINDS)
def test_second_start_asks_for_no_file_to_write(kind: str, extension: Path, name: str, tmp_path: Path) -> None:
    store = STORES[kind]({extension.name: extension.read_bytes()}, tmp_path / "store")
    assert run(CODE, store, name).returncode == 0
    trace = tmp_path / "trace"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
    command = [
        "strace",
        "-f",
        "-o",
        trace,
        "-e",
        "trace=openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,utimensat",
    ]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", f"import sys; sys.path.append({ROOT!r})\n{CODE}", store, name],
        env=kept, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout
    asked = trace.read_text().splitlines()
    assert len(asked) > 20
    writing = [line for line in asked if "O_RDONLY" not in line and "+++" not in line and "---" not in line]
    assert [line for line in writing if "/dev/null" not in line] == []


def test_file_system_that_executes_nothing(extension: Path, name: str, tmp_path: Path) -> None:
    store = STORES["zip"]({extension.name: extension.read_bytes()}, tmp_path / "store")
    code = f"import os, types; os.statvfs = lambda path: types.SimpleNamespace(f_flag=os.ST_NOEXEC)\n{CODE}"
    assert run(code, store, name).stdout == f"{store}/{extension.name}\n\n"


def test_disk_that_is_full(extension: Path, name: str, tmp_path: Path) -> None:
    store = STORES["zip"]({extension.name: extension.read_bytes()}, tmp_path / "store")
    code = """
import errno, archimport.runtime.atomic as atomic
def full(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")
atomic.replace_file = full
"""
    done = run(code + CODE, store, name)
    assert done.stdout == f"{store}/{extension.name}\n\n", done.stderr
    assert list(cache().rglob("*.so")) == list(cache().rglob("*.tmp")) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("why", ["no home", "not a folder", "others write"])
def test_from_memory_where_there_is_no_cache(kind: str, why: str, extension: Path, name: str, tmp_path: Path) -> None:
    store = STORES[kind]({extension.name: extension.read_bytes()}, tmp_path / "store")
    place = tmp_path / "cache"
    if why == "not a folder":
        place.touch()
    elif why == "others write":
        place.mkdir()
        place.chmod(0o777)
    done = run(CODE, store, name, XDG_CACHE_HOME=str(place / "deeper" if why == "no home" else place))
    if why == "no home":  # is made
        assert str(place) in done.stdout
    else:
        assert done.stdout == f"{store}/{extension.name}\n\n", done.stderr
        assert list(place.iterdir()) == [] if place.is_dir() else place.read_bytes() == b""


def test_both_reasons_are_given(extension: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delattr(os, "memfd_create", raising=False)
    archimport.mount(STORES["zip"]({extension.name: extension.read_bytes()}, tmp_path / "store"))
    with pytest.raises(archimport.ConfigError) as caught:
        importlib.import_module(name)
    text = str(caught.value)
    assert f"{tmp_path}/cache" in text and "no files in memory" in text and "XDG_CACHE_HOME" in text
    assert text.count("\n") == 0


@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "gone", "a folder", "a link"])
def test_what_is_damaged_in_the_cache_is_made_anew(damage: str, extension: Path, name: str, tmp_path: Path) -> None:
    store = STORES["zip"]({extension.name: extension.read_bytes()}, tmp_path / "store")
    assert run(CODE, store, name).returncode == 0
    (library,) = (path for path in cache().rglob("*.so"))
    content = library.read_bytes()
    if damage == "changed":
        library.write_bytes(content[:-1] + b"!")
    elif damage == "cut":
        os.truncate(library, 100)
    elif damage == "empty":
        os.truncate(library, 0)
    else:
        library.unlink()
        if damage == "a folder":
            library.mkdir()
        elif damage == "a link":
            library.symlink_to(extension)
    done = run(CODE, store, name)
    assert done.returncode == 0, done.stderr
    if damage != "a folder":
        assert library.read_bytes() == content
        assert not library.is_symlink() or damage == "a link"


def test_many_first_starts_at_once(extension: Path, name: str, tmp_path: Path) -> None:
    store = STORES["zip"]({extension.name: extension.read_bytes()}, tmp_path / "store")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [sys.executable, "-c", f"import sys; sys.path.append({ROOT!r})\n{CODE}", store, name]
    children = [  # more at once than a machine has cores
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kept)
        for _ in range(64)
    ]
    said = [child.communicate(timeout=120) for child in children]
    # One that was faster than another may have loaded the file that the other one's took the place of.
    assert {(printed.splitlines()[0], errors) for printed, errors in said} == {(f"{store}/{extension.name}", "")}
    assert [path.read_bytes() for path in cache().rglob("*.so")] == [extension.read_bytes()]
    assert list(cache().rglob("*.tmp")) == []


def test_killed_at_any_moment(extension: Path, name: str, tmp_path: Path) -> None:
    """The process is killed at the first thing it asks of the system while it extracts, then at the second, and so on."""
    store = STORES["zip"]({extension.name: extension.read_bytes()}, tmp_path / "store")
    dying = """
import os, signal, sys
left = [int(sys.argv[3])]
def audit(event, arguments):
    if event == "archimport.load":
        left.append("begun")
    if len(left) > 1 and event in ("open", "os.mkdir", "os.rename", "os.remove", "import"):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
"""
    for moment in range(60):
        shutil.rmtree(cache().parent, ignore_errors=True)
        done = run(dying + CODE, store, name, moment)
        again = run(CODE, store, name)
        assert again.returncode == 0, again.stderr
        assert [path.read_bytes() for path in cache().rglob("*.so")] == [extension.read_bytes()]
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert 8 < moment < 59


def test_descriptors_stay_open(extension: Path, name: str, tmp_path: Path) -> None:
    """glibc gives the library that it knows by the same name: a number that came back would be another one's."""
    tree = {f"p{number}": {"__init__.py": "", extension.name: extension.read_bytes()} for number in range(20)}
    store = STORES["bundle"](tree, tmp_path / "store")
    code = f"""
import archimport, importlib, os
archimport.mount({store!r})
for number in range(20):
    fd = os.open("/dev/null", os.O_RDONLY)
    module = importlib.import_module(f"p{{number}}.{name}")
    os.close(fd)
    assert module.__file__ == {store!r} + f"/p{{number}}/{extension.name}", module.__file__
print(sum("memfd" in os.readlink(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{{fd}}")))
"""
    (tmp_path / "cache").touch()
    done = run(code, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.stdout == "20\n", done.stderr


def test_loaders_are_pickled(extension: Path, name: str, tmp_path: Path) -> None:
    archimport.mount(STORES["zip"]({extension.name: extension.read_bytes()}, tmp_path / "store"))
    spec = importlib.util.find_spec(name)
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_pack_takes_extension_modules(extension: Path, name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(extension, root)
    (root / "app.py").write_text(f"import {name}\n\n\ndef main():\n    print({name}.__file__)\n")
    for suffix in ("arc", "zip", "db"):
        out = tmp_path / f"x.{suffix}"
        packed = pack([root], out, entry="app:main", no_unpack=["*"])
        assert packed.pythons == [THIS_PYTHON]
        done = run(
            "import archimport, app, sys; app.main()"
            if suffix == "none"
            else f"""
import archimport
archimport.mount({str(out)!r})
import app
app.main()
"""
        )
        assert done.stdout == f"{out}/{extension.name}\n", done.stderr


def test_pythons_without_a_global_lock(extension: Path, tmp_path: Path) -> None:
    """Code in Python alone is the same for both kinds; an extension module is for one of them."""
    root = write_tree({"app.py": "def main(): pass\n"}, tmp_path / "root")
    targets = {}
    for name in ("plain", "native"):
        packed = pack([root], tmp_path / f"{name}.arc", python=["3.13", "3.13t"], no_unpack=["*"])
        assert packed.pythons == ["3.13", "3.13t"]
        targets[name] = BundleStore(str(tmp_path / f"{name}.arc")).meta["targets"]
        shutil.copy(extension, root / "x.cpython-313t-x86_64-linux-gnu.so")
    assert targets == {"plain": "3.13/any/0", "native": f"3.13/{PLATFORM}/0 3.13t/{PLATFORM}/0"}
    with pytest.raises(archimport.PackError, match="one of 3.11, .*, 3.13t, 3.14t, 3.15t"):
        pack([root], tmp_path / "x.arc", python=["3.12t"])


#: What daemons do: they close what they do not know.
CLOSING = "os.closerange(3, 256)"


@pytest.mark.parametrize("kind", ["zip", "bundle"])
@pytest.mark.parametrize("between", ["", "open('/dev/null'), open('/dev/null')"], ids=["free", "used again"])
def test_program_that_closes_all_descriptors(
    kind: str, between: str, extension: Path, name: str, tmp_path: Path
) -> None:
    """Each module is its own library afterwards, and the ones before are what they were."""
    tree = {f"p{number}": {"__init__.py": "", extension.name: extension.read_bytes()} for number in range(6)}
    store = STORES[kind](tree, tmp_path / "store")
    code = f"""
import archimport, importlib, os, sys
archimport.mount({store!r})
found = []
for number in range(6):
    if number % 2 == 0:
        {CLOSING}
        kept = [{between}]
    found.append(importlib.import_module(f"p{{number}}.{name}"))
mapped = {{line.split()[4] for line in open("/proc/self/maps") if "memfd:{name}" in line}}
again = [importlib.reload(module) is module for module in found]
del sys.modules["p0.{name}"]
print(len(mapped), len({{module.__file__ for module in found}}), all(again), importlib.import_module("p0.{name}").__name__)
"""
    (tmp_path / "cache").touch()
    done = run(code, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.stdout == f"6 6 True p0.{name}\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")
def test_file_in_memory_whose_descriptor_was_closed(tmp_path: Path) -> None:
    """One that nothing has loaded is made again, under a number that none had, and so is what names it."""
    needs, content = b"lib-with-a-name-that-is-long.so", b"\x7fELF"
    store = MemoryStore({"user.so": content + needs + b"\0", needs.decode(): content}, "/virtual/memory")
    text = f"{digest(content).hex()}\t-\t{needs.decode()}\n"
    text += f"{digest(content + needs + bytes(1)).hex()}\t-\tuser.so\t{len(content)}\t{needs.decode()}\n"
    unit = Unit(store, "name", text.encode())
    paths = set()
    null = os.open("/dev/null", os.O_RDONLY)
    for closed in (lambda fd: None, os.close, lambda fd: os.dup2(null, fd), os.close):
        path = memory.in_memory(unit, "user.so")
        library = Path(path).read_bytes()[len(content) :].rstrip(b"\0").decode()
        assert Path(library).read_bytes() == content
        paths |= {path, library}
        closed(int(library.rpartition("/")[2]))
    os.close(null)
    assert len(paths) == 6
