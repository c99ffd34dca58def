"""Threads, forks and child processes."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from builders import STORES, MemoryStore, build_bundle, build_zip
from trees import Tree, write_tree

import archimport
from archimport.bundle.store import BundleStore
from archimport.pack.build import pack
from archimport.runtime.mount import PathEntry

METHODS = multiprocessing.get_all_start_methods()
POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import helper
{setup}

def main():
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        print(pool.submit(helper.work, 20).result(60))
{tail}
"""
HELPER = "def work(x):\n    import late\n    return x + late.value\n"
TREE = {"helper.py": HELPER, "late.py": "value = 1\n"}


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False, timeout=100
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["zip", "bundle"])
def test_pool_with_a_mounted_store(tmp_path: Path, method: str, kind: str) -> None:
    source = STORES[kind](TREE, tmp_path / "store")
    script = tmp_path / "script.py"
    body = POOL.format(setup="", tail="if __name__ == '__main__':\n    main()\n")
    script.write_text(
        body.replace(
            "import helper",
            f"import archimport\nif __name__ == '__main__':\n    archimport.mount({source!r})\n    import helper",
        )
    )
    done = run(script, method)
    assert done.stdout == "21\n", done.stderr


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("entry", ["app:main", "app"])
def test_pool_inside_a_running_bundle(tmp_path: Path, method: str, entry: str) -> None:
    body = POOL.format(setup="", tail="if __name__ == '__main__':\n    main()\n")
    root = write_tree({**TREE, "app.py": body}, tmp_path / "root")
    pack([root], tmp_path / "x.arc", entry=entry)
    done = run("-I", "-S", tmp_path / "x.arc", method)
    assert done.stdout == "21\n", done.stderr


MAIN = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import helper
class Own:
    def __init__(self, value):
        self.value = value
def own(x):
    return Own(helper.VALUE + x)
if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
        print(pool.submit(own, 20).result(60).value)
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("entry", [None, "pkg", "pkg.sub"])
def test_functions_of_the_main_module_of_a_bundle(tmp_path: Path, method: str, entry: str | None) -> None:
    """From a folder, spawn would have none of those in `__main__.py`, and a pool would try again for ever."""
    trees: dict[str | None, Tree] = {
        None: {"__main__.py": MAIN},
        "pkg": {"pkg": {"__init__.py": "", "__main__.py": MAIN}},
        "pkg.sub": {"pkg": {"__init__.py": "", "sub.py": MAIN}},
    }
    root = write_tree({"helper.py": "VALUE = 1\n", **trees[entry]}, tmp_path / "root")
    pack([root], tmp_path / "x.arc", entry=entry)
    done = run("-I", "-S", tmp_path / "x.arc", method)
    assert done.stdout == "21\n", done.stderr


