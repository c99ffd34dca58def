"""`archimport grants`."""

from __future__ import annotations

import click

from archimport.cli.database import database_argument
from archimport.sql.source import address_of


@click.command("grants")
@database_argument
@click.option("--reader", default="archimport_reader", show_default=True, metavar="ROLE")
@click.option("--publisher", default="archimport_publisher", show_default=True, metavar="ROLE")
@click.option("--admin", default="archimport_admin", show_default=True, metavar="ROLE")
def command(database: str, reader: str, publisher: str, admin: str) -> None:
    """Print the SQL that lets one role import from URL, one publish, and one delete old releases.

    Nothing is sent to the database. Who may publish decides what code runs.
    """
    from archimport.sql.grants import grants  # deferred: SQLAlchemy

    for statement in grants(address_of(database), reader=reader, publisher=publisher, admin=admin):
        click.echo(f"{statement};")
