"""`archimport extract`: write a store's members to the file system without trusting their names."""

from __future__ import annotations

import contextlib
import re
import shutil
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archimport.cli.store import echo_done, odd_line, open_store, store_argument
from archimport.runtime.atomic import replace_file
from archimport.runtime.codec import MAX_RATIO, MAX_SIZE
from archimport.runtime.errors import ConfigError, FormatError, LimitError
from archimport.runtime.unit import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archimport.runtime.store import Store

#: A name that every file system takes: no separators, streams, control characters or trailing dots and spaces.
_NAME = re.compile(r'[^/\\:*?"<>|\x00-\x1f\x7f]*[^/\\:*?"<>|\x00-\x1f\x7f. ]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


@click.command("extract")
@store_argument
@click.argument("output", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", "option", type=click.Path(path_type=Path), help="The folder, as pack names its output.")
def command(store: str, output: Path | None, option: Path | None) -> None:
    """Write the members of STORE to the folder OUTPUT, which must be new or empty; name those that cannot be read."""
    output = output or option
    if output is None:
        raise click.UsageError("name the folder to write to")
    opened, folder = open_store(store)
    count = extract(opened, folder, output)
    for entry in opened.odd(folder):
        click.echo(f"archimport: skipped: {odd_line(entry)}", err=True)
    echo_done(f"{count} files in {output}")


def extract(store: Store, folder: str, output: Path) -> int:
    """Write every file below `folder` that can be read into the new or empty folder `output`, and give their number.

    What archimport wrote down for itself stays out: the result is the tree that was packed, with its bytecode.
    All names are checked before anything is written: FormatError if one is no name that every file system takes, or if
    two differ only in case or Unicode form. ConfigError if `output` has something in it or cannot be written.
    """
    entries = [entry for entry in store.walk(folder) if not entry.path.startswith(OWN)]
    seen: dict[str, str] = {}
    for entry in (*entries, *store.odd(folder)):
        if not all(_is_safe(part) for part in entry.path.split("/")):
            raise FormatError("member name cannot be a file's", store=store.location, member=entry.path)
        other = seen.setdefault(unicodedata.normalize("NFKC", entry.path).casefold(), entry.path)
        if other != entry.path:
            raise FormatError(
                f"members {other!r} and {entry.path!r} are one file on some systems", store=store.location
            )
    needed = sum(entry.size for entry in entries)
    _check_total(store, needed)
    with _writing(output):
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise ConfigError(f"folder {str(output)!r} is not empty", hint="name a new one")
        free = shutil.disk_usage(output).free
        if needed > free:
            raise ConfigError(f"cannot write {str(output)!r}: {needed} bytes are needed, {free} are free")
    for entry in entries:
        target = output / entry.path[len(folder) :].lstrip("/")
        content = store.read(entry)
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(str(target), lambda file, content=content: file.write(content))  # type: ignore[misc]  # bound now
    return len(entries)


def _check_total(store: Store, needed: int) -> None:
    """Raise LimitError for members that together are larger than their container can honestly hold."""
    held = store.describe().get("size")
    if isinstance(held, int) and needed > max(MAX_SIZE, held * MAX_RATIO):
        raise LimitError(f"members of {needed} bytes are too large for their container", store=store.location)


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(f"cannot write {str(exc.filename or target)!r}: {exc.strerror}") from exc


def _is_safe(part: str) -> bool:
    return bool(_NAME.fullmatch(part)) and not _RESERVED.fullmatch(part)