@pytest.mark.parametrize("flags", [[], ["-I"]])
def test_bundle_starts_as_ever_where_the_hook_is_installed_already(tmp_path: Path, flags: list[str]) -> None:
    """By `archimport enable`, or by another bundle on PYTHONPATH; it is its own archimport that runs."""
    tree = {
        "__main__.py": "print('not this')\n",
        "app.py": "import sys\nimport archimport.runtime\nprint(__name__, len(sys.path) < 6, archimport.runtime.__file__)\n",
    }
    pack([write_tree(tree, tmp_path / "root")], tmp_path / "x.arc", entry="app")
    pack([write_tree(tree, tmp_path / "other")], tmp_path / "y.arc", entry="app")
    expected = f"__main__ True {tmp_path}/x.arc/archimport/runtime/__init__.py\n"
    for other in ("", "x.arc", "y.arc"):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / other) if other else ""}
        command = [sys.executable, *flags, str(tmp_path / "x.arc")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert (done.stdout, done.stderr) == (expected, "")


@pytest.mark.parametrize("how", ["./x.arc", "link", "folder/x.arc"])
def test_bundle_that_is_started_by_another_path(tmp_path: Path, how: str) -> None:
    """Its own modules are not taken for somebody else's."""
    tree = {"__main__.py": "import helper, sys\nprint(sys.argv[0], __file__, helper.__file__)\n", "helper.py": ""}
    pack([write_tree(tree, tmp_path / "root")], tmp_path / "x.arc", no_unpack=["*"])
    (tmp_path / "link").symlink_to("x.arc")
    (tmp_path / "folder").symlink_to(".")
    done = subprocess.run([sys.executable, how], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout == f"{how} {tmp_path}/x.arc/__main__.py {tmp_path}/x.arc/helper.py\n", done.stderr


def test_program_of_its_own_inside_a_bundle(tmp_path: Path) -> None:
    """By PYTHONPATH, as docs/tools.md says; a `sitecustomize` of the environment still counts."""
    body = """
import os, subprocess, sys
def main():
    path = os.pathsep.join((sys.path[0], os.environ["ELSEWHERE"]))
    command = [sys.executable, "-m", "pkg.worker", "20"]
    print(subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True, text=True).stdout)
"""
    worker = "import os, sys\nfrom pkg import add\nprint(add(int(sys.argv[1])), os.environ.get('CUSTOMIZED'))\n"
    tree = {"app.py": body, "pkg": {"__init__.py": "def add(x):\n    return x + 1\n", "worker.py": worker}}
    root = write_tree(tree, tmp_path / "root")
    write_tree({"sitecustomize.py": "import os\nos.environ['CUSTOMIZED'] = 'yes'\n"}, tmp_path / "elsewhere")
    pack([root], tmp_path / "x.arc", entry="app:main")
    environment = {**os.environ, "ELSEWHERE": str(tmp_path / "elsewhere")}
    command = [sys.executable, str(tmp_path / "x.arc")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert done.stdout == "21 yes\n\n", done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_pool_inside_a_bundle_that_mounts_a_zip(tmp_path: Path, method: str) -> None:
    """The child finds the zip's entry first, and what opens it in the bundle alone."""
    plugins = build_zip({"plugin.py": "def work(x):\n    return x + 2\n"}, tmp_path / "plugins")
    body = f"""
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import archimport
def main():
    archimport.mount({plugins!r})
    import plugin
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
        print(pool.submit(plugin.work, 20).result(60))
"""
    package = Path(archimport.__file__).parent
    root = write_tree({"app.py": body}, tmp_path / "root")
    for file in package.rglob("*.py"):
        target = root / "archimport" / file.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    pack([root], tmp_path / "x.arc", entry="app:main")
    done = run("-I", "-S", tmp_path / "x.arc", method)
    assert done.stdout == "22\n", done.stderr


def test_path_entries_are_pickled_and_copied_without_a_trace(tmp_path: Path) -> None:
    file = build_bundle(TREE, tmp_path / "store")
    with archimport.mount(file) as mounted:
        before = list(sys.path)
        again = pickle.loads(pickle.dumps(sys.path))
        assert again == before == sys.path
        assert type(again[0]) is PathEntry
        assert copy.deepcopy(sys.path)[0] is mounted.path_entry
        assert copy.copy(mounted.path_entry) is mounted.path_entry


def test_options_of_any_kind_are_pickled(tmp_path: Path) -> None:
    file = build_bundle(TREE, tmp_path / "store")
    opened = []

    def opener(entry: str, *, folder: Path) -> archimport.Store:
        opened.append(folder)
        return BundleStore(file)

    archimport.register_scheme("some", opener)
    with archimport.mount("some:x", folder=tmp_path) as mounted:
        data = pickle.dumps(mounted.path_entry)
    assert pickle.loads(data) == mounted.path_entry
    assert opened == [tmp_path, tmp_path]


def test_entry_that_cannot_be_opened_does_not_end_the_child(tmp_path: Path) -> None:
    file = build_zip(TREE, tmp_path / "store")
    with archimport.mount(file):
        data = pickle.dumps(sys.path)
    os.unlink(file)
    script = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())[0])"
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
    assert done.stdout.decode() == f"{file}\n"


def test_plain_entry_becomes_one_that_children_can_use(tmp_path: Path) -> None:
    file = build_bundle(TREE, tmp_path / "store")
    sys.path.insert(0, file)
    with archimport.mount(file) as mounted:
        assert sys.path.count(file) == 1
        assert type(sys.path[0]) is PathEntry
        assert sys.path[0] is mounted.path_entry
    assert type(sys.path[0]) is str
    assert sys.path[0] == file


def test_mounting_in_many_threads(tmp_path: Path) -> None:
    files = [build_zip({f"m{number}.py": f"x = {number}\n"}, tmp_path / f"s{number}") for number in range(3)]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                for number, file in enumerate(files):
                    with archimport.mount(file):
                        importlib.import_module(f"m{number}")
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it is shown
            errors.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert errors == []
    assert not set(files) & set(sys.path)


def test_reading_a_bundle_in_many_threads(tmp_path: Path) -> None:
    tree = {f"f{number}": bytes([number]) * 100_000 for number in range(40)}
    with archimport.mount(STORES["bundle"](tree, tmp_path / "x")) as mounted:
        errors: list[object] = []

        def work(seed: int) -> None:
            try:
                for step in range(200):
                    number = (seed * 7 + step * 11) % 40
                    entry = mounted.store.lookup(f"f{number}")
                    assert entry is not None and mounted.store.read(entry) == bytes([number]) * 100_000
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is shown
                errors.append(exc)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        assert errors == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_children_read_what_they_ask_for(tmp_path: Path) -> None:
    tree = {f"m{number}.py": f"x = {number}\n" for number in range(100)}
    archimport.mount(STORES["zip"](tree, tmp_path / "x"))
    children = []
    for child in range(8):
        pid = os.fork()
        if not pid:
            numbers = [importlib.import_module(f"m{(child * 13 + step) % 100}").x for step in range(100)]
            os._exit(0 if numbers == [(child * 13 + step) % 100 for step in range(100)] else 1)
        children.append(pid)
    assert [importlib.import_module(f"m{number}").x for number in range(100)] == list(range(100))
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8


#: In a process whose lines nobody traces: a tracer has locks of its own, which no child would ever get.
FORK_WHILE_OTHERS_IMPORT = """
import importlib, os, signal, sys, threading, archimport
archimport.mount(sys.argv[1])
import m300  # and what the first import of all loads of ours: a thread may be importing that, too
imported = []
thread = threading.Thread(target=lambda: imported.extend(importlib.import_module(f"m{n}").x for n in range(298)))
children = []
thread.start()
while thread.is_alive() and len(children) < 20:
    pid = os.fork()
    if not pid:
        signal.alarm(200)
        os._exit(0 if [importlib.import_module(f"m{n}").x for n in (298, 299)] == [298, 299] else 1)
    children.append(pid)
thread.join()
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(children)
assert imported == list(range(298))
print(len(children) > 0)
"""


@pytest.mark.parametrize("kind", ["zip", "bundle", "sqlite"])
def test_fork_while_others_import(kind: str, tmp_path: Path) -> None:
    """A child imports, whatever another thread of its parent was doing when it was made.

    What that thread was importing apart: importlib's own lock of that module is never released in the child.
    """
    store = STORES[kind]({f"m{number}.py": f"x = {number}\n" for number in range(301)}, tmp_path / "x")
    command = [sys.executable, "-W", "ignore", "-c", FORK_WHILE_OTHERS_IMPORT, str(store)]
    untraced = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(command, env=untraced, capture_output=True, text=True, check=False, timeout=600)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_deleted_current_folder(tmp_path: Path) -> None:
    code = (
        "import os, sys, archimport; archimport.install(); sys.path.insert(0, 'lib'); os.chdir(sys.argv[1]);"
        "os.rmdir(sys.argv[1]); import colorsys; print('found')\ntry:\n    import absent\nexcept ModuleNotFoundError:\n    print('absent')"
    )
    gone = tmp_path / "gone"
    gone.mkdir()
    done = run("-c", code, gone)
    assert done.stdout == "found\nabsent\n", done.stderr


def test_unknown_scheme_on_the_path_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    original = archimport.runtime.schemes._opener_by_others
    monkeypatch.setattr(
        archimport.runtime.schemes, "_opener_by_others", lambda scheme: (asked.append(scheme), original(scheme))[1]
    )
    archimport.install()
    sys.path.insert(0, "nobody:anything")
    for _ in range(3):
        list(importlib.metadata.distributions())
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("absent_module")
    assert asked == ["nobody"]


def test_opener_that_mounts_another_store(tmp_path: Path) -> None:
    inner = build_zip({"inner_module.py": "x = 1\n"}, tmp_path / "inner")

    def opener(entry: str) -> archimport.Store:
        archimport.mount(inner)
        importlib.import_module("inner_module")
        importlib.import_module("colorsys")
        return MemoryStore({"outer_module.py": b"x = 2\n"}, "/virtual/outer")

    archimport.register_scheme("nesting", opener)
    archimport.install()
    sys.path.insert(0, "nesting:x")
    assert importlib.import_module("outer_module").x == 2
    assert importlib.import_module("inner_module").x == 1


def test_loaded_package_finds_its_modules_after_unmount(tmp_path: Path) -> None:
    for kind in STORES:
        name = f"kept_{kind.replace('-', '_')}"
        tree = {name: {"__init__.py": "", "late": {"leaf.py": "x = 1\n"}}, f"top_{name}.py": ""}
        with archimport.mount(STORES[kind](tree, tmp_path / kind)):
            importlib.import_module(name)
        assert importlib.import_module(f"{name}.late.leaf").x == 1
        assert type(sys.modules[f"{name}.late.leaf"].__loader__).__name__ == "StoreLoader"
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"top_{name}")


