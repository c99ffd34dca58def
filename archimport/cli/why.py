"""`archimport why`."""

from __future__ import annotations

import click

from archimport.cli.store import json_option, open_store, print_json, store_argument
from archimport.runtime.bytecode import cached_member
from archimport.runtime.errors import ConfigError
from archimport.runtime.finder import StoreFinder
from archimport.runtime.names import join
from archimport.runtime.store import Entry, Store
from archimport.runtime.unit import DECISIONS, plan_of, read_text


@click.command("why")
@store_argument
@click.argument("module")
@json_option
def command(store: str, module: str, as_json: bool) -> None:
    """Tell which member of STORE answers for MODULE, and what was decided on it when it was packed."""
    opened, folder = open_store(store)
    facts = explain(opened, folder, module)
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {value}")


def explain(store: Store, folder: str, module: str) -> dict[str, str]:
    """Give what is known of a module: its member, its bytecode, and what was decided on its package, and why.

    ConfigError if the store has no such module.
    """
    member = _member(store, folder, module)
    facts = {"module": module, "member": member or f"{join(folder, module.replace('.', '/'))}/ (namespace)"}
    cached = cached_member(member)
    if member.endswith(".py"):
        facts["bytecode"] = cached if cached and store.lookup(cached) else "none for this Python"
    unit = next((unit for path, unit in plan_of(store).unpacked.items() if _is_in(member, path)), None)
    unit = unit or plan_of(store).libraries.get(member)
    if unit:
        facts["unit"] = unit
    for owner, decision, reason, *packages in _decisions(store):
        if any(_is_in(member, package) for package in packages):
            facts |= {"distribution": owner, "decision": decision, "reason": reason}
    return facts


def _member(store: Store, folder: str, module: str) -> str:
    """Give the member that is a module, empty for a portion of a namespace package."""
    if not all(map(str.isidentifier, module.split("."))):
        raise ConfigError(f"{module!r} is no name of a module")
    path = folder
    for name in module.split("."):
        entry, found = _find(store, path, name), join(path, name)
        if entry is None and not _is_folder(store, found):
            raise ConfigError(f"there is no module {module!r}", store=store.location)
        path = found
    return entry.path if entry is not None else ""


def _find(store: Store, folder: str, name: str) -> Entry | None:
    spec = StoreFinder(store, folder, store.location, unpacks=False).find_spec(name)
    return spec.loader_state if spec is not None else None


def _is_folder(store: Store, path: str) -> bool:
    entry = store.lookup(path)
    return entry is not None and entry.is_dir


def _is_in(member: str, package: str) -> bool:
    return member == package or member.startswith(f"{package}/")


def _decisions(store: Store) -> list[list[str]]:
    entry = store.lookup(DECISIONS)
    text = b"" if entry is None or entry.is_dir else read_text(store, entry)
    return [
        fields
        for fields in (line.split("\t") for line in text.decode("utf-8", "replace").splitlines())
        if len(fields) > 2
    ]
