"""What the targets of a pack share, and what each has for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Layers(NamedTuple):
    """Files by member path: `common` ones are layer 0, `own[n]` those of target n alone, which are layer n + 1."""

    common: dict[str, Path]
    own: list[dict[str, Path]]

    def layer_of(self, path: str, target: int) -> int:
        """Give the layer in which the target with that number finds a file."""
        return target + 1 if path in self.own[target] else 0

    def seen(self, target: int) -> dict[str, Path]:
        """Give the files that a target sees."""
        return {**self.common, **self.own[target]}

    def sources(self, target: int) -> dict[str, bytes]:
        """Give the Python sources that a target sees, sorted by path."""
        seen = self.seen(target)
        return {path: seen[path].read_bytes() for path in sorted(seen) if path.endswith(".py")}

    def add(self, others: Layers) -> None:
        """Take in other files of the same targets."""
        self.common.update(others.common)
        for own, added in zip(self.own, others.own, strict=True):
            own.update(added)


def split(trees: Sequence[Mapping[str, Path]]) -> Layers:
    """Tell what is the same file in every target's tree from what is not."""
    first, *others = trees
    common = {
        path: file
        for path, file in first.items()
        if all(path in other and _same(file, other[path]) for other in others)
    }
    return Layers(common, [{path: file for path, file in tree.items() if path not in common} for tree in trees])


def _same(one: Path, other: Path) -> bool:
    return one == other or one.read_bytes() == other.read_bytes()
