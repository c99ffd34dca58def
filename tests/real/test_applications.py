"""Programs of real packages, from every kind of store; `tools/dev.py compat` runs them all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMPAT = Path(__file__).parents[2] / "tools" / "compat.py"


def test_programs_work_as_from_a_folder() -> None:
    """Libraries that need each other, an app with files of its own in four processes, and data that OpenSSL opens."""
    chosen = [argument for name in ("pillow", "flask", "certifi") for argument in ("--only", name)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        [sys.executable, str(COMPAT), *chosen], capture_output=True, text=True, check=False, timeout=1500, env=kept
    )
    assert done.returncode == 0, done.stderr
    assert "| **working** |  | 3 of 3 | 3 of 3 | 3 of 3 | 3 of 3 | 3 of 3 | 3 of 3 | 3 of 3 |" in done.stdout
