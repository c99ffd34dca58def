"""Subinterpreters: what needs the standard library alone imports there; what a dependency refuses is a ConfigError."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import STORES
from servers import SERVERS, server_url

import archimport

#: Runs the code of its arguments in new interpreters, one after another.
RUN = """
import sys
try:
    import _interpreters
    run = _interpreters.exec
except ImportError:
    import _xxsubinterpreters as _interpreters
    run = _interpreters.run_string
for code in sys.argv[1:]:
    interpreter = _interpreters.create()
    failed = run(interpreter, code)
    sys.stdout.flush()
    if failed is not None:
        print(failed)
sys.stdout.flush()
import os
os._exit(0)  # Python 3.12 crashes when it takes down interpreters that had modules of its own standard library
"""
PATH = f"import sys; sys.path[:] = {sys.path!r} + [{str(Path(archimport.__file__).parents[1])!r}]; import archimport\n"


def run(*codes: str) -> list[str]:
    command = [sys.executable, "-c", RUN, *codes]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", ["zip", "bundle", "sqlite"])
def test_import_in_many_interpreters(kind: str, tmp_path: Path) -> None:
    store = STORES[kind]({"mod.py": "value = 5\n", "pkg": {"__init__.py": "", "data.txt": "x"}}, tmp_path / "store")
    code = f"{PATH}archimport.mount({store!r})\nimport mod, pkg\nprint(mod.value, pkg.__loader__.get_data('pkg/data.txt'), flush=True)"
    many = (
        1 if kind == "sqlite" and sys.version_info[:2] == (3, 12) else 10
    )  # datetime, which sqlite3 loads, crashes 3.12 the second time
    assert run(*[code] * many) == ["5 b'x'"] * many


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="datetime crashes 3.12 in a second interpreter, whoever loads it"
)
@pytest.mark.parametrize("kind", SERVERS)
def test_servers_say_what_refuses(kind: str) -> None:
    code = f"{PATH}try:\n    archimport.mount({server_url(kind)!r})\nexcept archimport.ConfigError as exc:\n    print(exc, flush=True)"
    (said, *_) = run(code)
    assert "the store cannot be opened here" in said or "needs a thread" in said
