"""Units where the cache cannot be used: a folder for this process alone, which goes when the process ends.

Libraries lie there as links to files in memory, which can be executed wherever the folder is.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from archimport.runtime import extract
from archimport.runtime.errors import ArchimportError
from archimport.runtime.memory import in_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.unit import Unit

_folders: list[str] = []


def scratch_folder(name: str) -> str:
    """Give the folder of a unit in this process's own folder; OSError where none can be made."""
    if not _folders:
        owner, folder = os.getpid(), tempfile.mkdtemp(prefix="archimport-")
        _folders.append(folder)
        atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return os.path.join(_folders[0], name)


def package_in_scratch(unit: Unit, progress: Callable[[int], object]) -> str:
    """Give a folder with all files of a unit; OSError where that cannot be."""
    folder = scratch_folder(unit.name)
    for count, file in enumerate(unit.files.values()):
        progress(count)
        if not (".so" in os.path.basename(file.path) and _link(folder, unit, file.path)):
            extract.write_file(folder, unit, file, durable=False)
    return folder


def _link(folder: str, unit: Unit, path: str) -> bool:
    target = os.path.join(folder, path)
    try:
        os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
        os.symlink(in_memory(unit, path), target)
    except OSError as exc:
        if isinstance(exc, ArchimportError):
            raise
        return False
    return True
