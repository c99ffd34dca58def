"""The examples of the README run."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from trees import write_tree

ROOT = Path(__file__).parents[1]
DEV = ROOT / "tools" / "dev.py"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree({"src": {"app": {"__init__.py": "", "cli.py": "def main():\n    return 0\n"}}}, tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert sys.modules["app.cli"].__file__ == f"{tmp_path}/app.arc/app/cli.py"
    assert importlib.import_module("greeting").text == "hello"


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_exist() -> None:
    from archimport.cli import _COMMANDS

    named = set(re.findall(r"archimport (\w+)", "\n".join(re.findall(r"```console\n(.*?)```", README, re.DOTALL))))
    assert named - {"pack"} <= set(_COMMANDS)
    help_text = subprocess.run([sys.executable, DEV, "--help"], check=True, capture_output=True, text=True).stdout
    tasks = re.findall(r"^  \{(.*)\}$", help_text, re.MULTILINE)[0].split(",")
    assert set(re.findall(r"tools/dev.py (\w+)", README)) <= set(tasks)


def test_tests_named_in_the_list_of_differences_exist() -> None:
    text = (ROOT / "docs" / "compliance.md").read_text(encoding="utf-8")
    names = re.findall(r"::(test_\w+)", text)
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    assert names
    assert [name for name in names if f"def {name}(" not in source] == []
