"""What the commands share: opening a store to look at it, and printing for people or programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archimport.runtime.registry import Registry, check_folder, open_for_mount

if TYPE_CHECKING:
    from archimport.runtime.store import Entry, Store

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
store_argument = click.argument("store")


def open_store(source: str) -> tuple[Store, str]:
    """Open what a person named, for looking only: its modules may be for another Python. Give the folder inside too.

    ConfigError if there is no such folder.
    """
    request = open_for_mount(Registry(), source)
    opened = request.open()
    check_folder(opened, request.folder)
    return opened, request.folder


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, default=str))


def as_dict(entry: Entry) -> dict[str, object]:
    """Give what is told of a member."""
    row: dict[str, object] = {"path": entry.path, "size": entry.size}
    if entry.digest:
        row["blake2b"] = entry.digest.hex()
    return row
