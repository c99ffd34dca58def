"""`archimport disable`."""

from __future__ import annotations

import click

from archimport.cli.site_files import disable


@click.command("disable")
def command() -> None:
    """Let the Pythons of this virtual environment start as they did before `archimport enable`."""
    click.echo(f"disabled in {disable()}")
