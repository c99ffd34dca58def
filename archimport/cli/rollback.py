"""`archimport rollback`."""

from __future__ import annotations

import click

from archimport.cli.database import address_on_channel, channel_option, database_argument, message_option
from archimport.cli.store import echo_done, json_option, to_json


@click.command("rollback")
@database_argument
@click.argument("release", type=click.IntRange(1, 2**31 - 1), required=False)
@channel_option
@message_option
@json_option
def command(database: str, release: int | None, channel: str | None, message: str, as_json: bool) -> None:
    """Let a channel of URL point to RELEASE, or to the release before the one it points to."""
    from archimport.sql.history import rollback  # deferred: SQLAlchemy

    address = address_on_channel(database, channel)
    event = rollback(address, address.channel, release, message)
    if as_json:
        echo_done(to_json(event._asdict()))
    else:
        echo_done(f"{event.channel}: release {event.to_release}")
