"""Code objects without compiling: bytecode bound to source in the store, and the user's cache.

Bytecode is looked for at the place PEP 3147 gives it. It is used only if its header (PEP 552) fits this interpreter and
the source; what does not fit is ignored, and the source is compiled. Bytes reach `marshal` only after the store or the
cache has verified them.
"""

from __future__ import annotations

import _imp
import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER

from archimport.runtime.digest import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

HEADER_SIZE = 16
_HASHED, _CHECKED = 1, 2


def cached_member(member: str) -> str | None:
    """Give where bytecode of a source member lies in a store (PEP 3147, PEP 488).

    >>> cached_member("pkg/mod.py").startswith("pkg/__pycache__/mod.")
    True
    """
    tag = sys.implementation.cache_tag
    if tag is None:
        return None
    folder, slash, name = member.rpartition("/")
    level = f".opt-{sys.flags.optimize}" if sys.flags.optimize else ""
    return f"{folder}{slash}__pycache__/{name.rpartition('.')[0]}.{tag}{level}.pyc"


def source_of(path: str) -> str | None:
    """Return where the source of bytecode lies, by PEP 3147; None for what is no bytecode in its place.

    >>> source_of("pkg/__pycache__/mod.cpython-311.opt-1.pyc")
    'pkg/mod.py'
    >>> source_of("pkg/mod.py") is None
    True
    """
    folder, _, name = path.rpartition("/")
    if not name.endswith(".pyc") or folder.rpartition("/")[2] != "__pycache__":
        return None
    return f"{folder.removesuffix('__pycache__')}{name.partition('.')[0]}.py"


def is_readable(pyc: bytes) -> bool:
    """Whether a pyc is one of this interpreter's."""
    return pyc[:4] == MAGIC_NUMBER and len(pyc) >= HEADER_SIZE and _flags(pyc) <= _HASHED | _CHECKED


def is_fresh(pyc: bytes, source: Callable[[], bytes]) -> bool:
    """Whether the header of `pyc` fits this interpreter and, by hash, the source; asks for the source only if it must.

    A pyc that names its source by time is never fresh: times of archives are coarse, and those of bundles are none.
    """
    if not is_readable(pyc):
        return False
    flags = _flags(pyc)
    if not flags & _HASHED:
        return False
    policy = _imp.check_hash_based_pycs
    if policy == "never" or (policy == "default" and not flags & _CHECKED):
        return True
    return pyc[8:16] == source_hash(source())


def unmarshal(pyc: bytes, path: str) -> CodeType | None:
    """Give the code of a fresh, verified pyc, naming `path` as its file; None if it holds no code."""
    try:
        code = marshal.loads(memoryview(pyc)[HEADER_SIZE:])
    except (EOFError, ValueError, TypeError):
        return None
    if not isinstance(code, _CodeType):
        return None
    _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]  # what importlib does with relocated bytecode
    return code


def hashed_pyc(code: CodeType, source: bytes, *, checked: bool) -> bytes:
    """Give the pyc of `code`, bound to its source by hash (PEP 552)."""
    flags = _HASHED | _CHECKED if checked else _HASHED
    return MAGIC_NUMBER + flags.to_bytes(4, "little") + source_hash(source) + marshal.dumps(code)


def source_hash(source: bytes) -> bytes:
    """Give the eight bytes by which a hash-based pyc names its source."""
    return _imp.source_hash(int.from_bytes(MAGIC_NUMBER, "little"), source)


def compile_through_cache(source: bytes, path: str, compile_source: Callable[[], CodeType]) -> CodeType:
    """Give the code of `source` from the user's cache, or compile and keep it there."""
    tag = sys.implementation.cache_tag
    if tag is None:
        return compile_source()
    from archimport.runtime import cache  # deferred: what is packed has its bytecode with it

    key = f"{tag}-{MAGIC_NUMBER.hex()}-{sys.flags.optimize}-{digest(source).hex()}"
    pyc = cache.get("bytecode", key)
    code = unmarshal(pyc, path) if pyc is not None else None
    if code is None:
        code = compile_source()
        if not sys.dont_write_bytecode:
            cache.put("bytecode", key, hashed_pyc(code, source, checked=False))
    return code


def _flags(pyc: bytes) -> int:
    return int.from_bytes(pyc[4:8], "little")


_CodeType = type(_flags.__code__)
