"""Bytecode by each target's own interpreter, in a child with nothing else loaded: the same sources, the same bytes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archimport.pack.target import Target

_CHILD = Path(__file__).with_name("compile_child.py")
_MAGIC_SIZE = 4


def compile_sources(target: Target, sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the pyc of each source that compiles, by where PEP 3147 puts it; none without an interpreter."""
    if target.interpreter is None or not sources:
        return {}
    pycs = zip(sources, _child(target.interpreter, "pyc", sources), strict=True)
    return {cached_path(path, target): pyc for path, pyc in pycs if pyc}


class Runtime(NamedTuple):
    """Carried modules for the stub: a table and its hash, the magic of their pycs, and the version that made both."""

    version: str
    magic: str
    table: bytes


def compile_runtime(interpreter: str, sources: Mapping[str, bytes]) -> Runtime:
    """Give the carried modules for the Python of an interpreter."""
    version, table = _child(interpreter, "table", sources)
    return Runtime(version.decode(), table[:_MAGIC_SIZE].hex(), table[_MAGIC_SIZE:])


def _child(interpreter: str, what: str, sources: Mapping[str, bytes]) -> Iterator[bytes]:
    fed = b"".join(_frame(path.encode()) + _frame(source) for path, source in sources.items())
    columns = ["-X", "no_debug_ranges"] if what == "table" else []  # a third of the runtime, for tracebacks of ours
    command = [interpreter, "-I", "-S", *columns, str(_CHILD), what]
    done = subprocess.run(command, input=fed, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise PackError(f"cannot compile with {interpreter!r}: {''.join(reason)}")
    at = 0
    while at < len(done.stdout):
        length = int.from_bytes(done.stdout[at : at + 4], "little")
        yield done.stdout[at + 4 : at + 4 + length]
        at += 4 + length


def _frame(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def cached_path(path: str, target: Target) -> str:
    """Give where the bytecode of a source for a target lies (PEP 3147)."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}__pycache__/{name.removesuffix('.py')}.cpython-{target.version.replace('.', '')}.pyc"


def source_path(cached: str) -> str:
    """Give the source of which bytecode lies there.

    >>> source_path("pkg/__pycache__/mod.cpython-311.pyc")
    'pkg/mod.py'
    """
    return f"{cached.replace('__pycache__/', '').rsplit('.', 2)[0]}.py"
