"""Resources as real files for a while: `importlib.resources.as_file` for what lies in stores.

The standard library's own gives a file another name, and folders only from Python 3.12.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import shutil
import sys
import tempfile
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archimport.runtime.merged import Folder

_kinds: list[type] = []


def register(kind: type) -> type:
    """Let `as_file` make real files of what is of this kind."""
    importlib.resources.as_file.register(kind, _as_file)  # type: ignore[attr-defined]  # it dispatches on the type
    _kinds.append(kind)
    return kind


def teach_backport() -> None:
    """Register with `importlib_resources` too, if that has been loaded by now."""
    as_file = getattr(sys.modules.get("importlib_resources"), "as_file", None)
    if as_file is not None:
        for kind in _kinds:
            as_file.register(kind, _as_file)


@contextlib.contextmanager
def _as_file(path: Folder) -> Iterator[Path]:
    """Give a file or folder under the resource's own name, until the context ends in the process that made it."""
    owner, folder = os.getpid(), tempfile.mkdtemp(prefix="archimport-")
    try:
        yield _extract(path, Path(folder, path.name))
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)


def _extract(path: Folder, target: Path) -> Path:
    if path.is_dir():
        target.mkdir()
        for child in path.iterdir():
            _extract(child, target / child.name)
    else:
        target.write_bytes(path.read_bytes())
    return target
