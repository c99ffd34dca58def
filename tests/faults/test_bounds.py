"""Looking at what a stranger sent takes little, whatever it says: every command, under limits of memory and CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import BUNDLES, DATABASES
from trees import write_tree

CHILD = Path(__file__).parents[1] / "limits_child.py"
MEMORY, SECONDS = 512 << 20, 20
COMMANDS = ("ls STORE", "ls --json STORE", "info STORE", "verify STORE", "cat STORE m.py", "why STORE m",
            "diff STORE STORE", "extract STORE -o OUT", "run STORE", "run STORE -m m")  # fmt: skip
#: Of what takes a second each time, or writes very many files.
FEW = {
    "directories_in_one_page": ("ls STORE", "info STORE", "verify STORE", "diff STORE STORE"),
    "endless_versions": ("ls STORE", "run STORE -m m"),
    "endless_parts": ("ls STORE", "verify STORE"),
    "many_members": ("ls STORE", "run STORE -m m"),
}


def run_under_limits(folder: Path, commands: tuple[str, ...], **places: Path) -> list[dict[str, object]]:
    """Run commands, in which words stand for places, and give what each came to."""
    words = {name.upper(): str(place) for name, place in places.items()}
    lines = [json.dumps([words.get(word, word) for word in command.split()]) for command in commands]
    child = [sys.executable, CHILD, str(MEMORY), str(SECONDS)]
    done = subprocess.run(child, input="\n".join(lines), capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(folder: Path, commands: tuple[str, ...], **places: Path) -> None:
    for command, found in zip(commands, run_under_limits(folder, commands, **places), strict=True):
        assert found["status"] in (0, 1), (command, found)
        assert found["lines"] <= 1, (command, found)
        assert "not enough memory" not in found["said"], (command, found)


@pytest.mark.parametrize("kind", BUNDLES)
def test_bundle(kind: str, tmp_path: Path) -> None:
    store = BUNDLES[kind](tmp_path / "x.arc")
    check(tmp_path, FEW.get(kind, COMMANDS), store=store, out=tmp_path / "out")


@pytest.mark.parametrize("kind", DATABASES)
def test_database(kind: str, tmp_path: Path) -> None:
    store = DATABASES[kind](tmp_path / "x.db")
    check(tmp_path, FEW.get(kind, COMMANDS), store=store, out=tmp_path / "out")


def test_packing_what_a_stranger_sent(tmp_path: Path) -> None:
    """A file of 3 GiB that takes no room, and sources that are nested as no compiler takes them."""
    names = {
        "calls": "(" * 100_000,
        "signs": "-" * 100_000,
        "sums": "1" + "+1" * 100_000,
        "attributes": "a" + ".b" * 50_000,
    }
    root = write_tree({f"{name}.py": f"x = {text}  # __file__" for name, text in names.items()}, tmp_path / "root")
    commands = ("pack ROOT -o OUT.arc", "pack ROOT -o OUT.zip", "publish OUT.db ROOT")
    commands = tuple(command.replace("OUT", str(tmp_path / "out")) for command in commands)
    check(tmp_path, commands, root=root)
    with (root / "large.bin").open("wb") as file:
        file.truncate(3 << 30)
    for found in run_under_limits(tmp_path, commands, root=root):
        assert (found["status"], found["lines"]) == (1, 1)
        assert "too large" in found["said"]
