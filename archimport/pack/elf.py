"""What a shared library of Linux needs (ELF; System V gABI, Dynamic Linking), and where in the file that is said."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, NamedTuple

from elftools.elf.elffile import ELFFile

from archimport.runtime.memory import SHORTEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ORIGINS = ("$ORIGIN", "${ORIGIN}")


class Need(NamedTuple):
    """The name of a library that another one needs, and where in the file it can be written over; 0 if it cannot."""

    name: str
    offset: int


class Library(NamedTuple):
    """What a library needs, and the folders, relative to its own, in which it says that this may be found."""

    needs: list[Need]
    search: list[str]


def read_library(path: Path) -> Library | None:
    """Give what a file says of itself as a library; None if it is none, or none that is linked to others."""
    with path.open("rb") as file:
        try:
            elf = ELFFile(file)
            for dynamic in elf.iter_segments("PT_DYNAMIC"):
                return Library(list(_needs(elf, dynamic)), list(_search(dynamic)))
        except Exception:  # noqa: BLE001 - whatever the parser makes of a file that only begins like a library
            return None
    return None


def _search(dynamic: Any) -> Iterator[str]:
    """Give the folders of RPATH and RUNPATH that are said to be relative to the library."""
    for tag in dynamic.iter_tags():
        if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
            for folder in (tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath).split(":"):
                for origin in _ORIGINS:
                    if folder == origin or folder.startswith(origin + "/"):
                        yield posixpath.normpath(folder.removeprefix(origin).lstrip("/"))


def _needs(elf: ELFFile, dynamic: Any) -> Iterator[Need]:
    used = _names_of_symbols(elf)
    _, start = dynamic.get_table_offset("DT_STRTAB")
    for tag in dynamic.iter_tags("DT_NEEDED"):
        at, length = tag.entry.d_val, len(tag.needed.encode())
        elf.stream.seek(start + at - 1)
        is_end = elf.stream.read(1) != b"\0"  # of another name: linkers keep those once
        is_shared = is_end or used is None or not used.isdisjoint(range(at, at + length))
        yield Need(tag.needed, 0 if is_shared or length < SHORTEST_NAME else start + at)


def _names_of_symbols(elf: ELFFile) -> set[int] | None:
    """Give where the names of symbols begin in the table of strings; None if that is not to be found."""
    for section in elf.iter_sections("SHT_DYNSYM"):
        size, is_little = section["sh_entsize"], elf.little_endian
        data = section.data()
        return {int.from_bytes(data[at : at + 4], "little" if is_little else "big") for at in range(0, len(data), size)}
    return None
