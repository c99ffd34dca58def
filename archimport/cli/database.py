"""What the commands for databases share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from archimport.cli.store import split_release
from archimport.runtime.errors import ConfigError
from archimport.runtime.location import split_scheme
from archimport.runtime.schemes import is_database
from archimport.sql.schema import DATABASE_SUFFIXES
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


def check_order(database: str, inputs: Sequence[str]) -> None:
    """Raise ConfigError if the database is a directory, or if one of the inputs is a database instead."""
    is_misplaced = any(map(_is_database, inputs)) or os.path.isdir(database)
    if is_misplaced and not (split_scheme(database) or _is_database(database)):
        raise ConfigError("the first argument is no database", hint="write archimport publish URL PATH ...")


def _is_database(text: str) -> bool:
    """Return whether a person means a database with an argument, as far as its spelling shows."""
    split = split_scheme(text)
    if split is not None:
        return is_database(split[0])
    return split_release(text)[0].endswith(DATABASE_SUFFIXES) and not os.path.isdir(text)


def print_table(rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns; nothing for none."""
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
