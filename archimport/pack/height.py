"""How far up from its own file a source looks for others: what is below that has to be real files, and nothing else."""

from __future__ import annotations

import ast
import re

#: What gives the same place in another way.
_SAME = frozenset({"abspath", "realpath", "normpath", "fspath", "str", "Path", "PurePath", "resolve", "absolute"})
#: What takes a place apart.
_APART = frozenset({"split", "rsplit", "partition", "rpartition"})
_UP = re.compile(r"(^|[/\\])\.\.([/\\]|$)")


def height(tree: ast.Module) -> int | None:
    """Give how many folders above its own file a source goes at most, 1 for those that stay beside it.

    None if that cannot be told: something goes up from what may be any place.

    >>> height(ast.parse("DATA = os.path.join(os.path.dirname(__file__), 'data')"))
    1
    >>> height(ast.parse("ROOT = Path(__file__).resolve().parents[1]"))
    2
    >>> height(ast.parse("HERE = dirname(__file__); UP = dirname(HERE)"))
    """
    parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    climbs = {id(node) for node in ast.walk(tree) if _goes_up(node)}
    highest = 1
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "__file__":
            level = 0
            child: ast.AST = node
            while (step := _step(child, parents[id(child)])) is not None:
                child = parents[id(child)]
                level += step
                climbs.discard(id(child))
            if _is_unclear(child, parents[id(child)]):
                return None
            highest = max(highest, level)
    return None if climbs else highest


def _goes_up(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and _UP.search(node.value) is not None
    if isinstance(node, ast.Call):
        return _name(node.func) == "dirname"
    return _name(node) in ("parent", "parents", "pardir")


def _step(child: ast.AST, parent: ast.AST) -> int | None:
    """Give how many folders up an expression goes from one that it contains; None if it is something else."""
    if isinstance(parent, ast.Attribute):
        return {"parent": 1, "parents": 1, "resolve": 0, "absolute": 0}.get(parent.attr)
    if isinstance(parent, ast.Subscript) and _name(child) == "parents":
        index = parent.slice
        return index.value if isinstance(index, ast.Constant) and isinstance(index.value, int) else None
    if isinstance(parent, ast.Call) and (child is parent.func or child in parent.args[:1]):
        name = _name(parent.func)
        return 1 if name == "dirname" else 0 if name in _SAME else None
    return None


def _is_unclear(child: ast.AST, parent: ast.AST) -> bool:
    """Whether a place is taken apart, who knows where."""
    if isinstance(parent, ast.Call):
        return child in parent.args and _name(parent.func) in _APART
    return _name(child) == "parents" or (isinstance(parent, ast.Attribute) and parent.attr in _APART)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
