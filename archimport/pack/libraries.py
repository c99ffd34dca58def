"""Which of the files that are packed are libraries, and which of these need which."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from archimport.pack.elf import read_library
from archimport.runtime.names import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from archimport.pack.elf import Library

#: For each library that a file needs: where in the file that one's name stands, or 0, and its path.
Needs = dict[str, list[tuple[int, str]]]
_LIBRARY = re.compile(r"\.(so(\.\d+)*|pyd|dylib|dll)$")


def is_library(path: str) -> bool:
    """Whether a file is one that a machine loads, by its name.

    >>> is_library("numpy.libs/libgfortran-040039e1.so.5.0.0")
    True
    """
    return _LIBRARY.search(path) is not None


def needs_of(files: Mapping[str, Path]) -> Needs:
    """Give what each library among `files`, which are given by member path, needs of the others."""
    return {path: list(_found(path, read_library(files[path]), files)) for path in files if is_library(path)}


def _found(path: str, library: Library | None, files: Mapping[str, Path]) -> Iterator[tuple[int, str]]:
    """Give what a library needs and is packed: where it says that it is, or beside it, as if its loader had said so."""
    if library is None:
        return
    folder = posixpath.dirname(path)
    for need in library.needs:
        for search in (*library.search, "."):
            candidate = normalise(posixpath.join(folder, search, need.name))
            if candidate is not None and candidate in files:
                yield need.offset, candidate
                break
