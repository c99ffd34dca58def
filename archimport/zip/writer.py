"""Make zip archives: the same members give the same bytes."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, BinaryIO

from archimport.runtime.atomic import replace_file
from archimport.runtime.index import MemberIndex, with_parents
from archimport.runtime.store import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Members = Mapping[str, Callable[[], bytes]]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that the format knows: an archive does not tell when it was made


def write_archive(path: str, members: Members, *, shebang: bytes = b"") -> None:
    """Write `members` (path to a function that gives the content) as a zip at `path`, deflated where that is smaller.

    Folders get entries of their own: zipimport finds namespace packages by them before Python 3.14. With `shebang`,
    a `#!` line stands in front and the file is executable. OSError passes through.
    """
    MemberIndex(Entry(name) for name in members)  # an archive that is not read back is none

    def write(file: BinaryIO) -> None:
        file.write(shebang)
        with zipfile.ZipFile(file, "w") as archive:
            for folder in folders_of(members):
                archive.writestr(_info(f"{folder}/", 0o40755), b"")
            for name, content in members.items():
                _add(archive, name, content())

    replace_file(path, write, 0o777 if shebang else 0o666)


def folders_of(members: Iterable[str]) -> list[str]:
    """Give every folder that the paths imply, sorted.

    >>> folders_of({"a/b/c.py": None, "d.py": None})
    ['a', 'a/b']
    """
    return sorted(with_parents({name.rpartition("/")[0] for name in members}) - {""})


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = _info(name, 0o100644)
    info.compress_type = zipfile.ZIP_DEFLATED if len(content) > 64 else zipfile.ZIP_STORED
    archive.writestr(info, content)


def _info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = mode << 16 | (0x10 if mode & 0o40000 else 0)
    return info
