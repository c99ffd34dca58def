"""Whether what the user's cache holds is what was put there."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archimport.cli.cache_folder import forget_notes, items
from archimport.runtime.bytecode import HEADER_SIZE
from archimport.runtime.digest import DIGEST_SIZE, digest
from archimport.runtime.extract import KIND, note_durable
from archimport.runtime.unit import File

if TYPE_CHECKING:
    from collections.abc import Iterator


class Finding(NamedTuple):
    """Something in the cache that is not what was put there: where, what, and whether it is damage."""

    path: Path
    what: str
    is_damage: bool = True


def check() -> Iterator[Finding]:
    """Yield what is not as it was put there, after deleting it: it is made anew. What is whole is on the disk."""
    if hasattr(os, "sync"):
        os.sync()
    for item in items():
        if item.kind == KIND:
            found = list(_check_unit(item.path))
            if not found:
                note_durable(str(item.path))
            yield from found
        elif not _is_whole(item.path):
            item.path.unlink(missing_ok=True)
            yield Finding(item.path, "damaged")


def _is_whole(blob: Path) -> bool:
    try:
        content = blob.read_bytes()
    except OSError:
        return False
    return digest(content[DIGEST_SIZE:]) == content[:DIGEST_SIZE]


def _check_unit(unit: Path) -> Iterator[Finding]:
    listed = Path(f"{unit}.list")
    text = listed.read_bytes() if listed.exists() else b""
    if digest(text).hex() != unit.name:
        forget_notes(unit)
        yield Finding(unit, "nothing says what belongs there: the next start finds out")
        return
    is_complete = Path(f"{unit}.complete").exists()
    for file in map(File, text.decode().splitlines()):
        finding = _check_file(unit / file.path, file, is_complete)
        if finding is not None:
            forget_notes(unit)
            _delete_file(finding.path, unit)
            yield finding


def _check_file(path: Path, file: File, is_complete: bool) -> Finding | None:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Finding(path, "is not there") if is_complete else None
    except OSError:  # a directory, or nothing that may be read
        return Finding(path, "damaged")
    if digest(content) == file.digest:
        return None
    if _is_pythons_own(path, content):
        return Finding(path, "written anew by Python; the packed one comes back with the next start", is_damage=False)
    return Finding(path, "damaged")


def _is_pythons_own(path: Path, content: bytes) -> bool:
    """Return whether bytecode is bound to its source in another way than packed bytecode: by time, or a checked hash.

    The interpreter and `compileall` write it so. Packed bytecode has an unchecked hash (PEP 552).
    """
    is_bytecode = path.parent.name == "__pycache__" and content[2:4] == b"\r\n" and len(content) > HEADER_SIZE
    return is_bytecode and int.from_bytes(content[4:8], "little") in (0, 3)


def _delete_file(path: Path, unit: Path) -> None:
    """Delete a file of a unit, and whatever else is in its place or in that of a directory above; follow no link."""
    levels = [path, *path.parents][: len(path.relative_to(unit).parts)]
    for level in reversed(levels):
        if level.is_symlink() or not level.is_dir():
            with contextlib.suppress(OSError):
                level.unlink()
            return
    shutil.rmtree(path, ignore_errors=True)
