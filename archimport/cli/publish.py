"""`archimport publish`."""

from __future__ import annotations

import click

from archimport.cli.database import address_on_channel, channel_option, check_order, database_argument, message_option
from archimport.cli.pack import input_options, show_progress
from archimport.cli.store import echo_done, json_option, split_release, to_json


@click.command("publish")
@database_argument
@click.argument("inputs", metavar="[REQUIREMENT | PATH]...", nargs=-1)
@channel_option
@message_option
@input_options
@click.option(
    "--python", "pythons", multiple=True, metavar="X.Y[t]", help="A Python to compile for; by default this one."
)
@json_option
def command(
    database: str,
    inputs: tuple[str, ...],
    channel: str | None,
    message: str,
    requirements: tuple[str, ...],
    entry: str | None,
    script: str | None,
    pythons: tuple[str, ...],
    platform: tuple[str, ...],
    unpack: tuple[str, ...],
    no_unpack: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a release of requirements, projects, wheels and plain folders, and let a channel of URL point to it.

    URL is a SQLite file, a SQLAlchemy URL or sql:NAME. Processes that run go on with the release they have.
    """
    from archimport.pack.publish import publish  # deferred: other commands do without

    check_order(database, inputs)
    with show_progress() as progress:
        address_on_channel(database, channel)  # or ConfigError: a release, or two channels
        source, options = split_release(database)
        published = publish(
            source,
            inputs,
            channel=channel or options.get("channel"),
            message=message,
            requirements=requirements,
            entry=entry,
            script=script,
            python=pythons,
            platform=platform,
            unpack=unpack,
            no_unpack=no_unpack,
            progress=progress,
        )
    if as_json:
        echo_done(to_json(published._asdict()))
    else:
        what = f"release {published.release} of {published.members} members, {published.size / 1e6:.2f} MB"
        echo_done(f"{published.channel}: {what}" if published.moved else f"{published.channel}: already {what}")
