"""Real packages, resolved and downloaded: what a user sees of them from a store is what a folder shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import archimport
from archimport.pack.build import pack

PACKAGES = ["click", "rich", "httpx", "requests", "flask", "sqlalchemy", "django"]
OBSERVE = Path(__file__).with_name("observe.py")
HELLO = Path(__file__).parents[2] / "examples" / "hello"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the packages in each kind of store, and as a folder."""
    base = tmp_path_factory.mktemp("real").resolve()
    names = {"bundle": "real.arc", "zip": "real.zip", "sqlite": "real.db", "folder": "folder"}
    places = {kind: base / name for kind, name in names.items()}
    pack(PACKAGES, places["bundle"], no_unpack=["*"])
    install_as_pip_does(places["folder"])
    for kind in ("zip", "sqlite"):
        pack([places["folder"]], places[kind], no_unpack=["*"])
    return places


def install_as_pip_does(folder: Path) -> None:
    """Install the packages with pip, and take away what a store is not to have: scripts."""
    from archimport.pack.collect import clean_site

    command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", str(folder), *PACKAGES]
    subprocess.run(command, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    clean_site(folder)


def observe(kind: str, source: Path) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, str(OBSERVE), kind, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/")
    assert done.returncode == 0, done.stderr
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


@pytest.fixture(scope="module")
def expected(packed: dict[str, Path]) -> dict[str, object]:
    return observe("folder", packed["folder"])


@pytest.mark.parametrize("kind", ["bundle", "zip", "sqlite"])
def test_packages_look_as_from_a_folder(packed: dict[str, Path], expected: dict[str, object], kind: str) -> None:
    seen = observe(kind, packed[kind])
    assert seen.keys() == expected.keys()
    for part, value in expected.items():
        assert seen[part] == value, part


def test_what_was_looked_at_is_not_little(expected: dict[str, dict[str, object]]) -> None:
    assert len(expected["loaded"]) > 500
    assert len(expected["resources"]["django"]) > 2000
    assert set(PACKAGES) <= {name.lower() for name in expected["dists"]}


def test_hello_runs_with_nothing_installed(tmp_path: Path) -> None:
    out = tmp_path / "hello.arc"
    result = pack([HELLO], out, script="hello")
    assert result.entry == "hello.cli:main"
    done = subprocess.run(
        [sys.executable, "-I", "-S", out, "--name", "you"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Hello, you!" in done.stdout
    wrong = subprocess.run([sys.executable, "-I", "-S", out, "--nonsense"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2


def test_conflicting_requirements(tmp_path: Path) -> None:
    with pytest.raises(archimport.PackError, match="cannot resolve the requirements"):
        pack(["click==8.1.7", "click==8.1.8"], tmp_path / "x.arc")
