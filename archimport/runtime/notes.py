"""Notes beside the directory of an extracted unit, so that a start need not read the files of the unit again.

- `NAME.list`: what belongs to the unit (archimport.runtime.unit), for `archimport cache verify`. It is written before
  any file of the unit, and no start reads it: who deletes files by age deletes this one too, and the next start that
  misses it verifies all files;
- `NAME.verified`: of each library that was verified and made durable, as the file system tells them apart, its state;
- `NAME.complete`: there is one once all files of the unit have been verified: `x` if there are libraries among them. To
  make thousands of files durable would take minutes; instead it says which start of the machine they were written
  after. After the next one they are verified again, and as what is read then is on the disk, it says no more of it;
- `NAME.sizes`: the number of files, and the size and path of each. A start compares the sizes.

A note that is missing or damaged means more work for the next start, and nothing else.
"""

from __future__ import annotations

import os
from time import time

from archimport.runtime import atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the names of the notes end in.
NOTES = (".list", ".verified", ".complete", ".sizes")
#: The sizes of more files than these are compared once a day, in seconds.
_MOST_FILES, _DAY = 1000, 86400


def read_notes(path: str) -> dict[str, str]:
    """Return the states that a note has, by name; none if it cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            return {name: state for state, tab, name in (line.rstrip("\n").partition("\t") for line in stream) if tab}
    except (OSError, UnicodeDecodeError):
        return {}


def write_note(path: str, text: bytes) -> None:
    """Write a note, if that can be done."""
    try:
        atomic.replace_file(path, lambda stream: stream.write(text), 0o600, durable=False)
    except OSError:
        return


def delete_note(path: str) -> None:
    """Delete a note, if there is one."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def note_sizes(folder: str, sizes: Mapping[str, int]) -> None:
    """Note the size of each file of a unit, by path."""
    lines = [str(len(sizes)), *(f"{size}\t{path}" for path, size in sizes.items())]
    write_note(f"{folder}.sizes", "\n".join(lines).encode())


def has_noted_sizes(folder: str) -> bool:
    """Return whether the files of a unit have the sizes that were noted; very many are compared once a day alone."""
    path = f"{folder}.sizes"
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            count, *lines = stream.read().split("\n")
            age = time() - os.fstat(stream.fileno()).st_mtime
        is_due = len(lines) <= _MOST_FILES or not 0 <= age < _DAY
        if count != str(len(lines)) or (is_due and not all(_has_size(folder, *line.split("\t")) for line in lines)):
            return False
    except (OSError, ValueError, TypeError):
        return False
    if age >= _DAY and len(lines) > _MOST_FILES:
        _touch(path)
    return True


def _has_size(folder: str, size: str, path: str) -> bool:
    return os.stat(f"{folder}/{path}").st_size == int(size)


def _touch(path: str) -> None:
    try:
        os.utime(path)
    except OSError:  # somebody else's, who filled the cache of an image
        return