def test_metadata_is_looked_at_anew_when_mounted(tmp_path: Path) -> None:
    metadata = "Metadata-Version: 2.1\nName: late\nVersion: 3\n"
    file = build_bundle({"late-3.dist-info": {"METADATA": metadata}}, tmp_path / "x")
    sys.path.append(file)
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("late")
    with archimport.mount(file):
        assert importlib.metadata.version("late") == "3"


def test_failure_does_not_outlive_success(tmp_path: Path) -> None:
    file = Path(build_bundle({"m.py": "x = 1\n"}, tmp_path / "x"))
    good = file.read_bytes()
    file.write_bytes(good[:-1])
    with pytest.raises(archimport.FormatError):
        archimport.mount(file)
    file.write_bytes(good)
    archimport.mount(file).unmount()
    sys.path.append(str(file))
    assert importlib.import_module("m").x == 1


@pytest.mark.parametrize("half", [None, b"PK half written"], ids=["gone", "half-written"])
def test_archive_that_goes_away_leaves_what_was_opened(tmp_path: Path, half: bytes | None) -> None:
    file = Path(build_zip({"p": {"__init__.py": "", "a.py": "x = 1\n"}}, tmp_path / "x"))
    mounted = archimport.mount(file)
    importlib.import_module("p")
    file.unlink()
    if half is not None:
        file.write_bytes(half)
    importlib.invalidate_caches()
    importlib.import_module("wave")
    assert importlib.import_module("p.a").x == 1
    with pytest.raises(archimport.ArchimportError):
        mounted.refresh()


