"""What one `pip install archimport` brings is enough to pack and to publish."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
#: What a tool that loads a plugin of ours has loaded already.
TOOLS = {
    "archimport/testing/pytest.py": {"pytest", "_pytest"},
    "archimport/testing/coverage.py": {"coverage"},
    "archimport/testing/debugpy.py": {"pydevd_file_utils"},
}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def test_everything_that_is_imported_is_a_base_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = {Requirement(line).name.lower() for line in project["dependencies"]}
    known = {"archimport", "backports", "compression", *sys.stdlib_module_names}
    brought = packages_distributions()
    for file in sorted((ROOT / "archimport").rglob("*.py")):
        path = file.relative_to(ROOT).as_posix()
        for name in set(imported(file)) - known - TOOLS.get(path, set()):
            assert {owner.lower() for owner in brought.get(name, [name])} & base, f"{path} imports {name}"
    assert project["optional-dependencies"]["pack"] == []
