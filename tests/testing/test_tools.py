"""Tools that look for files find what lies in stores: Python's start, pytest, coverage.py."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from builders import STORES
from trees import Tree

import archimport

ROOT = str(Path(archimport.__file__).parents[1])
TESTED: Tree = {
    "pkg": {
        "__init__.py": "def double(x):\n    if x < 0:\n        raise ValueError(x)\n    return 2 * x\n",
        "tests": {
            "__init__.py": "",
            "conftest.py": "import pytest\n\n\n@pytest.fixture\ndef four():\n    return 4\n",
            "helper.py": "def test_not_collected():\n    assert False\n",
            "test_double.py": "import pkg\n\n\ndef test_two():\n    assert pkg.double(2) == 4\n\n\n"
            "def test_fixture(four):\n    assert pkg.double(2) == four\n\n\n"
            "class TestMore:\n    def test_bad(self):\n        assert pkg.double(3) == 7\n",
        },
    }
}


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "PYTEST"))}
    options = {"capture_output": True, "text": True, "timeout": 120}
    return subprocess.run([*map(str, command)], env={**kept, **environment}, check=False, **options)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the Python of a virtual environment that has what this one has."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(python, "-c", code).stdout.strip())
    (packages / "shared.pth").write_text(
        "\n".join([ROOT, *filter(os.path.isdir, site.getsitepackages())]), encoding="utf-8"
    )
    return python


@pytest.mark.parametrize("kind", ["zip", "sqlite"])
def test_enable_and_disable(kind: str, environment: Path, tmp_path: Path) -> None:
    store = STORES[kind]({"mod.py": "value = 5\n", "sub": {"other.py": ""}}, tmp_path / "store")
    code = "import sys, mod; print(mod.value, type(mod.__loader__).__name__)"
    path = {"PYTHONPATH": store if kind == "sqlite" else ""}
    if kind == "zip":
        code = f"import sys; sys.path.append('zip://{store}'); {code}"
    for _ in range(2):
        enabled = run(environment, "-m", "archimport", "enable")
        assert enabled.stdout.startswith("enabled in "), enabled.stderr
        done = run(environment, "-c", code, **path)
        assert (done.stdout, done.stderr) == ("5 StoreLoader\n", "")
        if kind == "sqlite":
            assert run(environment, "-m", "mod", **path).returncode == 0
    for _ in range(2):
        assert run(environment, "-m", "archimport", "disable").stdout.startswith("disabled in ")
        assert "StoreLoader" not in run(environment, "-c", code, **path).stdout


def test_enabled_environment_that_archimport_was_taken_from(environment: Path) -> None:
    assert run(environment, "-m", "archimport", "enable").returncode == 0
    shared = next(environment.parents[1].glob("lib/*/site-packages/shared.pth"))
    text = shared.read_text()
    try:
        shared.write_text("")
        assert run(environment, "-W", "error", "-c", "print(1)").stdout == "1\n"
        if sys.version_info < (3, 15):
            assert run(environment, "-c", "print(1)").stderr == ""
    finally:
        shared.write_text(text)
        run(environment, "-m", "archimport", "disable")


def test_enable_outside_of_an_environment() -> None:
    base = Path(sys.base_prefix) / "bin" / Path(sys.executable).name
    paths = os.pathsep.join((ROOT, sysconfig.get_path("purelib")))
    done = run(base if base.exists() else sys._base_executable, "-m", "archimport", "enable", PYTHONPATH=paths)
    assert done.returncode == 1
    assert "in no virtual environment" in done.stderr


@pytest.fixture(params=["zip", "bundle", "sqlite"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a folder whose `conftest.py` mounts a store with a package and its tests."""
    store = STORES[request.param](TESTED, tmp_path / "store")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "conftest.py").write_text(f"import archimport\n\narchimport.mount({store!r})\n")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -p archimport.testing.pytest\n")
    (folder / ".coveragerc").write_text("[run]\nbranch = true\nplugins = archimport.testing.coverage\n")
    return folder


def pytest_in(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    blocked = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ROOT}
    return run(sys.executable, "-m", "pytest", "--rootdir", folder, "-c", folder / "pytest.ini", *arguments, **blocked)


