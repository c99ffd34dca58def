"""The same inputs with the same tools give the same bytes: in any folder, at any time, with any hash seed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from trees import write_tree

from archimport.bundle.store import BundleStore

TREE = {
    "app.py": "import part\nNAMES = {'one', 'two', 'three'}\ndef main(x={1, 2}):\n    return x in {'a', 'b', 'c'}, part.y\n",
    "part.py": "y = frozenset('abcdef')\nclass C:\n    def f(self):\n        return {n for n in range(3)}\n",
    "pkg": {"__init__.py": "HERE = __file__\n", "data.txt": "x" * 100},
}


def test_bytes_do_not_depend_on_where_and_when(tmp_path: Path, project: Path) -> None:
    outputs = []
    for number, seed in enumerate(("0", "1", "4242")):
        place = write_tree(TREE, tmp_path / f"{number}" / ("deep" * number) / "tree")
        for file in place.rglob("*"):
            os.utime(file, (10**9 * number, 10**9 * number))
        copy = shutil.copytree(project, place.parent / "project")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "PYTHONHASHSEED": seed,
            "TZ": ("UTC", "Asia/Tokyo", "America/Lima")[number],
            "SOURCE_DATE_EPOCH": str(10**9 * (number + 1)),
            "XDG_CACHE_HOME": str(tmp_path / f"cache{number}"),
        }
        output = place.parent / "out.arc"
        command = [
            sys.executable,
            "-m",
            "archimport",
            "pack",
            str(place),
            str(copy),
            "-e",
            "app:main",
            "-o",
            str(output),
        ]
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=place.parent)
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1] == outputs[2]
    made = BundleStore(str(output)).meta["made-with"]
    assert f"Python {'.'.join(map(str, sys.version_info[:3]))}" in made
    assert "zlib " in made
