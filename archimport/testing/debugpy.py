"""Breakpoints in stores for debugpy, which binds those alone whose file exists.

When debugpy starts it loads `pydevd_plugins.extensions.pydevd_plugin_archimport`, which is installed beside archimport.
The breakpoints of an editor arrive before the program runs, so that its stores are not mounted yet: a store in a file
is opened to look, and a path of a store that has no file is believed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pydevd_file_utils  # type: ignore[import-not-found]  # debugpy puts its directory on the path

if TYPE_CHECKING:
    from archimport.runtime.store import Store


def find_files_in_stores() -> None:
    """Let debugpy's `exists` return True for members of stores too."""
    exists = pydevd_file_utils.exists
    pydevd_file_utils.exists = lambda filename: exists(filename) or is_in_a_store(filename)


def is_in_a_store(filename: str) -> bool:
    """Return whether a path is that of a file in a store, or may be."""
    # deferred: a bundle that is debugged replaces these modules by its own
    from archimport.runtime.errors import ArchimportError
    from archimport.runtime.location import VIRTUAL
    from archimport.runtime.registry import registry

    try:
        found = registry.locate(filename) or _opened(filename)
        entry = found[0].lookup(found[1]) if found else None
    except ArchimportError:
        return False
    return not entry.is_dir if entry else found is None and filename.startswith(VIRTUAL + os.sep)


def _opened(filename: str) -> tuple[Store, str] | None:
    """Return the store in a file that a path runs through, opened, and the member; None if there is no such file.

    ArchimportError if the file holds no store.
    """
    from archimport.runtime.location import split_file  # deferred: as above
    from archimport.runtime.schemes import schemes

    split = split_file(filename)
    if split is None:
        return None
    request = schemes.request(filename)
    return request.open(), request.folder
