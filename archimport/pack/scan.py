"""What a package does with its own place: whether it opens files there, by its source alone (nothing is executed)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from archimport.pack.height import Height, height, name_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: What `__path__` is for; everything else takes it for a folder.
_SEARCHES = frozenset({"iter_modules", "walk_packages", "extend_path", "find_spec", "discover"})
#: What is given the name of a module or package in order to find files beside it.
_FRAMEWORKS = frozenset({"Flask", "Blueprint", "Quart", "Sanic", "APIFlask", "PackageLoader",
                         "resource_filename", "resource_isdir", "resource_listdir"})  # fmt: skip
#: What gives the file of what it is given (the module inspect).
_FILE_OF = frozenset({"getfile", "getsourcefile", "getabsfile"})
#: What is given a place in order to tell it to people: functions, and methods of what has these names.
_TELLERS = frozenset({"print", "echo", "add_row"})
_LOGGERS = frozenset({"log", "logger", "logging", "_log", "_logger", "LOG", "LOGGER"})
_PLACES = frozenset({"__file__", "__path__"})
_BY_FILE = "finds files by __file__"
#: The same by way of `__spec__`.
_SPEC_PLACES = frozenset({"origin", "submodule_search_locations"})
#: A source without any of these words is not worth parsing.
_WORDS = tuple(word.encode() for word in (*_PLACES, "__spec__", *_FRAMEWORKS, *_FILE_OF))


class Finding(NamedTuple):
    """Why a package has to be real files, the line that says so, and how far up they may be (None: anywhere)."""

    reason: str
    line: int
    height: Height | None


def scan(source: bytes, own: Collection[str] = ()) -> Finding | None:
    """Give the first thing in a source that needs real files; None if there is none, or it is no Python.

    `own` are the packages and modules that it belongs to.
    """
    if not any(word in source for word in _WORDS):
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last: nested too deep
        return None
    found = list(_reasons(tree, own))
    if not found:
        return None
    reason, line = found[0]
    return Finding(reason, line, height(tree) if all(reason == _BY_FILE for reason, _ in found) else None)


def _reasons(tree: ast.Module, own: Collection[str]) -> Iterator[tuple[str, int]]:
    harmless = {id(node) for part in ast.walk(tree) for node in _harmless(part)}
    for node in ast.walk(tree):
        if id(node) in harmless:
            continue
        if isinstance(node, ast.Name) and node.id in _PLACES and isinstance(node.ctx, ast.Load):
            yield f"finds files by {node.id}", node.lineno
        if isinstance(node, ast.Attribute) and node.attr in _PLACES and _is_own_module(node.value, own):
            yield f"finds files by a module's {node.attr}", node.lineno
        if isinstance(node, ast.Attribute) and node.attr in _SPEC_PLACES and _is_own_spec(node):
            yield f"finds files by __spec__.{node.attr}", node.lineno
        if (
            isinstance(node, ast.Call)
            and name_of(node.func) in _FILE_OF
            and any(_is_here(a, own) for a in _given(node))
        ):
            yield f"finds files by {name_of(node.func)}", node.lineno
        if isinstance(node, ast.Call) and name_of(node.func) in _FRAMEWORKS and any(map(_names_module, _given(node))):
            yield f"{name_of(node.func)} finds files beside a module", node.lineno


def _harmless(node: ast.AST) -> Iterator[ast.AST]:
    """Give the parts of a node that name the place of a module without opening anything there."""
    if isinstance(node, ast.Call) and name_of(node.func) in _SEARCHES:
        yield from (argument for argument in _given(node) if isinstance(argument, ast.Name))
    if isinstance(node, ast.Call) and _tells(node.func):
        for argument in _given(node):
            parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
            yield from (part.value if isinstance(part, ast.FormattedValue) else part for part in parts)
    if isinstance(node, ast.If) and _is_main_guard(node.test):
        for statement in node.body:
            yield from ast.walk(statement)
    if isinstance(node, ast.Compare):
        yield from (node.left, *node.comparators)


def _tells(function: ast.expr) -> bool:
    return name_of(function) in _TELLERS or (
        isinstance(function, ast.Attribute) and name_of(function.value) in _LOGGERS
    )


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _is_main_guard(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )


def _is_own_module(value: ast.expr, own: Collection[str]) -> bool:
    """Whether this is a package of its own by its name, or what `sys.modules` has."""
    if isinstance(value, ast.Subscript):
        return isinstance(value.value, ast.Attribute) and value.value.attr == "modules"
    return isinstance(value, ast.Name) and value.id in own


def _is_own_spec(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name) and node.value.id == "__spec__"


def _is_here(value: ast.expr, own: Collection[str]) -> bool:
    """Whether this is a package of its own, or the frame that runs."""
    return _is_own_module(value, own) or (
        isinstance(value, ast.Call) and name_of(value.func) in ("currentframe", "_getframe")
    )


def _names_module(argument: ast.expr) -> bool:
    if isinstance(argument, ast.Constant):
        return isinstance(argument.value, str)
    return any(isinstance(node, ast.Name) and node.id in ("__name__", "__package__") for node in ast.walk(argument))
