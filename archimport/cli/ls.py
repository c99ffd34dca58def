"""`archimport ls`."""

from __future__ import annotations

import click

from archimport.cli.store import as_dict, json_option, odd_line, open_store, print_json, store_argument


@click.command("ls")
@store_argument
@click.option("-l", "long", is_flag=True, help="Show sizes.")
@json_option
def command(store: str, long: bool, as_json: bool) -> None:
    """List the members of STORE, a file or URL of any kind of store; odd ones, which cannot be read, are marked."""
    opened, folder = open_store(store)
    entries = sorted([*opened.walk(folder), *opened.odd(folder)], key=lambda entry: entry.path.split("/"))
    if as_json:
        print_json([as_dict(entry) for entry in entries])
        return
    for entry in entries:
        name = odd_line(entry) if entry.problem else entry.path
        click.echo(f"{entry.size:>10}  {name}" if long else name)