def test_pytest_collects_and_rewrites(project: Path) -> None:
    done = pytest_in(project, "--pyargs", "pkg", "-v", f"--confcutdir={project}", project)
    assert "2 passed, 1 failed" in done.stdout or "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "assert 6 == 7" in done.stdout  # rewritten
    assert "test_not_collected" not in done.stdout


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("pkg.tests.test_double::test_two", "1 passed"),
        ("pkg.tests.test_double::test_fixture", "1 passed"),
        ("pkg.tests.test_double::TestMore::test_bad", "1 failed"),
        ("pkg.tests.test_double::test_nothing", "not found: pkg.tests.test_double::test_nothing"),
    ],
)
def test_pytest_with_names(argument: str, expected: str, project: Path) -> None:
    done = pytest_in(project, "--pyargs", argument, project)
    assert expected in done.stdout + done.stderr


def test_pytest_with_names_that_overlap(project: Path) -> None:
    done = pytest_in(project, "--pyargs", "pkg", "pkg.tests", "pkg.tests.test_double::test_two", project)
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_selects(project: Path) -> None:
    done = pytest_in(project, "--pyargs", "pkg", project, "-k", "two")
    assert "1 passed, 2 deselected" in done.stdout, done.stdout + done.stderr


def test_coverage(project: Path) -> None:
    (project / "main.py").write_text("import conftest\nimport pkg\n\nprint(pkg.double(4))\n")
    config = f"--rcfile={project / '.coveragerc'}"
    data = f"--data-file={project / '.coverage'}"
    settings = {"PYTHONPATH": ROOT, "COVERAGE_CORE": "ctrace"}
    done = run(sys.executable, "-m", "coverage", "run", config, data, project / "main.py", **settings)
    assert (done.stdout, done.returncode) == ("8\n", 0), done.stderr
    report = project / "report.json"
    done = run(sys.executable, "-m", "coverage", "json", config, data, "-o", report, PYTHONPATH=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (row for name, row in json.loads(report.read_text())["files"].items() if "pkg" in name)
    assert (found["executed_lines"], found["missing_lines"]) == ([1, 2, 4], [3])
    assert found["missing_branches"] == [[2, 3]]


def test_pdb_breaks_at_a_function(project: Path) -> None:
    (project / "main.py").write_text("import conftest\nimport pkg\n\nprint(pkg.double(4))\n")
    commands = ["n", "n", "b pkg.double", "c", "w", "p x", "l", "q"]
    given = [argument for command in commands for argument in ("-c", command)]
    done = run(sys.executable, "-m", "pdb", *given, project / "main.py", PYTHONPATH=ROOT)
    where = next(line for line in done.stdout.splitlines() if line.startswith("Breakpoint 1 at"))
    assert "/pkg/__init__.py:" in where
    assert "raise ValueError(x)" in done.stdout, done.stdout  # listed


def test_pdb_shows_each_module_its_own_source(project: Path) -> None:
    """A breakpoint in another module than the one that is stopped in."""
    tree = {
        "cli.py": "import core\n\n\ndef main():\n    breakpoint()\n    core.work()\n",
        "core.py": "def work():\n    return 'core'\n",
    }
    store = STORES["zip"](tree, project / "two")
    code = f"import archimport; archimport.mount({store!r}); import cli; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], input="b core.work\nc\nll\nq\n", capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": ROOT}, timeout=60,
    )  # fmt: skip
    assert "Breakpoint 1 at" in done.stdout, done.stdout + done.stderr
    assert "return 'core'" in done.stdout and "import core" not in done.stdout.partition("Breakpoint 1 at")[2]


def test_unittest_runs_what_is_named(project: Path) -> None:
    """It walks folders where it discovers (docs/compliance.md), and imports what it is told."""
    case = "import unittest\n\n\nclass Case(unittest.TestCase):\n    def test_it(self):\n        self.assertTrue(1)\n"
    store = STORES["zip"]({"space": {"__init__.py": "", "test_case.py": case}}, project / "cases")
    (project / "start.py").write_text(
        f"import sys, unittest, archimport\n\narchimport.mount({store!r})\nunittest.main(module=None)\n"
    )
    done = run(sys.executable, project / "start.py", "space.test_case", PYTHONPATH=ROOT)
    assert "Ran 1 test" in done.stderr, done.stderr