def test_refresh_finds_new_portions(tmp_path: Path) -> None:
    archimport.mount(build_zip({"space": {"a.py": ""}}, tmp_path / "one"))
    second = archimport.mount(build_zip({"other.py": ""}, tmp_path / "two"), position=1)
    importlib.import_module("space.a")
    build_zip({"other.py": "", "space": {"b.py": "x = 1\n"}}, tmp_path / "two")
    assert second.refresh().added == ("space/b.py",)
    assert importlib.import_module("space.b").x == 1


def test_innermost_of_two_locations_answers() -> None:
    archimport.mount(MemoryStore({"outer_m.py": b""}, "/virtual/nest"))
    archimport.mount(MemoryStore({"inner_m.py": b"x = 1\n"}, "/virtual/nest/inner"))
    assert importlib.import_module("inner_m").x == 1


def test_traceback_of_a_truncated_store_shows_the_error(tmp_path: Path) -> None:
    file = Path(build_zip({"m.py": "def f():\n    raise ValueError('mine')\n" + "#" * 10_000}, tmp_path / "x"))
    archimport.mount(file)
    module = importlib.import_module("m")
    file.write_bytes(b"")
    import traceback

    with pytest.raises(ValueError, match="mine") as caught:
        module.f()
    assert "ValueError: mine" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("raise archimport.ConfigError('my own')", 1, "Traceback"),
        ("archimport.mount('nosuch://x')", 1, "Traceback"),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt"),
        ("raise SystemExit(7)", 7, ""),
    ],
)
def test_errors_of_the_app_are_its_own(tmp_path: Path, body: str, status: int, words: str) -> None:
    source = f"from archimport.runtime import errors as archimport\ndef main():\n    {body}\n"
    if "mount" in body:
        source = source.replace("errors as archimport", "mount as archimport")
    pack([write_tree({"app.py": source}, tmp_path / "r")], tmp_path / "x.arc")
    pack(
        [write_tree({"app.py": source, "__main__.py": "import app\napp.main()\n"}, tmp_path / "m")], tmp_path / "x.arc"
    )
    done = run("-I", "-S", tmp_path / "x.arc")
    assert done.returncode == status, done.stderr
    assert words in done.stderr


