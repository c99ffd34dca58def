"""Write a golden bundle of this version of the format: `python tests/golden/make.py FOLDER`. Those that lie here stay."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from archimport.bundle.writer import Member, write_bundle
from archimport.pack.build import pack

TREE = {
    "golden/__init__.py": "from golden import part\n",
    "golden/part.py": "value = 'ü'\n",
    "golden/deep/data.txt": "text of a resource\n" * 50,
    "golden/cli.py": (
        "from importlib.resources import files\nfrom golden import part\n"
        "def main():\n    print(part.value, len(files('golden').joinpath('deep', 'data.txt').read_text()))\n"
    ),
    "empty.py": "",
}


def main() -> None:
    """Write one that `pack` makes, and a small one that has what packing this tree does not: layers, zstd."""
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        for name, text in TREE.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        pack([folder], out / "packed.arc", entry="golden.cli:main")
    members = [
        Member("layered.py", partial(bytes, b"layer = 0\n"), 0, "stored"),
        *(Member("layered.py", partial(bytes, b"layer = %d\n" % layer), layer, "stored") for layer in (1, 2)),
        Member("large.txt", partial(bytes, b"0123456789" * 10_000), 0, "zstd"),
        *(
            Member(f"pkg/m{number:03}.py", partial(bytes, b"number = %d\n" % number), 0, "deflate")
            for number in range(300)
        ),
    ]
    pythons = " ".join(f"3.{minor}/any/{1 + minor % 2}" for minor in range(11, 100))
    meta = {"codec": "deflate", "bytecode": "zstd", "targets": pythons, "unknown": "to readers of today"}
    write_bundle(str(out / "layers.arc"), members, meta=meta, tail={"__main__.py": b"raise SystemExit('not an app')\n"})


if __name__ == "__main__":
    main()
