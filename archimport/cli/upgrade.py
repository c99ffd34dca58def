"""`archimport upgrade`."""

from __future__ import annotations

import click

from archimport.cli.database import database_argument
from archimport.cli.store import echo_done
from archimport.sql.source import address_of


@click.command("upgrade")
@database_argument
def command(database: str) -> None:
    """Bring the tables of URL to the version that this archimport writes; make them where there are none."""
    from archimport.sql.upgrade import upgrade  # deferred: SQLAlchemy

    before, after = upgrade(address_of(database))
    echo_done(f"version {after}" + ("" if before == after else f", was {before}" if before else ", made now"))
