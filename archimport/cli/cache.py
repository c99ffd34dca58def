"""`archimport cache`: what is kept for this user between starts; all of it can be made again."""

from __future__ import annotations

import re

import click

from archimport.cli import cache_folder
from archimport.cli.cache_check import check
from archimport.cli.store import json_option, print_json
from archimport.runtime.errors import IntegrityError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Size(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3
    """A number of bytes: `500M`, `2G`."""

    name = "SIZE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Give the number; a usage error for what is none."""
        found = re.fullmatch(r"(\d+)([KMGT]?)B?", str(value), re.IGNORECASE)
        if found is None:
            self.fail(f"{value!r} is no size: write 500M or 2G", param, ctx)
        return int(found[1]) * _UNITS[found[2].upper()]


@click.group("cache")
def command() -> None:
    """Look after the user's cache folder: extension modules, unpacked packages, bytecode, contents of databases."""


@command.command()
@json_option
def info(as_json: bool) -> None:
    """Show where the cache is, and how much of what it holds."""
    rows: dict[str, dict[str, int]] = {}
    for item in cache_folder.items():
        row = rows.setdefault(item.kind, {"items": 0, "bytes": 0})
        row["items"] += 1
        row["bytes"] += item.size
    place = str(cache_folder.folder())
    if as_json:
        print_json({"folder": place, "kinds": rows})
        return
    click.echo(place)
    for kind, row in rows.items():
        click.echo(f"{kind:<10}  {row['items']:>6}  {row['bytes'] / 1e6:>10.2f} MB")


@command.command()
def verify() -> None:
    """Read all that the cache holds. What is damaged is deleted, and made anew when it is needed.

    Bytecode that Python wrote anew in an extracted package is no damage. The packed one comes back.
    """
    found = list(check())
    for finding in found:
        click.echo(f"{finding.path}: {finding.what}")
    damaged = sum(finding.is_damage for finding in found)
    if damaged:
        raise IntegrityError(f"{damaged} of what the cache held was damaged", hint="it is made anew when it is needed")
    click.echo(f"{sum(1 for _ in cache_folder.items())} items are whole")


@command.command()
@click.option("--max-size", type=Size(), default="2G", show_default=True, help="How much may stay, as in 500M.")
def gc(max_size: int) -> None:
    """Delete what was used longest ago, until no more is left than may stay. What running programs use stays."""
    _say(*cache_folder.sweep(max_size))


@command.command()
def clear() -> None:
    """Delete all but what running programs use."""
    _say(*cache_folder.sweep(0))


def _say(gone: int, kept: int) -> None:
    click.echo(f"{gone / 1e6:.2f} MB deleted, {kept / 1e6:.2f} MB kept")
