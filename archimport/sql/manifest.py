"""The manifest: what a release holds, as bytes whose digest is the release's identity.

One line of text for each member, sorted by path: the digest of its content, its size, the digest of the source that it
is the bytecode of (or `-`), and its path.
"""

from __future__ import annotations

from archimport.runtime.digest import DIGEST_SIZE, digest
from archimport.runtime.errors import FormatError
from archimport.runtime.index import MemberIndex
from archimport.runtime.store import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_HEADER = "archimport manifest 1"


def parse(data: bytes) -> MemberIndex:
    """Give the index of a manifest; FormatError or LimitError if it is none.

    Bytecode that is not of the source beside it makes a manifest a false one: no other check comes before it runs.
    """
    try:
        header, *lines = data.decode().split("\n")
        if header != _HEADER or lines.pop() != "":
            raise FormatError("not a manifest of version 1")
        index = MemberIndex(map(_entry, lines))
    except ValueError as exc:  # no text, too few fields, no number
        raise FormatError("not a manifest of version 1") from exc
    for path, entry in index.files.items():
        source = index.files.get(source_of(path) or "")
        if source is not None and entry.handle != source.digest:
            raise FormatError("bytecode is not of the source beside it", member=path)
    return index


def _entry(line: str) -> Entry:
    content, size, source, path = line.split(" ", 3)
    key = bytes.fromhex(content)
    if len(key) != DIGEST_SIZE:
        raise ValueError
    handle = None if source == "-" else bytes.fromhex(source)
    return Entry(path, size=int(size), mtime=int.from_bytes(key[:4], "little"), digest=key, handle=handle)


def render(entries: Iterable[Entry]) -> bytes:
    """Give the manifest of entries that have `path`, `size` and `digest`, bytecode bound to the source beside it."""
    files = {entry.path: entry for entry in entries}
    lines = [_HEADER]
    for path, entry in sorted(files.items()):
        source = files.get(source_of(path) or "")
        bound = (source.digest or b"").hex() if source else "-"
        lines.append(f"{(entry.digest or b'').hex()} {entry.size} {bound} {path}")
    return "\n".join([*lines, ""]).encode()


def entry_of(path: str, content: bytes) -> Entry:
    """Give the entry of a member with that content."""
    return Entry(path, size=len(content), digest=digest(content))


def source_of(path: str) -> str | None:
    """Give where the source of bytecode lies, by PEP 3147; None for what is no bytecode in its place.

    >>> source_of("pkg/__pycache__/mod.cpython-311.opt-1.pyc")
    'pkg/mod.py'
    >>> source_of("pkg/mod.py") is None
    True
    """
    folder, _, name = path.rpartition("/")
    if not name.endswith(".pyc") or folder.rpartition("/")[2] != "__pycache__":
        return None
    return f"{folder.removesuffix('__pycache__')}{name.partition('.')[0]}.py"
