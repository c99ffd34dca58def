"""How far up from its own file a source looks for others: what is below that has to be real files, and nothing else."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

#: Calls and attributes that give the same place in another way, and those that give the folder above it.
_SAME = frozenset({"abspath", "realpath", "normpath", "fspath", "str", "Path", "PurePath", "resolve", "absolute"})
_ABOVE = frozenset({"dirname", "parent"})
#: Calls that go down from a place, or look at it; what else they are given has to be words without `..`.
_BELOW = frozenset(
    {"join", "joinpath", "with_name", "with_suffix", "open", "read_text", "read_bytes", "exists", "isfile", "isdir"}
    | {"is_file", "is_dir", "listdir", "iterdir", "glob", "rglob", "stat", "getmtime", "relative_to", "relpath"}
)
_HIGHEST = 20
_UP = re.compile(r"(^|[/\\])\.\.([/\\]|$)")


class Height(NamedTuple):
    """How many folders above its own file a source goes at most, 1 for those that stay beside it.

    `names` are those of the module that have such a place, which other sources might take up.
    """

    folders: int
    names: frozenset[str]


def height(tree: ast.Module) -> Height | None:
    """Follow each place that begins with `__file__` to what is done with it; None if that is not plainly harmless.

    >>> height(ast.parse("DATA = os.path.join(os.path.dirname(__file__), 'data')")).folders
    1
    >>> height(ast.parse("ROOT = Path(__file__).resolve().parent.parent / 'data'")).folders
    2
    >>> height(ast.parse("HERE = dirname(__file__); UP = open(join(HERE, '..', 'data'))"))
    """
    parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    levels = {"__file__": 0}
    highest = 1
    while True:
        known = dict(levels)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in known:
                end, level = _climb(node, known[node.id], parents)
                highest = max(highest, level)
                name = _bound_name(parents[id(end)])
                if name is not None:
                    levels[name] = max(level, levels.get(name, 0))
                elif not _is_harmless(end, parents):
                    return None
        if levels == known:
            return Height(highest, frozenset(levels) - {"__file__"})
        if highest > _HIGHEST:  # a loop goes up
            return None


def _climb(node: ast.AST, level: int, parents: dict[int, ast.AST]) -> tuple[ast.AST, int]:
    """Give the largest expression that is the same place or one above it, and how far above."""
    while True:
        parent = parents[id(node)]
        if isinstance(parent, ast.Call):
            name = name_of(node if parent.func is node else parent.func if parent.args[:1] == [node] else parent)
        else:
            name = name_of(parent) if isinstance(parent, ast.Attribute) else ""
        if name not in _SAME and name not in _ABOVE:
            return node, level
        node, level = parent, level + (name in _ABOVE)


def _bound_name(parent: ast.AST) -> str | None:
    target = parent.targets[0] if isinstance(parent, ast.Assign) and len(parent.targets) == 1 else None
    return target.id if isinstance(target, ast.Name) else None


def _is_harmless(place: ast.AST, parents: dict[int, ast.AST]) -> bool:
    """Whether what is done with a place leads nowhere above it."""
    parent = parents[id(place)]
    if isinstance(parent, ast.Attribute):
        call = parents[id(parent)]
        given = call.args if isinstance(call, ast.Call) and call.func is parent else []
        return parent.attr in ("name", "stem") or (parent.attr in _BELOW and all(map(_is_word, given)))
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, ast.Div) and parent.left is place and _is_word(parent.right)
    if isinstance(parent, ast.Call):
        others = [argument for argument in parent.args if argument is not place]
        return name_of(parent.func) in _BELOW and place in parent.args and all(map(_is_word, others))
    return isinstance(parent, (ast.Compare, ast.Expr))


def _is_word(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and _UP.search(node.value) is None


def name_of(node: ast.AST) -> str:
    """Give what a name or an attribute is called, nothing for other nodes."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
