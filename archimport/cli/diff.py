"""`archimport diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archimport.cli.store import json_option, open_store, print_json
from archimport.runtime.digest import digest
from archimport.runtime.store import Changes

if TYPE_CHECKING:
    from archimport.runtime.store import Entry, Store


@click.command("diff")
@click.argument("old", metavar="STORE")
@click.argument("new", metavar="STORE")
@json_option
def command(old: str, new: str, as_json: bool) -> None:
    """Show what the second STORE has added, changed and removed. DATABASE@RELEASE is one release of a database."""
    changes = Changes(_digests(old), _digests(new))
    found = {"added": changes.added, "changed": changes.changed, "removed": changes.removed}
    if as_json:
        print_json(found)
        return
    for mark, paths in zip("+~-", found.values(), strict=True):
        for path in paths:
            click.echo(f"{mark} {path}")


def _digests(source: str) -> dict[str, object]:
    store, folder = open_store(source)
    entries = [*store.walk(folder), *store.odd(folder)]
    return {entry.path.removeprefix(f"{folder}/" if folder else ""): _digest(store, entry) for entry in entries}


def _digest(store: Store, entry: Entry) -> object:
    if entry.problem:  # all that is known of it
        return entry.problem.message, entry.size, entry.mtime
    return entry.digest or digest(store.read(entry))
