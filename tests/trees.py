"""Trees are nested dicts: a str or bytes is a file, a dict a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Tree = Mapping[str, "str | bytes | Tree"]


def flatten(tree: Tree, folder: str = "") -> dict[str, bytes]:
    """Give the files of a tree by path."""
    files: dict[str, bytes] = {}
    for name, value in tree.items():
        path = f"{folder}{name}"
        if isinstance(value, Mapping):
            files |= flatten(value, f"{path}/")
        else:
            files[path] = value.encode() if isinstance(value, str) else value
    return files


def write_tree(tree: Tree, folder: Path) -> Path:
    """Write a tree below a folder and give the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in tree.items():
        if isinstance(value, Mapping):
            write_tree(value, folder / name)
        else:
            (folder / name).write_bytes(value.encode() if isinstance(value, str) else value)
    return folder
