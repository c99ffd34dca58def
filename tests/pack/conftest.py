from __future__ import annotations

from pathlib import Path

import pytest
from trees import write_tree

WHEEL_FILES = {
    "greet": {
        "__init__.py": "from importlib.metadata import version\n__version__ = version('greet')\n",
        "cli.py": "import sys\nfrom importlib.resources import files\n\ndef main():\n    print(files('greet').joinpath('word.txt').read_text(), *sys.argv[1:])\n    return 3\n\nclass App:\n    @staticmethod\n    def run():\n        print('dotted')\n",
        "__main__.py": "print('as main', __name__, __spec__.name)\n",
        "word.txt": "hello",
    },
}
PYPROJECT = """
[build-system]
requires = ["flit_core>=3.11,<5"]
build-backend = "flit_core.buildapi"

[project]
name = "greet"
version = "2.5"
description = "greets"
requires-python = ">=3.11"
dependencies = []

[project.scripts]
greet = "greet.cli:main"
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a plain folder with a package."""
    tree = {"greet": {**WHEEL_FILES["greet"], "__init__.py": ""}}
    return write_tree(tree, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a project folder that is built into a wheel."""
    return write_tree({**WHEEL_FILES, "pyproject.toml": PYPROJECT}, tmp_path_factory.mktemp("project"))
