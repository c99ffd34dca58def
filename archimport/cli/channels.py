"""`archimport channels`."""

from __future__ import annotations

import click

from archimport.cli.database import database_argument, print_table
from archimport.cli.store import json_option, print_json
from archimport.sql.source import address_of


@click.command("channels")
@database_argument
@json_option
def command(database: str, as_json: bool) -> None:
    """List the channels of URL and the releases they point to."""
    from archimport.sql.history import channels  # deferred: SQLAlchemy

    found = channels(address_of(database))
    if as_json:
        print_json([channel._asdict() for channel in found])
        return
    print_table(
        [
            (
                row.name,
                f"release {row.release}",
                f"{row.members} members",
                (row.digest or "")[:12],  # a hostile database may say NULL
                row.created_at,
                row.created_by,
            )
            for row in found
        ]
    )
