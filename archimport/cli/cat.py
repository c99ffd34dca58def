"""`archimport cat`."""

from __future__ import annotations

import sys

import click

from archimport.cli.store import open_store, store_argument
from archimport.runtime.errors import ConfigError
from archimport.runtime.location import member_of
from archimport.runtime.names import join


@click.command("cat")
@store_argument
@click.argument("member")
def command(store: str, member: str) -> None:
    """Print MEMBER of STORE, as it is."""
    opened, folder = open_store(store)
    path = member_of(join(folder, member), opened.location)
    entry = opened.lookup(join(folder, member)) or (opened.lookup(path) if path is not None else None)
    if entry is None or entry.is_dir:
        reason = "no such member" if entry is None else "the member is a folder"
        raise ConfigError(f"{reason}: {member!r}", store=opened.location, hint="archimport ls shows what there is")
    sys.stdout.buffer.write(opened.read(entry))
