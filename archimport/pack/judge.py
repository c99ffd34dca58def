"""Whether a distribution's packages have to be real files, and why."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING, NamedTuple

from archimport.pack.owners import ROOT
from archimport.pack.scan import scan
from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from archimport.pack.height import Height

#: What the scan would get wrong: whether to unpack, and why.
_KNOWN = {
    "cffi": (False, "its headers are for building alone"),
    "numpy": (False, "its headers and numpy.distutils are for building alone"),
    "psycopg": (False, "writes its own source by __file__, as a program of its developers"),
    "pydantic": (False, "prints where it is installed"),
    "pygments": (False, "its extension for Sphinx alone asks where its sources are"),
    "python-dateutil": (False, "rebuilds its zones by __file__, as a program of its developers"),
    "scipy": (False, "tells its own frames by __file__"),
}
#: Folders of a package in which frameworks look for files, by path.
_FOLDERS = frozenset({"templates", "static", "locale", "fixtures"})
#: Never imported by the program itself.
_TESTS = frozenset({"tests", "test", "testing", "_tests", "conftest.py"})


class Unpacking(NamedTuple):
    """Patterns of names of distributions or packages: what is to be `unpacked`, and what is to stay `packed`."""

    unpacked: Sequence[str] = ()
    packed: Sequence[str] = ()


class Decision(NamedTuple):
    """Whether the packages of `owner` are unpacked, and why; a package inside another one owns its own files."""

    owner: str
    unpack: bool
    reason: str


def judge(owners: Mapping[str, str], files: Mapping[str, Path], asked: Unpacking) -> list[Decision]:
    """Decide for each owner of files, and for packages of theirs that alone find files by path.

    PackError for a pattern that fits none.
    """
    grouped: dict[str, list[str]] = {}
    for path, owner in owners.items():
        grouped.setdefault(owner, []).append(path)
    names = {
        owner: {owner, *(path.partition("/")[0].partition(".")[0] for path in paths)}
        for owner, paths in grouped.items()
    }
    for pattern in set(asked.unpacked) & set(asked.packed):
        raise PackError(f"{pattern!r} is to be unpacked and to stay packed", hint="say one of the two")
    for pattern in (*asked.unpacked, *asked.packed):
        if not (any(_fits(known, [pattern]) for known in names.values()) or _is_part(pattern, files)):
            raise PackError(f"nothing that is packed is called {pattern!r}", hint="name a distribution or a package")
    return [
        decision for owner in sorted(grouped) for decision in _decide(owner, names[owner], grouped[owner], files, asked)
    ]


def owners_after(owners: Mapping[str, str], decisions: Iterable[Decision]) -> dict[str, str]:
    """Give the owners of files, packages that were decided on apart from their distribution among them."""
    parts = [decision.owner for decision in decisions if "/" in decision.owner]
    return {
        path: next((part for part in parts if path.startswith(f"{part}/")), owner) for path, owner in owners.items()
    }


def _decide(
    owner: str, names: Collection[str], paths: Sequence[str], files: Mapping[str, Path], asked: Unpacking
) -> list[Decision]:
    for patterns, unpack in ((asked.packed, False), (asked.unpacked, True)):
        if _fits(names, patterns):
            return [Decision(owner, unpack, "asked for by --unpack" if unpack else "asked for by --no-unpack")]
    if owner in _KNOWN:
        return [Decision(owner, *_KNOWN[owner])]
    parts: dict[str, str] = {}
    depth = 0 if owner == ROOT else 1  # a package may have any name
    for path in paths:
        words = path.split("/")[depth:]
        if not _TESTS.isdisjoint(words):
            continue
        folder = next((word for word in words[:-1] if word in _FOLDERS), None)
        if folder is not None and not path.endswith(".py"):
            return [Decision(owner, True, f"frameworks look for {folder} by path: {path}")]
        finding = scan(files[path].read_bytes(), names) if path.endswith(".py") else None
        if finding is not None:
            reason = f"{finding.reason}: {path}:{finding.line}"
            part = _part(path, finding.height, paths, files)
            if part is None:
                return [Decision(owner, True, reason)]
            parts.setdefault(part, reason)
    parts = {part: reason for part, reason in parts.items() if not _fits([part], asked.packed)}
    for pattern in asked.unpacked:
        if _is_part(pattern, paths):
            parts[pattern] = "asked for by --unpack"
    if not parts:
        return [Decision(owner, False, "nothing in its source finds files by path")]
    inner = {part for part in parts for other in parts if part.startswith(f"{other}/")}
    unpacked = [Decision(part, True, reason) for part, reason in sorted(parts.items()) if part not in inner]
    return [Decision(owner, False, "what finds files by path is unpacked by itself"), *unpacked]


def _part(path: str, height: Height | None, paths: Sequence[str], files: Mapping[str, Path]) -> str | None:
    """Give the package inside another one that a file and all that it looks for lie in; None if there is none."""
    if height is None or _is_taken_up(path, height.names, paths, files):
        return None
    folder = path
    for _ in range(height.folders):
        folder = folder.rpartition("/")[0]
    while folder and f"{folder}/__init__.py" not in files:
        folder = folder.rpartition("/")[0]
    return folder if "/" in folder else None


def _is_taken_up(path: str, names: Collection[str], paths: Sequence[str], files: Mapping[str, Path]) -> bool:
    """Whether another source may import one of these names of a module, and go on from there."""
    folder, _, file = path.rpartition("/")
    stem = folder.rpartition("/")[2] if file == "__init__.py" else file.removesuffix(".py")
    module, name = (re.compile(rf"\b({'|'.join(map(re.escape, words))})\b".encode()) for words in ([stem], names))
    others = (files[other].read_bytes() for other in paths if other.endswith(".py") and other != path)
    return bool(names) and any(module.search(source) and name.search(source) for source in others)


def _is_part(pattern: str, paths: Iterable[str]) -> bool:
    """Whether a pattern is the path of a package inside another one."""
    return "/" in pattern and any(path == f"{pattern}/__init__.py" for path in paths)


def _fits(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)
