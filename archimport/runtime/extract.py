"""Units in the user's cache: a folder for each, under the unit's name, in which its files lie as in a wheel.

Nobody waits to write: a file is written under another name and renamed, so that of processes which extract at once each
uses what any of them has finished, and a killed one leaves nothing that is used. Beside the folder lie notes, in which
a process finds that it need not read the files again; reading one tells when the unit was last used:

- `NAME.list`: what belongs to the unit (archimport.runtime.unit), for `archimport cache verify`;
- `NAME.verified`: of each library that was verified and made durable, as the file system tells them apart, its state;
- `NAME.complete`: there is one once all files of the unit have been verified: `x` if there are libraries among them. To
  make thousands of files durable would take minutes; instead it says which start of the machine they were written
  after. After the next one they are verified again, and as what is read then is on the disk, it says no more of it.

Who uses a folder holds it (flock(2)), so that it is not taken away meanwhile.
"""

from __future__ import annotations

import os

from archimport.runtime import atomic
from archimport.runtime.digest import digest
from archimport.runtime.private import private_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.unit import File, Unit

KIND = "files"
#: What the names of the notes beside a folder end in.
NOTES = (".list", ".verified", ".complete")
#: The descriptors by which this process holds the folders that it uses.
_held: dict[str, int] = {}
#: What this process has read from notes on verified libraries, by folder.
_verified: dict[str, dict[str, str]] = {}


def library_in_cache(unit: Unit, path: str) -> str:
    """Give the path of a library in the cache, with all that it needs; OSError where that cannot be."""
    folder = _hold(unit)
    _check_executable(folder)
    if folder not in _verified:
        _verified[folder] = _read_notes(f"{folder}.verified")
    states = ((file.path, _ensure(folder, unit, file, _verified[folder])) for file in unit.needed(path))
    new = {name: state for name, state in states if state is not None}
    if new:
        noted = {**_verified[folder], **_read_notes(f"{folder}.verified"), **new}  # by other processes meanwhile, too
        _note(f"{folder}.verified", "".join(f"{state}\t{name}\n" for name, state in noted.items()).encode())
        _verified[folder] = noted
    return os.path.join(folder, path)


def package_in_cache(unit: Unit, progress: Callable[[int, int], object]) -> str:
    """Give the folder of a unit in the cache, all files in it; OSError where that cannot be."""
    folder = _hold(unit)
    noted = _read_notes(f"{folder}.complete")
    state = noted.get("whole") or ("x" if any(".so" in path for path in unit.files) else "-")
    if state == "x":
        _check_executable(folder)
    written_after, boot = noted.get("boot"), _boot()
    if "whole" not in noted or (written_after and written_after != boot):
        for count, file in enumerate(unit.files.values()):
            progress(count, len(unit.files))
            if not _is_whole(folder, file):
                write_file(folder, unit, file, durable=bool(written_after) or ".so" in file.path)
        if not boot and hasattr(os, "sync"):
            os.sync()  # nothing tells one start from another
        _note_whole(folder, state, boot if not written_after else "")
    return folder


def note_durable(folder: str) -> None:
    """Note that all files of a unit are on the disk and were verified: no start needs to do so again."""
    noted = _read_notes(f"{folder}.complete")
    if "whole" in noted:
        _note_whole(folder, noted["whole"], "")


def _note_whole(folder: str, state: str, boot: str) -> None:
    line = f"{boot}\tboot\n" if boot else ""
    _note(f"{folder}.complete", f"{line}{state}\twhole\n".encode())


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:  # not Linux
        return ""


def folder_of(name: str) -> str:
    """Give where the folder of a unit is or will be; OSError if there is no cache to put it into."""
    return os.path.join(private_folder(KIND, create=True), name)


def _check_executable(folder: str) -> None:
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise OSError(f"{folder!r} is on a file system that executes nothing")


def _hold(unit: Unit) -> str:
    """Make the folder of a unit if need be, and hold it: another process may be about to take it away."""
    folder = folder_of(unit.name)
    while folder not in _held:
        try:
            fd = os.open(folder, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            _make(folder)
            continue
        lock(fd)
        if os.path.lexists(folder) and os.path.samestat(os.stat(folder), os.fstat(fd)):
            _held[folder] = fd
            if not os.path.exists(f"{folder}.list"):
                _note(f"{folder}.list", unit.text)
        else:
            os.close(fd)
    return folder


def _make(folder: str) -> None:
    """Make the folder; what was noted of an earlier one is not true of it."""
    for note in (".verified", ".complete"):
        try:
            os.unlink(f"{folder}{note}")
        except FileNotFoundError:
            continue
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:  # another process was faster
        return


def lock(fd: int) -> None:
    """Hold a folder, waiting for who is about to take it away."""
    try:
        from fcntl import LOCK_SH, flock

        flock(fd, LOCK_SH)
    except (ImportError, OSError):  # not on this system, or on this file system
        return


def claim(fd: int) -> bool:
    """Whether nobody holds a folder; nobody will until the descriptor is closed."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        return True
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except OSError:
        return False
    return True


def _ensure(folder: str, unit: Unit, file: File, verified: dict[str, str]) -> str | None:
    """Let a file be there, whole and durable; give its state if that was not noted before."""
    path = os.path.join(folder, file.path)
    state = _state(path)
    if state is not None and verified.get(file.path) == state:
        return None
    if state is None or not _is_whole(folder, file):
        write_file(folder, unit, file, durable=True)
        state = _state(path)
    return state


def _is_whole(folder: str, file: File) -> bool:
    try:
        with open(os.path.join(folder, file.path), "rb") as stream:
            return digest(stream.read()) == file.digest
    except FileNotFoundError:
        return False


def write_file(folder: str, unit: Unit, file: File, *, durable: bool) -> None:
    """Write a file of a unit into a folder, whole or not at all."""
    path, content = os.path.join(folder, file.path), unit.read(file.path)
    mode = 0o700 if file.is_program else 0o600
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    atomic.replace_file(path, lambda stream: stream.write(content), mode, durable=durable)


def _state(path: str) -> str | None:
    """Say in which state a file is, None if there is none: what changes when anybody changes it."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _read_notes(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as stream:
            return {name: state for state, tab, name in (line.rstrip("\n").partition("\t") for line in stream) if tab}
    except (OSError, UnicodeDecodeError):
        return {}


def _note(path: str, text: bytes) -> None:
    """Write a note; without it the next process does more, and nothing else."""
    try:
        atomic.replace_file(path, lambda stream: stream.write(text), 0o600, durable=False)
    except OSError:
        return
