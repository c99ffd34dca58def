"""What the commands for databases share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archimport.cli.store import split_release
from archimport.sql.source import address_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archimport.sql.address import Address

database_argument = click.argument("database", metavar="URL")
channel_option = click.option(
    "--channel", metavar="NAME", help="The channel; by default what URL or the configuration say, else main."
)
message_option = click.option("-m", "--message", default="", metavar="TEXT", help="Why, for the audit trail.")


def address_on_channel(database: str, channel: str | None) -> Address:
    """Give the database and the channel that a person named, in the option or in the URL."""
    source, options = split_release(database)
    return address_of(source).saying(**options).on_channel(channel)


def print_table(rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns; nothing for none."""
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
