"""`archimport verify`."""

from __future__ import annotations

import sys

import click

from archimport.cli.store import json_option, open_store, print_json
from archimport.runtime.errors import ArchimportError


@click.command("verify")
@click.argument("stores", metavar="STORE...", nargs=-1, required=True)
@json_option
def command(stores: tuple[str, ...], as_json: bool) -> None:
    """Check every byte of each STORE; nothing in it is run."""
    checked, damaged = {}, False
    for source in stores:
        try:
            checked[source] = list(open_store(source)[0].verify())
        except ArchimportError as exc:
            damaged = True
            click.echo(f"archimport: error: {exc}", err=True)
        else:
            if not as_json:
                click.echo(f"{source}: ok, {', '.join(checked[source])}")
    if as_json:
        print_json(checked)
    sys.exit(int(damaged))
