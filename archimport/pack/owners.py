"""What files belong together: those of a distribution, or of one package or module that is nobody's."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def owners_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Give the name of the owner of each file: a distribution, or the top-level package or module."""
    recorded = dict(_recorded(files))
    return {path: recorded.get(path) or path.partition("/")[0].partition(".")[0] for path in files}


def _recorded(files: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    for path, file in files.items():
        folder, _, name = path.partition("/")
        if name == "RECORD" and folder.endswith(".dist-info"):
            owner = canonicalize_name(folder.partition("-")[0])
            with file.open(encoding="utf-8", newline="") as stream:
                yield from ((row[0], owner) for row in csv.reader(stream) if row)
