"""What the commands share: opening a store to look at it, and printing for people or programs."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote

import click

from archimport.runtime.digest import DIGEST_SIZE
from archimport.runtime.location import split_scheme
from archimport.runtime.registry import check_folder
from archimport.runtime.schemes import Schemes
from archimport.sql.schema import DATABASE_SUFFIXES

if TYPE_CHECKING:
    from archimport.runtime.store import Entry, Store

#: A path, or a URL with more behind its host, and then `@` and a name.
_RELEASE = re.compile(r"((?:[a-z0-9+]+://[^/]*/+.*|sql:[^@]+|(?![a-z0-9+]+:).*))@([\w.-]+)")
_DIGEST_LENGTH = 2 * DIGEST_SIZE
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
store_argument = click.argument("store")


def open_store(source: str) -> tuple[Store, str]:
    """Open what a person named, for looking only: its modules may be for another Python. Give the folder inside too.

    `DATABASE@RELEASE` is one release of a database. ConfigError if there is no such folder.
    """
    source, options = split_release(source)
    request = Schemes().request(source)
    opened = request.open(**options)
    check_folder(opened, request.folder)
    return opened, request.folder


def split_release(source: str) -> tuple[str, dict[str, str]]:
    """Split what stands behind an `@` that can be no host's or file's; digits are a release, else it is a channel.

    >>> split_release("postgresql+psycopg://bob@host:5432/app@12")
    ('postgresql+psycopg://bob@host:5432/app', {'release': '12'})
    >>> split_release("postgresql+psycopg://bob@host")
    ('postgresql+psycopg://bob@host', {})
    """
    scheme, _ = split_scheme(source) or ("", source)
    found = None if scheme in ("zip", "bundle") else _RELEASE.fullmatch(source)  # those have no releases
    if found is None:
        return source, {}
    database, name = found.groups()
    if scheme.partition("+")[0] in ("", "sqlite") and not (scheme and "?" in database):  # an `@` of the file's name?
        whole, file = (unquote(text.partition("///")[2]) if scheme else text for text in (source, database))
        if os.path.isfile(whole) or not (os.path.isfile(file) or file.endswith(DATABASE_SUFFIXES)):
            return source, {}
    return database, {"release" if name.isdecimal() or len(name) == _DIGEST_LENGTH else "channel": name}


def echo_done(text: str) -> None:
    """Print what was done. It is done, too, where nobody reads that any more or a disk is full."""
    try:
        click.echo(text)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else it is tried again at exit


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(to_json(value))


def to_json(value: object) -> str:
    """Return one JSON document."""
    return json.dumps(value, indent=2, default=str)


def as_dict(entry: Entry) -> dict[str, object]:
    """Give what is told of a member."""
    row: dict[str, object] = {"path": entry.path, "size": entry.size}
    if entry.digest:
        row["blake2b"] = entry.digest.hex()
    if entry.problem:
        row["problem"] = entry.problem.message
    return row


def odd_line(entry: Entry) -> str:
    """Return the line that names an odd member and its problem; a name may hold what a terminal obeys."""
    name = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in entry.path)
    return f"{name}  (odd: {entry.problem})"
