"""What is loaded, by name: start-up is counted in modules, not in milliseconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from builders import build_zip

import archimport
from archimport.bundle.tail import carried_sources, tail_files
from archimport.bundle.writer import Member, write_bundle
from archimport.pack.compile import compile_runtime

ROOT = str(Path(archimport.__file__).parents[1])
REPORT = "print(*sorted(set(sys.modules) - before))"
#: One module from Python 3.13, twenty before.
LINECACHE = {"linecache"} if sys.version_info >= (3, 13) else set()
#: What the runtime loads of the standard library for a zip or a bundle, `os` apart.
RUNTIME = {
    f"archimport.runtime.{name}"
    for name in [
        "atomic",
        "bytecode",
        "cache",
        "codec",
        "digest",
        "early",
        "entries",
        "errors",
        "file",
        "finder",
        "hook",
        "index",
        "lines",
        "loader",
        "location",
        "lock",
        "magic",
        "metadata",
        "names",
        "private",
        "namespace",
        "native",
        "opening",
        "registry",
        "schemes",
        "store",
        "unit",
    ]
} | {"archimport", "archimport.runtime"}
HEAVY = {
    "asyncio", "click", "contextlib", "dataclasses", "email", "functools", "hashlib", "importlib.abc", "importlib.metadata",
    "importlib.resources", "inspect", "json", "linecache", "logging", "pathlib", "pkgutil", "random", "re", "rich", "sqlalchemy",
    "subprocess", "tempfile", "threading", "typing", "urllib.parse", "zipfile", "zstandard",
}  # fmt: skip


def loaded(code: str, *flags: str) -> set[str]:
    """Give the modules that a program loads beyond what a bare interpreter and `os` have."""
    program = f"import sys; sys.path.insert(0, {ROOT!r}); import os; before = set(sys.modules)\n{code}\n{REPORT}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", *flags, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split()) - {"__future__"}


def test_import_archimport_loads_nothing() -> None:
    assert loaded("import archimport") == {"archimport"}


def test_errors_alone_load_errors_alone() -> None:
    assert loaded("from archimport.runtime.errors import ArchimportError") == {
        "archimport", "archimport.runtime", "archimport.runtime.errors",
    }  # fmt: skip


def test_hook_and_a_zip(tmp_path: Path) -> None:
    path = build_zip({"mod.py": "x = 1\n"}, tmp_path / "x")
    found = loaded(f"import archimport; archimport.mount({path!r}); import mod") - {
        "mod",
        "archimport.runtime.mount",
    }
    zip_modules = {"archimport.zip", "archimport.zip.store", "archimport.zip.format", "archimport.zip.member"}
    assert found - RUNTIME - zip_modules <= {
        "_blake2",
        "_struct",
        "struct",
        "zlib",
        "archimport.runtime.secrets",
        *LINECACHE,
    }
    assert found >= RUNTIME | zip_modules


def test_loader_is_abstract_though_importlib_abc_comes_later(tmp_path: Path) -> None:
    path = build_zip({"mod.py": "x = 1\n"}, tmp_path / "x")
    code = f"""
import archimport
archimport.mount({path!r})
import mod
assert "importlib.abc" not in sys.modules
from importlib.abc import SourceLoader
assert isinstance(mod.__loader__, SourceLoader)
assert issubclass(type(mod.__loader__), SourceLoader)
"""
    assert "importlib.abc" in loaded(code)


#: Parts of each interpreter, read from nowhere.
BUILT_IN = {"atexit", "gc", "itertools", "_weakref"}


@pytest.mark.parametrize("marshalled", [True, False], ids=["marshalled", "from-source"])
def test_running_bundle(tmp_path: Path, marshalled: bool) -> None:
    path = tmp_path / "x.arc"
    app = b"import sys\ndef main():\n    print(*sorted(sys.modules))\n"
    runtime = compile_runtime(sys.executable, carried_sources())
    runtimes = {runtime.magic: runtime.table} if marshalled else {}
    write_bundle(
        str(path),
        [Member("app.py", lambda: app)],
        meta={"entry": "app:main", "libraries": "no"},
        tail=tail_files(runtimes),
    )
    done = subprocess.run([sys.executable, "-I", "-S", path], capture_output=True, text=True, check=True)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "__main__.py").write_text("import sys\nimport os\nprint(*sorted(sys.modules))\n")
    bare = subprocess.run([sys.executable, "-I", "-S", tmp_path / "bare"], capture_output=True, text=True, check=True)
    found = set(done.stdout.split()) - set(bare.stdout.split())
    ours = RUNTIME - {"archimport.runtime.index"} | {
        "archimport.runtime.app",
        "archimport.runtime.garbage",
        "archimport.runtime.mount",
        "archimport.runtime.reports",
        "archimport.bundle",
        "archimport.bundle.format",
        "archimport.bundle.index",
        "archimport.bundle.store",
        "archimport.bundle.tables",
    }
    assert found >= ours
    in_c = {"_bisect", "_blake2", "_struct", "zlib"}
    assert found - ours <= {"app", *(() if marshalled else ("__future__",)), *BUILT_IN, *in_c, "struct"} | LINECACHE
    assert not found & (HEAVY - LINECACHE)


def test_every_public_name_resolves() -> None:
    for name in archimport.__all__:
        assert getattr(archimport, name) is not None
    assert set(dir(archimport)) >= set(archimport.__all__)
    assert not hasattr(archimport, "nonsense")
