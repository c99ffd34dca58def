"""What files belong together: those of a distribution, of one package that is nobody's, or of the root."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path


#: Who owns the modules at the root that are nobody's, and what lies there beside them.
ROOT = "the root"
#: What makes a file a module.
MODULES = (".py", ".so", ".pyd")


def owners_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Give the name of the owner of each file: a distribution, a top-level folder that has modules, or the root."""
    recorded = dict(_recorded(files))
    folders = {path.partition("/")[0] for path in files if "/" in path and path.endswith(MODULES)}
    return {path: recorded.get(path) or _folder_of(path, folders) for path in files}


def _folder_of(path: str, folders: Collection[str]) -> str:
    top, slash, _ = path.partition("/")
    return top if slash and top in folders else ROOT


def _recorded(files: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    for path, file in files.items():
        folder, _, name = path.partition("/")
        if name == "RECORD" and folder.endswith(".dist-info"):
            owner = canonicalize_name(folder.partition("-")[0])
            with file.open(encoding="utf-8", newline="") as stream:
                yield from ((row[0], owner) for row in csv.reader(stream) if row)
