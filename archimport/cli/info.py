"""`archimport info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archimport.cli.store import json_option, open_store, print_json, store_argument
from archimport.runtime.unit import plan_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command("info")
@store_argument
@json_option
def command(store: str, as_json: bool) -> None:
    """Describe STORE: kind, size, what it runs on and how it was made."""
    opened, _ = open_store(store)
    plan = plan_of(opened)
    facts = {"location": opened.location, "kind": opened.kind, **opened.describe()}
    facts |= {"unpacks": ", ".join(sorted(plan.unpacked)) or "nothing", "extensions": len(plan.libraries)}
    if as_json:
        print_json(facts)
        return
    rows = dict(_rows(facts))
    width = max(map(len, rows))
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {value}")


def _rows(facts: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Give the facts as people read them: those that belong together behind a common word."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", value[key]) for key in sorted(value))
        else:
            yield name, {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
