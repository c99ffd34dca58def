"""From folders to the files that go into a store."""

from __future__ import annotations

import csv
import io
import os
import stat
from typing import TYPE_CHECKING

from archimport.runtime.codec import MAX_SIZE
from archimport.runtime.errors import ArchimportError, PackError
from archimport.runtime.names import MAX_DEPTH, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: Never code or data of a program.
_SKIPPED_FOLDERS = frozenset(
    (".archimport", "__pycache__", ".git", ".hg", ".svn", ".venv", ".mypy_cache", ".pytest_cache")
)
#: What an installer notes about this machine and this installation.
_INSTALL_NOTES = ("direct_url.json", "REQUESTED", "INSTALLER", "uv_cache.json", "uv_build.json")


def clean_site(site: Path) -> None:
    """Take from a folder that an installer made what is not packed.

    Scripts and notes on the installation go, and each distribution's RECORD names what is left.
    """
    (site / ".lock").unlink(missing_ok=True)
    for script in _scripts(site):
        script.unlink(missing_ok=True)
    for note in (note for name in _INSTALL_NOTES for note in site.glob(f"*.dist-info/{name}")):
        note.unlink()
    for record in site.glob("*.dist-info/RECORD"):
        kept = sorted(row for row in _rows(record) if not row[0].startswith("..") and (site / row[0]).is_file())
        with record.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(kept)


def _rows(record: Path) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(record.read_text("utf-8"))) if row]


def _scripts(site: Path) -> Iterator[Path]:
    """Give the scripts of the distributions: pip puts them in `bin`, and records where a real site would have them."""
    for record in site.glob("*.dist-info/RECORD"):
        for path, *_ in _rows(record):
            folder, _, name = path.rpartition("/")
            if folder in ("../../bin", "../../Scripts", "bin"):
                yield from (
                    site / where / name for where in ("bin", "Scripts") if not (site / where / "__init__.py").exists()
                )


def collect(folders: Sequence[Path]) -> dict[str, Path]:
    """Give the files below `folders`, each a root, by member path; PackError where two folders differ in one place."""
    files: dict[str, Path] = {}
    for folder in folders:
        for path, file in _files(folder, folder):
            known = files.setdefault(path, file)
            if known is not file and known.read_bytes() != file.read_bytes():
                raise PackError(f"{path!r} comes from two places: {str(known)!r} and {str(file)!r}")
    return files


def _files(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Give every file below `folder`, sorted; links only to files inside the root."""
    if len(folder.parts) - len(root.parts) >= MAX_DEPTH:
        raise PackError(f"{str(folder)[:80]!r}... is deeper than {MAX_DEPTH} folders")
    try:
        children = sorted(os.scandir(folder), key=lambda child: child.name)
    except OSError as exc:
        raise PackError(f"cannot read {str(folder)!r}: {exc.strerror}") from exc
    for child in children:
        if child.name.startswith(".#"):  # the lock of an editor: a link that leads nowhere
            continue
        path = folder / child.name
        if child.is_dir(follow_symlinks=False):
            if child.name not in _SKIPPED_FOLDERS:
                yield from _files(path, root)
            continue
        if child.is_symlink():
            _check_link(path, root)
        status = child.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PackError(f"{str(path)!r} is no regular file")
        if status.st_size > MAX_SIZE:
            raise PackError(f"{str(path)!r} of {status.st_size} bytes is too large", hint=f"the most is {MAX_SIZE}")
        try:
            yield check_name(path.relative_to(root).as_posix()), path
        except ArchimportError as exc:
            raise PackError(f"cannot pack {str(path)!r}: {exc}") from exc


def _check_link(path: Path, root: Path) -> None:
    """Refuse a link that is broken, goes round, leads out of the root or to a folder."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise PackError(f"{str(path)!r} is a link that leads nowhere") from None
    if not target.is_relative_to(root.resolve()):
        raise PackError(f"{str(path)!r} is a link that leads out of {str(root)!r}")
    if target.is_dir():
        raise PackError(f"{str(path)!r} is a link to a folder", hint="put the folder in its place")
