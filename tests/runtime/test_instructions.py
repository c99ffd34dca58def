"""How many instructions a start takes: counted by callgrind, which gives the same count whatever else a machine does."""

from __future__ import annotations

import compileall
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from needs import needs_program
from trees import write_tree

from archimport.pack.build import pack

pytestmark = [
    needs_program("valgrind"),
    pytest.mark.skipif("t" in sys.abiflags, reason="without a global lock each access to an object takes more"),
]


def instructions(*start: str | Path) -> float:
    """Give how many millions of instructions a run takes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command = [*tool, sys.executable, "-s", "-S", *map(str, start)]
    done = subprocess.run(
        command, env={**kept, "PYTHONHASHSEED": "0"}, cwd="/", capture_output=True, text=True, check=True
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1]) / 1e6


def app_of(modules: int, folder: Path) -> tuple[Path, Path]:
    """Give the starter of an app that imports so many modules, in a folder with bytecode, and its bundle."""
    tree = {f"m{number:03}.py": f"def f(x):\n    return x + {number}\n" for number in range(modules)}
    main = "import app\napp.main()\n"
    app = "".join(f"import m{number:03}\n" for number in range(modules)) + "def main(): pass\n"
    root = write_tree({"app.py": app, "start.py": main, **tree}, folder / "tree")
    compileall.compile_dir(root, quiet=1)
    pack([root], folder / "app.arc", entry="app:main")
    return root / "start.py", folder / "app.arc"


def test_a_start(tmp_path: Path) -> None:
    """Loading our runtime, opening the bundle and leaving it add no more than half to what an empty zip takes."""
    _, bundle = app_of(0, tmp_path)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("__main__.py", "")
    assert instructions(bundle) <= 1.5 * instructions(tmp_path / "empty.zip")


def test_a_module(tmp_path: Path) -> None:
    """Finding, reading and verifying a module takes less than finding and reading it in a folder."""
    (few_script, few), (many_script, many) = app_of(5, tmp_path / "few"), app_of(105, tmp_path / "many")
    assert instructions(many) - instructions(few) <= instructions(many_script) - instructions(few_script)
