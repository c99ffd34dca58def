"""`archimport ls`."""

from __future__ import annotations

import click

from archimport.cli.store import as_dict, json_option, open_store, print_json, store_argument


@click.command("ls")
@store_argument
@click.option("-l", "long", is_flag=True, help="Show sizes.")
@json_option
def command(store: str, long: bool, as_json: bool) -> None:
    """List the members of STORE, a file or URL of any kind of store."""
    opened, folder = open_store(store)
    if as_json:
        print_json([as_dict(entry) for entry in opened.walk(folder)])
        return
    for entry in opened.walk(folder):
        click.echo(f"{entry.size:>10}  {entry.path}" if long else entry.path)
