"""What is asked of the interpreter at its start, ways to import later, and the backports of its modules."""

from __future__ import annotations

import importlib.util
import json
import marshal
import subprocess
import sys
from pathlib import Path

import pytest
from builders import STORES, build_directory

import archimport

ROOT = str(Path(archimport.__file__).parents[1])
KINDS = ["zip", "bundle", "sqlite"]


def run(code: str, *flags: str) -> object:
    """Run code that prints JSON."""
    path = f"import json, sys; sys.path.append({ROOT!r}); import archimport\n"
    done = subprocess.run([sys.executable, *flags, "-c", path + code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_optimisation(kind: str, tmp_path: Path) -> None:
    """Each level has code of its own, though one cache is shared."""
    source = (
        '"""A docstring."""\nasserted = False\ntry:\n    assert False\nexcept AssertionError:\n    asserted = True\n'
    )
    store = STORES[kind]({"mod.py": source}, tmp_path / "store")
    code = f"archimport.mount({store!r}); import mod; print(json.dumps([mod.asserted, mod.__doc__]))"
    for _ in range(2):
        assert run(code) == [True, "A docstring."]
        assert run(code, "-O") == [False, "A docstring."]
        assert run(code, "-OO") == [False, None]


def cached(value: int, flags: int) -> dict[str, bytes]:
    """Give bytecode that is bound by a hash that is not its source's, by name: used only where nobody checks."""
    body = marshal.dumps(compile(f"value = {value}", "m", "exec"))
    name = importlib.util.cache_from_source("mod.py").rpartition("/")[2]
    return {name: importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + b"anything" + body}


@pytest.mark.parametrize("kind", ["directory", *KINDS])
@pytest.mark.parametrize("flags", [1, 3], ids=["unchecked", "checked"])
def test_check_hash_based_pycs(kind: str, flags: int, tmp_path: Path) -> None:
    tree = {"mod.py": "value = 1\n", "__pycache__": cached(2, flags)}
    if kind == "directory":
        put = f"sys.path.insert(0, {build_directory(tree, tmp_path / 's')!r})"
    else:
        put = f"archimport.mount({STORES[kind](tree, tmp_path / 's')!r})"
    code = f"sys.dont_write_bytecode = True; {put}; import mod; print(mod.value)"
    values = {policy: run(code, "--check-hash-based-pycs", policy) for policy in ("always", "default", "never")}
    assert values == {"always": 1, "default": 2 if flags == 1 else 1, "never": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_pycache_prefix_is_left_alone(kind: str, tmp_path: Path) -> None:
    """The user's cache takes its place: bytecode that anyone may have written there is not asked for."""
    store = STORES[kind]({"mod.py": "value = 1\n"}, tmp_path / "s")
    forged = tmp_path / "prefix" / f"{store}/mod.py".lstrip("/")
    forged.parent.mkdir(parents=True)
    for name, pyc in cached(2, 1).items():
        (forged.parent / name).write_bytes(pyc)
    code = f"archimport.mount({store!r}); import mod; print(mod.value)"
    assert run(code, "-X", f"pycache_prefix={tmp_path / 'prefix'}") == 1
    assert [path.name for path in forged.parent.iterdir()] == list(cached(2, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_lazy_loader(kind: str, tmp_path: Path) -> None:
    store = STORES[kind]({"mod.py": "value = 5\n"}, tmp_path / "s")
    code = f"""
archimport.mount({store!r})
from importlib.util import LazyLoader, find_spec, module_from_spec
spec = find_spec("mod")
spec.loader = LazyLoader(spec.loader)
module = sys.modules["mod"] = module_from_spec(spec)
spec.loader.exec_module(module)
before = "value" in object.__getattribute__(module, "__dict__")
print(json.dumps([before, module.value, module.__file__]))
"""
    assert run(code) == [False, 5, f"{store}/mod.py"]


@pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports come with Python 3.15 (PEP 810)")
@pytest.mark.parametrize("kind", KINDS)
def test_lazy_import(kind: str, tmp_path: Path) -> None:
    store = STORES[kind]({"mod.py": "value = 5\n", "pkg": {"__init__.py": "", "sub.py": "value = 6\n"}}, tmp_path / "s")
    code = f"""
archimport.mount({store!r})
lazy import mod
lazy from pkg.sub import value
lazy import absent
before = "mod" in sys.modules
try:
    absent
except ImportError:
    missing = True
print(json.dumps([before, mod.value, value, missing]))
"""
    assert run(code) == [False, 5, 6, True]


def test_as_file_outlives_a_child(tmp_path: Path) -> None:
    """A child that ends inside the context takes nothing away from its parent."""
    store = STORES["zip"]({"pkg": {"__init__.py": "", "data.txt": "hi"}}, tmp_path / "store")
    code = f"""
import os
from importlib.resources import as_file, files
archimport.mount({store!r})
with as_file(files("pkg") / "data.txt") as path:
    if not os.fork():
        sys.exit(0)
    os.wait()
    kept = path.read_text()
print(json.dumps([kept, path.exists(), path.parent.exists()]))
"""
    assert run(code) == ["hi", False, False]


@pytest.mark.parametrize("reader", ["importlib.metadata", "importlib_metadata"])
def test_metadata_after_invalidate_caches(reader: str, tmp_path: Path) -> None:
    trees = [
        {f"demo-{version}.dist-info": {"METADATA": f"Metadata-Version: 2.1\nName: demo\nVersion: {version}\n"}}
        for version in ("1.0", "2.0")
    ]
    first, second = (STORES["zip"](tree, tmp_path / name) for name, tree in zip("ab", trees, strict=True))
    code = f"""
import importlib, os
from {reader} import version
archimport.mount({first!r})
versions = [version("demo")]
os.replace({second!r}, {first!r})
version("demo")
importlib.invalidate_caches()
print(json.dumps([*versions, version("demo")]))
"""
    assert run(code) == ["1.0", "2.0"]


def test_backports(tmp_path: Path) -> None:
    """importlib_metadata and importlib_resources, over namespaces too; the first replaces parts of the interpreter's."""
    files = {
        "pkg": {"__init__.py": "", "data.txt": "hi", "sub": {"more.txt": "m"}},
        "space": {"here.txt": "z"},
        "demo-1.0.dist-info": {
            "METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
            "entry_points.txt": "[demo.group]\na = pkg\n",
            "RECORD": "pkg/__init__.py,,\n",
        },
    }
    store = STORES["zip"](files, tmp_path / "store")
    (tmp_path / "folder" / "space").mkdir(parents=True)
    (tmp_path / "folder" / "space" / "there.txt").write_text("f")
    code = f"""
archimport.mount({store!r})
sys.path.append({str(tmp_path / "folder")!r})
import importlib.metadata
import importlib_metadata as metadata, importlib_resources as resources
with resources.as_file(resources.files("pkg") / "sub") as folder:
    extracted = [folder.name, *(child.name for child in folder.iterdir())]
print(json.dumps([
    metadata.version("demo"), len(list(metadata.distributions(name="demo"))),
    len(list(importlib.metadata.distributions(name="demo"))), [point.value for point in metadata.entry_points(group="demo.group")],
    metadata.packages_distributions()["pkg"], [str(file) for file in metadata.files("demo")],
    resources.files("pkg").joinpath("data.txt").read_text(), extracted,
    sorted(child.name for child in resources.files("space").iterdir()),
]))
"""
    assert run(code) == [
        *("1.0", 1, 1, ["pkg"], ["demo"], ["pkg/__init__.py"], "hi", ["sub", "more.txt"], ["here.txt", "there.txt"]),
    ]
