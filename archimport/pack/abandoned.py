"""Temporary files that a killed process left beside an output."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: How `archimport.runtime.atomic` names a temporary file, after the process.
_TEMPORARY = re.compile(r"\.archimport\.(\d{1,9})\.[0-9a-f]{12}\.tmp")
#: In seconds: another machine may write to the same directory, so that a process that is not here may be alive.
_LEAST_AGE = 3600


def remove_abandoned(directory: Path) -> None:
    """Delete temporary files of this user's in a directory whose process is gone, an hour after their last change."""
    if os.name != "posix":
        return  # elsewhere there is no harmless way to ask for a process
    for path in directory.glob(".archimport.*.tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        if found is not None and _is_old_and_own(path) and not _is_alive(int(found[1])):
            with contextlib.suppress(OSError):
                path.unlink()


def _is_old_and_own(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    is_own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    return is_own and time.time() - status.st_mtime > _LEAST_AGE


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
