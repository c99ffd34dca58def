"""What of an app has to be real files: decided, and written down for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archimport.pack import layers
from archimport.pack.compile import source_path
from archimport.pack.judge import Decision, judge, owners_after
from archimport.pack.owners import owners_of
from archimport.pack.plan import importable, plan_members, sharers
from archimport.runtime.unit import DECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from archimport.pack.judge import Unpacking
    from archimport.pack.layers import Layers


def plan(
    files: Layers, bytecode: Sequence[Mapping[str, bytes]], asked: Unpacking, scratch: Path
) -> tuple[list[Decision], set[str]]:
    """Add to `files` the members that say what has to be real files, kept in `scratch`.

    Give what was decided, and the files that are unpacked.
    """
    everything = {**files.common, **{path: file for own in files.own for path, file in own.items()}}
    owners = owners_of(everything)
    decisions = judge(owners, everything, asked)
    owners = owners_after(owners, decisions)
    unpacked = {decision.owner for decision in decisions if decision.unpack}
    shared = {owner for group in sharers(everything, owners, unpacked) for owner in group} - unpacked
    why = "has files in a package that is unpacked"
    decisions = [Decision(old.owner, True, why) if old.owner in shared else old for old in decisions]
    unpacked |= shared
    plans = [
        plan_members(files.seen(number), dict(_seen_bytecode(files, bytecode, number)), owners, unpacked)
        for number in range(len(files.own))
    ]
    if any(plans):
        text = "".join(_line(decision, owners) for decision in decisions).encode()
        for members in plans:
            members[DECISIONS] = text
    files.add(layers.split([_written(members, scratch / str(number)) for number, members in enumerate(plans)]))
    return decisions, {path for path, owner in owners.items() if owner in unpacked}


def _line(decision: Decision, owners: Mapping[str, str]) -> str:
    found = importable([path for path, owner in owners.items() if owner == decision.owner])
    return "\t".join([decision.owner, "unpacked" if decision.unpack else "packed", decision.reason, *found]) + "\n"


def _seen_bytecode(files: Layers, bytecode: Sequence[Mapping[str, bytes]], number: int) -> Iterator[tuple[str, bytes]]:
    """Give the bytecode that is seen where the files of a target are: its own, and others' of what all have."""
    for other, pycs in enumerate(bytecode):
        for path, pyc in pycs.items():
            if other == number or not files.layer_of(source_path(path), other):
                yield path, pyc


def _written(members: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    for path, content in members.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return {path: folder / path for path in members}
