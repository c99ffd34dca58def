"""What a start asks of the system: counted, since counts do not depend on the machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from needs import STRACE
from trees import write_tree

from archimport.pack.build import pack

pytestmark = STRACE


def calls(bundle: Path, *start: str) -> list[str]:
    """Give the system calls on files of a start that is not the first one, those of children included."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    kept["XDG_CACHE_HOME"] = str(bundle.parent / "cache")
    command = [sys.executable, "-I", "-S", *start]
    subprocess.run(command, check=True, env=kept, capture_output=True)
    trace = bundle.parent / "trace"
    subprocess.run(
        ["strace", "-f", "-y", "-o", trace, "-e", "trace=%file,%desc", *command],
        check=True,
        env=kept,
        capture_output=True,
    )
    return trace.read_text(encoding="utf-8", errors="replace").splitlines()


def app_of(modules: int, folder: Path) -> Path:
    """Pack an app that imports so many modules."""
    tree = {"__init__.py": "".join(f"from pkg import m{number:02}\n" for number in range(modules))}
    tree |= {f"m{number:02}.py": f"x = {number}\n" for number in range(modules)}
    root = write_tree({"pkg": tree, "app.py": "import pkg\ndef main(): pass\n"}, folder / "tree")
    pack([root], folder / "app.arc", entry="app:main")
    return folder / "app.arc"


def test_calls_of_a_bundle(tmp_path: Path) -> None:
    """The interpreter opens the file to find what to start; we open it once, and read it in few pieces."""
    bundle = app_of(60, tmp_path)
    made = calls(bundle, str(bundle))
    opened = [line for line in made if re.search(rf'open(at)?\(.*"{re.escape(str(bundle))}"', line)]
    read = [line for line in made if "pread" in line and str(bundle) in line]
    assert len(opened) <= 5
    assert len(read) <= 5  # header, tables, a page of the index, blocks of bytecode
    assert not [line for line in made if "pkg" in line and str(bundle) not in line]  # looked for nowhere else


def test_modules_of_a_bundle_cost_no_calls(tmp_path: Path) -> None:
    few, many = app_of(3, tmp_path / "few"), app_of(60, tmp_path / "many")
    assert len(calls(many, str(many))) <= len(calls(few, str(few))) + 2
