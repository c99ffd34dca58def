"""Greet somebody, and say what the app is made of."""

import sys
from importlib.metadata import version
from importlib.resources import files

import click
import httpx
from rich.console import Console
from rich.table import Table


@click.command()
@click.option("--name", default="world", help="Whom to greet.")
def main(name: str) -> None:
    """Greet somebody from inside a bundle."""
    greeting = files("hello").joinpath("greeting.txt").read_text(encoding="utf-8").strip()
    url = httpx.URL("https://example.org/", params={"name": name})
    table = Table(title=greeting.format(name=name))
    table.add_column("what")
    table.add_column("where")
    table.add_row("this module", __file__)
    table.add_row("httpx", f"{version('httpx')} from {httpx.__file__}")
    table.add_row("a URL made by it", str(url))
    table.add_row("Python", sys.version.split()[0])
    Console(width=100).print(table)
