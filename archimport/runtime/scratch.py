"""Units where the cache cannot be used: a folder for this process alone, which goes when the process ends.

Where the file system executes nothing, libraries lie there as links to files in memory. What a killed process has left
is swept by the next one that needs such a directory.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from archimport.runtime import extract
from archimport.runtime.errors import ArchimportError
from archimport.runtime.holding import ATTEMPTS, claim, is_at, lock
from archimport.runtime.lock import Lock
from archimport.runtime.memory import in_memory
from archimport.runtime.private import OPEN_FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.unit import Unit

_PREFIX = "archimport-unpacked-"
#: The directories of this process, and what they were when they were made; the last one is used.
_folders: list[tuple[str, os.stat_result]] = []
_making = Lock()


def scratch_folder(name: str) -> str:
    """Give the folder of a unit in this process's own folder; OSError where none can be made."""
    with _making:
        if not _folders or not _is_ours(*_folders[-1]):
            owner, folder = os.getpid(), _held_folder()
            _folders.append((folder, os.stat(folder)))
            atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
            _sweep(os.path.dirname(folder))
    return os.path.join(_folders[-1][0], name)


def _is_ours(folder: str, made: os.stat_result) -> bool:
    """Return whether a directory is still the one that was made: a cleaner may delete it, and another user make it."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return os.path.samestat(status, made) and status.st_uid == made.st_uid


def _held_folder() -> str:
    """Make a folder and hold it until the process and its children end; another one, if a sweep was faster."""
    for _ in range(ATTEMPTS):
        folder = tempfile.mkdtemp(prefix=_PREFIX)
        try:
            fd = os.open(folder, OPEN_FOLDER)
        except FileNotFoundError:
            continue
        lock(fd)
        if is_at(folder, fd):
            return folder
        os.close(fd)
    raise OSError("a new temporary directory is taken away again and again")


def _sweep(parent: str) -> None:
    """Delete the folders of this user that no process holds any more."""
    for name in os.listdir(parent):
        path = os.path.join(parent, name)
        if not name.startswith(_PREFIX) or path in dict(_folders):
            continue
        try:
            fd = os.open(path, OPEN_FOLDER)
        except OSError:  # gone, or not this user's
            continue
        if os.fstat(fd).st_uid == os.geteuid() and claim(fd):
            shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def library_in_memory(unit: Unit, path: str) -> str:
    """Give a path from which a library of a unit can be loaded; where a name cannot be written over, by links."""
    files = unit.needed(path)
    if all(offset for file in files for offset, _ in file.needs):
        return in_memory(unit, path)
    folder = scratch_folder(f"{unit.name}.links")
    for file in files:
        if not _link(folder, unit, file.path):
            raise OSError(f"{file.path!r} cannot be linked")
    return os.path.join(folder, path)


def package_in_scratch(unit: Unit, progress: Callable[[int, int], object]) -> str:
    """Give a folder with all files of a unit; OSError where that cannot be."""
    folder = scratch_folder(unit.name)
    is_executable = extract.is_executable(os.path.dirname(folder))
    for count, file in enumerate(unit.files.values()):
        progress(count, len(unit.files))
        is_linked = ".so" in os.path.basename(file.path) and not is_executable
        if not (is_linked and _link(folder, unit, file.path)):
            extract.write_file(folder, unit, file, durable=False)
    return folder


def _link(folder: str, unit: Unit, path: str) -> bool:
    target = os.path.join(folder, path)
    try:
        os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
        source = in_memory(unit, path)
        if os.path.islink(target) and os.readlink(target) != source:
            os.unlink(target)
        os.symlink(source, target)
    except FileExistsError:
        return True
    except OSError as exc:
        if isinstance(exc, ArchimportError):
            raise
        return False
    return True
