"""`archimport gc`."""

from __future__ import annotations

import click

from archimport.cli.database import database_argument
from archimport.cli.store import echo_done, json_option, to_json
from archimport.sql.source import address_of


@click.command("gc")
@database_argument
@click.option(
    "--days", type=click.FloatRange(0, 36_500), default=30, show_default=True, help="How long releases are kept."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@json_option
def command(database: str, days: float, dry_run: bool, as_json: bool) -> None:
    """Delete releases of URL that no channel points to, or did in the last days, and contents that no release has."""
    from archimport.sql.history import collect  # deferred: SQLAlchemy

    collected = collect(address_of(database), days=days, dry_run=dry_run)
    if as_json:
        echo_done(to_json(collected._asdict()))
    else:
        would = "would delete" if dry_run else "deleted"
        echo_done(f"{would} {len(collected.releases)} releases and {collected.contents} contents")
