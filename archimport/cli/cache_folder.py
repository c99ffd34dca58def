"""The user's cache folder as those see it who look after it: what lies there, how old, how large, and whether whole.

Each item is a blob, or a unit of files (archimport.runtime.extract) with its notes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archimport.runtime.errors import ConfigError
from archimport.runtime.extract import KIND
from archimport.runtime.holding import claim
from archimport.runtime.notes import NOTES
from archimport.runtime.private import UntrustedError, cache_folder, private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What archimport keeps here.
_KINDS = ("bytecode", "content", KIND, "manifest", "pointer", "startup")
#: In seconds: a file that was being written and is older was left by a process that was killed.
_ORPHANED = 3600
_TEMPORARY = re.compile(r"\.archimport\.\d+\.[0-9a-f]{12}\.tmp")


class Item(NamedTuple):
    """One thing in the cache: its `kind`, the files that hold it, its size in bytes, and when it was last used."""

    kind: str
    path: Path
    size: int
    used: float


def folder() -> Path:
    """Return the cache folder; ConfigError if there is none for this user, or it may not be trusted."""
    base = cache_folder()
    if base is None:
        raise ConfigError("there is no cache folder for this user")
    for kind in _KINDS:
        try:
            private_folder(kind)
        except FileNotFoundError:  # made when it is needed
            continue
        except OSError as exc:
            remedy = exc.remedy if isinstance(exc, UntrustedError) else None
            raise ConfigError(f"the cache folder cannot be used: {exc.strerror or exc}", hint=remedy) from exc
    return Path(base)


def items() -> Iterator[Item]:
    """Give what the cache holds; orphans are left out."""
    base = folder()
    for kind in _kinds(base):
        for path in sorted((base / kind).iterdir()):
            if path.is_symlink() or _TEMPORARY.fullmatch(path.name):
                continue
            if kind == KIND and path.is_dir():
                files = [*_files(path), *(note for note in _notes(path) if note.exists())]
                yield Item(kind, path, sum(map(_size, files)), max(map(_used, files), default=_used(path)))
            elif kind != KIND and path.is_file():
                yield Item(kind, path, _size(path), _used(path))


def sweep(budget: int) -> tuple[int, int]:
    """Delete what was used longest ago until no more than `budget` bytes are left; give how many went, how many stay.

    What a running program has unpacked stays.
    """
    _delete_orphans()
    kept = sorted(items(), key=lambda item: item.used)
    total = sum(item.size for item in kept)
    gone = 0
    for item in kept:
        if total - gone > budget and _delete(item):
            gone += item.size
    return gone, total - gone


def _kinds(base: Path) -> list[str]:
    return [kind for kind in _KINDS if (base / kind).is_dir()]


def _notes(unit: Path) -> list[Path]:
    return [Path(f"{unit}{suffix}") for suffix in NOTES]


def _files(unit: Path) -> list[Path]:
    return [path for path in unit.rglob("*") if not path.is_dir()]


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_size
    return 0


def _used(path: Path) -> float:
    """Give when a file was last read or written, as far as the file system says: to the day, by default on Linux."""
    with contextlib.suppress(OSError):
        return max(path.lstat().st_atime, path.lstat().st_mtime)
    return 0.0


def forget_notes(unit: Path) -> None:
    """Delete the notes of a unit: the next start verifies its files."""
    for note in _notes(unit):
        note.unlink(missing_ok=True)


def _delete(item: Item) -> bool:
    if item.kind != KIND:
        item.path.unlink(missing_ok=True)
        return True
    with contextlib.ExitStack() as stack:
        try:
            fd = os.open(item.path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:  # another one deletes too
            return True
        stack.callback(os.close, fd)
        if not claim(fd):
            return False
        forget_notes(item.path)
        trash = item.path.with_name(f".archimport.{os.getpid()}.{os.urandom(6).hex()}.tmp")
        with contextlib.suppress(FileNotFoundError):
            item.path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)
    return True


def _delete_orphans() -> None:
    base = folder()
    for kind in _kinds(base):
        for path in list((base / kind).rglob(".archimport.*.tmp")):
            if _TEMPORARY.fullmatch(path.name) and time.time() - _used(path) > _ORPHANED:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
