"""Where a pack goes: a file by its suffix, or a channel of a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from archimport.pack.abandoned import remove_abandoned
from archimport.pack.write import single_tree, write_as_bundle, write_as_zip
from archimport.runtime.errors import ArchimportError, PackError
from archimport.runtime.location import split_scheme
from archimport.sql.schema import DATABASE_SUFFIXES
from archimport.sql.source import address_of
from archimport.sql.writer import Published, head_of, publish

if TYPE_CHECKING:
    from archimport.pack.app import App
    from archimport.pack.write import Form

_FILE_WRITERS = {".arc": ("bundle", write_as_bundle), ".zip": ("zip", write_as_zip)}
#: What SQLite keeps beside a database.
_SPILLS = ("", "-journal", "-wal", "-shm")


class Output(Protocol):
    """What `pack` writes to: its `name` and `kind`, and the `files` that must not be among the inputs."""

    name: str
    kind: str
    files: frozenset[Path]

    def write(self, app: App, form: Form) -> tuple[int, int]:
        """Write, and give the size in bytes and the number of members."""
        raise NotImplementedError


def output_for(name: str) -> Output:
    """Give what a file name or URL says; PackError or ConfigError if nothing can be written there."""
    if split_scheme(name) is not None or Path(name).suffix in DATABASE_SUFFIXES:
        return DatabaseOutput(name)
    return FileOutput(name)


class FileOutput:
    """A file that is put in the place of the old one when it is whole."""

    def __init__(self, name: str) -> None:
        path = Path(name)
        try:
            os.fsencode(name)
        except UnicodeEncodeError:
            raise PackError(f"cannot write {name!r}: not the name of a file") from None
        if path.suffix not in _FILE_WRITERS:
            endings = ", ".join((*_FILE_WRITERS, DATABASE_SUFFIXES[0]))
            raise PackError(f"cannot tell what to write from {name!r}", hint=f"end it in one of {endings}")
        if path.is_dir() or (path.exists() and not path.is_file()):
            raise PackError(f"cannot write {name!r}: it is no regular file")
        if not path.parent.is_dir():
            raise PackError(f"cannot write {name!r}: no such folder {str(path.parent)!r}")
        if not os.access(path.parent, os.W_OK):
            raise PackError(f"cannot write {name!r}: the folder is not writable")
        self.name = name
        self.files = frozenset((path.resolve(), path.parent.resolve() / path.name))
        self.kind, self._write = _FILE_WRITERS[path.suffix]

    def write(self, app: App, form: Form) -> tuple[int, int]:
        """Write the file; PackError if that fails."""
        try:
            remove_abandoned(Path(self.name).resolve().parent)
            members = self._write(self.name, app, form)
        except OSError as exc:
            if isinstance(exc, ArchimportError):
                raise
            raise PackError(f"cannot write {self.name!r}: {exc.strerror or exc}") from exc
        return _size(self.name), members


def _size(name: str) -> int:
    """Return the size of a file that is in place, 0 where even that cannot be asked."""
    try:
        return Path(name).stat().st_size
    except OSError:
        return 0


class DatabaseOutput:
    """A channel of a database, where it points when this is made: whoever moves it meanwhile wins.

    `source` is a path, a URL or an engine.
    """

    kind = "sql"

    def __init__(self, source: object, channel: str | None = None, message: str = "") -> None:
        self._address = address_of(source).on_channel(channel)
        self._channel = self._address.channel
        self._message = message
        self.name = source if isinstance(source, str) else self._address.place
        file = self._address.file
        self.files = frozenset(Path(file + suffix) for suffix in _SPILLS) if file else frozenset()
        self._head = head_of(self._address, self._channel)

    def write(self, app: App, _: Form) -> tuple[int, int]:
        """Publish, and give the size of the release."""
        published = self.publish(app)
        return published.size, published.members

    def publish(self, app: App) -> Published:
        """Publish; ConflictError if the channel has moved since this was made."""
        members = single_tree(app, "a release")
        return publish(self._address, members, self._channel, self._message, expected=self._head)