REPORTED = """
import sys, threading
def boom():
    raise ValueError("mine")
class Last:
    def __del__(self):
        boom()
def main():
    thread = threading.Thread(target=boom)
    thread.start()
    thread.join()
    Last()
    boom()
if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("entry", [None, "app", "app:main"])
def test_uncaught_errors_read_as_those_of_a_folder(tmp_path: Path, entry: str | None) -> None:
    """With source lines, in threads and destructors too, and without a frame of what started the app."""
    root = write_tree({"app.py" if entry else "__main__.py": REPORTED}, tmp_path / "root")
    pack([root], tmp_path / "x.arc", entry=entry)
    done = run("-I", "-S", tmp_path / "x.arc")
    assert done.returncode == 1
    assert done.stderr.count('    raise ValueError("mine")\n') == 3, done.stderr
    assert "Exception in thread Thread-1 (boom):\n" in done.stderr
    assert "Last.__del__" in done.stderr
    *_, last = done.stderr.split("Traceback (most recent call last):\n")
    files = [line.split('"')[1] for line in last.splitlines() if line.startswith("  File ")]
    assert set(files) <= {f"{tmp_path}/x.arc/app.py", f"{tmp_path}/x.arc/__main__.py"}
    assert len(files) == (2 if entry == "app:main" else 3)


HOOKED = """
import sys
def hook(kind, value, trace):
    while trace is not None:
        print(trace.tb_frame.f_code.co_filename, value.__traceback__ is not None)
        trace = trace.tb_next
sys.excepthook = hook
def main():
    raise {error}("mine")
if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("error", ["ValueError", "KeyboardInterrupt"])
@pytest.mark.parametrize("entry", ["app", "app:main"])
def test_hook_of_the_app_sees_its_own_frames_alone(tmp_path: Path, entry: str, error: str) -> None:
    root = write_tree({"app.py": HOOKED.format(error=error)}, tmp_path / "root")
    pack([root], tmp_path / "x.arc", entry=entry)
    done = run("-I", "-S", tmp_path / "x.arc")
    assert done.returncode == (1 if error == "ValueError" else -2)
    assert done.stdout == f"{tmp_path}/x.arc/app.py True\n" * (1 if entry == "app:main" else 2)


def test_hook_of_an_app_that_just_ends_is_left_alone(tmp_path: Path) -> None:
    body = "import atexit, sys\nsys.excepthook = hook = print\natexit.register(lambda: print(sys.excepthook is hook))\n"
    pack(
        [write_tree({"app.py": f"{body}def main(): sys.exit(3)\n"}, tmp_path / "r")],
        tmp_path / "x.arc",
        entry="app:main",
    )
    assert run("-I", "-S", tmp_path / "x.arc").stdout == "True\n"


def test_error_of_an_app_that_has_deleted_its_hook(tmp_path: Path) -> None:
    root = write_tree({"app.py": "import sys\ndef main():\n    del sys.excepthook\n    1 / 0\n"}, tmp_path / "r")
    pack([root], tmp_path / "x.arc", entry="app:main")
    done = run("-I", "-S", tmp_path / "x.arc")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr and "AttributeError" not in done.stderr


def test_main_of_an_app_is_its_own(tmp_path: Path) -> None:
    source = "print(sorted(name for name in globals() if name[:2] != '__'), __spec__.name, __file__)\n"
    pack([write_tree({"app.py": source}, tmp_path / "r")], tmp_path / "x.arc", entry="app", no_unpack=["*"])
    assert run("-I", "-S", tmp_path / "x.arc").stdout == f"[] app {tmp_path}/x.arc/app.py\n"
