"""`archimport log`."""

from __future__ import annotations

import click

from archimport.cli.database import address_on_channel, database_argument, print_table
from archimport.cli.store import json_option, print_json


@click.command("log")
@database_argument
@click.option("--channel", metavar="NAME", help="Only this channel.")
@json_option
def command(database: str, channel: str | None, as_json: bool) -> None:
    """Show who moved the channels of URL, from which release to which, when and why; the newest first."""
    from archimport.sql.history import log  # deferred: SQLAlchemy

    address = address_on_channel(database, channel)
    events = log(address, address.said.get("channel"))
    if as_json:
        print_json([event._asdict() for event in events])
        return
    print_table(
        [
            (
                event.channel,
                event.serial,
                f"{event.from_release or '-'} -> {event.to_release}",
                event.action,
                event.done_at,
                event.done_by,
                event.message,
            )
            for event in events
        ]
    )
