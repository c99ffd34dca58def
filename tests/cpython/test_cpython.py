"""The interpreter's own tests of imports, with our finder and loaders in the place of the file system's.

They are those that the interpreter ships with; some installations leave them out. `run.py` runs them in a process of
their own, `expected.py` names those that cannot pass.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from cpython.expected import SUITES, expected
from needs import needs

RUN = Path(__file__).with_name("run.py")
ROOT = RUN.parents[2]

pytestmark = [
    needs(
        "Python's own tests",
        "install the system's package of them",
        is_here=importlib.util.find_spec("test.test_importlib") is not None,
    ),
    pytest.mark.skipif(sys.version_info >= (3, 14), reason="what differs is known for Python 3.11 to 3.13"),
]


@pytest.mark.parametrize("suite", SUITES)
def test_suite(suite: str, tmp_path: Path) -> None:
    mode, modules = SUITES[suite]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, str(RUN), mode, *modules],
        env={**environment, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["run"] > 20
    assert report["asked"] > 50
    patterns = expected(suite)
    assert {test for test in report["bad"] if not any(fnmatch(test, pattern) for pattern in patterns)} == set()
    assert [pattern for pattern in patterns if not any(fnmatch(test, pattern) for test in report["bad"])] == []
