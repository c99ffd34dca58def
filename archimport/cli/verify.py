"""`archimport verify`."""

from __future__ import annotations

import sys

import click

from archimport.cli.store import json_option, odd_line, open_store, print_json
from archimport.runtime.errors import ArchimportError


@click.command("verify")
@click.argument("stores", metavar="STORE...", nargs=-1, required=True)
@json_option
def command(stores: tuple[str, ...], as_json: bool) -> None:
    """Check every byte of each STORE; nothing in it is run. Odd members, which cannot be read, are named: no damage."""
    checked, damaged = {}, False
    for source in stores:
        try:
            store = open_store(source)[0]
            parts, odd = list(store.verify()), [odd_line(entry) for entry in store.odd()]
        except ArchimportError as exc:
            damaged = True
            click.echo(f"archimport: error: {exc}", err=True)
        else:
            checked[source] = parts + odd
            if not as_json:
                click.echo("\n".join([f"{source}: ok, {', '.join(parts)}", *odd]))
    if as_json:
        print_json(checked)
    sys.exit(int(damaged))
