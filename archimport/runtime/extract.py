"""Units in the user's cache: a folder for each, under the unit's name, in which its files lie as in a wheel.

Nobody waits to write: a file is written under another name and renamed, so that of processes which extract at once each
uses what any of them has finished, and a killed one leaves nothing that is used. Beside the directory lie notes
(archimport.runtime.notes), by which a start finds out what was lost or damaged since, and extracts it again.

Who uses a directory holds it (archimport.runtime.holding), so that it is not taken away meanwhile.
"""

from __future__ import annotations

import os

from archimport.runtime import atomic
from archimport.runtime.digest import digest
from archimport.runtime.holding import held as _held
from archimport.runtime.holding import hold
from archimport.runtime.notes import delete_note, has_noted_sizes, note_sizes, read_notes, write_note
from archimport.runtime.private import private_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.unit import File, Unit

KIND = "files"
#: What this process has read from notes on verified libraries, by folder.
_verified: dict[str, dict[str, str]] = {}


def library_in_cache(unit: Unit, path: str) -> str:
    """Give the path of a library in the cache, with all that it needs; OSError where that cannot be."""
    folder = _hold(unit)
    _check_executable(folder)
    if folder not in _verified:
        _verified[folder] = read_notes(f"{folder}.verified")
    states = ((file.path, _ensure(folder, unit, file, _verified[folder])) for file in unit.needed(path))
    new = {name: state for name, state in states if state is not None}
    if new:
        noted = {**_verified[folder], **read_notes(f"{folder}.verified"), **new}  # by other processes meanwhile, too
        write_note(f"{folder}.verified", "".join(f"{state}\t{name}\n" for name, state in noted.items()).encode())
        _verified[folder] = noted
    return os.path.join(folder, path)


def package_in_cache(unit: Unit, progress: Callable[[int, int], object]) -> str:
    """Return the directory of a unit in the cache, all files in it; OSError where that cannot be.

    The first call for a unit compares the sizes of its files, and extracts again what is missing or damaged.
    """
    folder = _hold(unit)
    noted = read_notes(f"{folder}.complete")
    state = noted.get("whole") or ("x" if any(".so" in path for path in unit.files) else "-")
    if state == "x":
        _check_executable(folder)
    is_restarted = noted.get("boot", boot := _boot()) != boot
    if "whole" not in noted or is_restarted or not (unit.is_checked or has_noted_sizes(folder)):
        _make_whole(folder, unit, progress, durable=is_restarted)
        if not boot and hasattr(os, "sync"):
            os.sync()  # nothing tells one start from another
        _note_whole(folder, state, "" if is_restarted else boot)
    unit.is_checked = True
    return folder


def doubt() -> None:
    """Let the next start verify all files of what this process uses: it failed, and damage may be the reason."""
    for folder in list(_held):
        try:
            delete_note(f"{folder}.complete")
        except OSError:  # somebody else's, who filled the cache of an image
            continue


def _make_whole(folder: str, unit: Unit, progress: Callable[[int, int], object], *, durable: bool) -> None:
    """Write what is missing or damaged of a unit, and note the sizes of all its files."""
    sizes: dict[str, int] = {}
    for count, file in enumerate(unit.files.values()):
        progress(count, len(unit.files))
        size = _whole_size(folder, file)
        if size is None:
            size = write_file(folder, unit, file, durable=durable or ".so" in file.path)
        sizes[file.path] = size
    note_sizes(folder, sizes)


def note_durable(folder: str) -> None:
    """Note that all files of a unit are on the disk and were verified: no start needs to do so again."""
    noted = read_notes(f"{folder}.complete")
    if "whole" in noted:
        _note_whole(folder, noted["whole"], "")


def _note_whole(folder: str, state: str, boot: str) -> None:
    line = f"{boot}\tboot\n" if boot else ""
    write_note(f"{folder}.complete", f"{line}{state}\twhole\n".encode())


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as stream:
            return stream.read().decode().strip()
    except OSError:  # not Linux
        return ""


def folder_of(name: str) -> str:
    """Give where the folder of a unit is or will be; OSError if there is no cache to put it into."""
    return os.path.join(private_folder(KIND, create=True), name)


def _check_executable(folder: str) -> None:
    if not is_executable(folder):
        raise OSError(f"{folder!r} is on a file system that executes nothing")


def is_executable(folder: str) -> bool:
    """Return whether libraries can be loaded from a directory."""
    return not (hasattr(os, "statvfs") and os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0))


def _hold(unit: Unit) -> str:
    """Make the directory of a unit if need be, and hold it; OSError where that cannot be."""
    folder = folder_of(unit.name)
    if hold(folder) and not os.path.exists(f"{folder}.list"):
        delete_note(f"{folder}.complete")  # whoever deletes files by age has been here
        write_note(f"{folder}.list", unit.text)
    return folder


def _ensure(folder: str, unit: Unit, file: File, verified: dict[str, str]) -> str | None:
    """Let a file be there, whole and durable; give its state if that was not noted before."""
    path = os.path.join(folder, file.path)
    state = _state(path)
    if state is not None and verified.get(file.path) == state:
        return None
    if state is None or _whole_size(folder, file) is None:
        write_file(folder, unit, file, durable=True)
        state = _state(path)
    return state


def _whole_size(folder: str, file: File) -> int | None:
    """Return the size of a file of a unit; None if it is missing or damaged."""
    try:
        with open(os.path.join(folder, file.path), "rb") as stream:
            content = stream.read()
    except OSError:
        return None
    return len(content) if digest(content) == file.digest else None


def write_file(folder: str, unit: Unit, file: File, *, durable: bool) -> int:
    """Write a file of a unit into a folder, whole or not at all; return its size."""
    path, content = os.path.join(folder, file.path), unit.read(file.path)
    mode = 0o700 if file.is_program else 0o600
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    atomic.replace_file(path, lambda stream: stream.write(content), mode, durable=durable)
    return len(content)


def _state(path: str) -> str | None:
    """Say in which state a file is, None if there is none: what changes when anybody changes it."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
