"""What a package does with its own place: whether it opens files there, by its source alone (nothing is executed)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What `__path__` is for; everything else takes it for a folder.
_SEARCHES = frozenset({"iter_modules", "walk_packages", "extend_path", "find_spec", "discover"})
#: What is given the name of a module or package in order to find files beside it.
_FRAMEWORKS = frozenset({"Flask", "Blueprint", "Quart", "Sanic", "APIFlask", "PackageLoader"})
_PLACES = frozenset({"__file__", "__path__"})
#: A source without any of these words is not worth parsing.
_WORDS = tuple(word.encode() for word in (*_PLACES, *_FRAMEWORKS))


class Finding(NamedTuple):
    """Why a package has to be real files, and the line that says so."""

    reason: str
    line: int


def scan(source: bytes) -> Finding | None:
    """Give the first thing in a source that needs real files; None if there is none, or it is no Python."""
    if not any(word in source for word in _WORDS):
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return next(_findings(tree), None)


def _findings(tree: ast.Module) -> Iterator[Finding]:
    harmless = {id(node) for part in ast.walk(tree) for node in _harmless(part)}
    for node in ast.walk(tree):
        if id(node) in harmless:
            continue
        if isinstance(node, ast.Name) and node.id in _PLACES and isinstance(node.ctx, ast.Load):
            yield Finding(f"finds files by {node.id}", node.lineno)
        if isinstance(node, ast.Call) and _name(node.func) in _FRAMEWORKS and any(map(_is_module_name, node.args)):
            yield Finding(f"{_name(node.func)} finds files beside a module", node.lineno)


def _harmless(node: ast.AST) -> Iterator[ast.AST]:
    """Give the parts of a node that name the place of a module without opening anything there."""
    if isinstance(node, ast.Call) and _name(node.func) in _SEARCHES:
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            yield from ast.walk(argument)
    if isinstance(node, ast.If) and _is_main_guard(node.test):
        for statement in node.body:
            yield from ast.walk(statement)
    if isinstance(node, ast.Compare):
        yield from ast.walk(node)


def _is_main_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _is_module_name(argument: ast.expr) -> bool:
    if isinstance(argument, ast.Name):
        return argument.id in ("__name__", "__package__")
    return isinstance(argument, ast.Constant) and isinstance(argument.value, str)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
