"""`archimport enable`."""

from __future__ import annotations

import click

from archimport.cli.site_files import enable


@click.command("enable")
def command() -> None:
    """Let every Python of this virtual environment find stores on its path: PYTHONPATH=plugins.db works, say.

    It costs a few milliseconds at each start. `archimport disable` undoes it.
    """
    click.echo(f"enabled in {enable()}")
