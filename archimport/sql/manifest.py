"""The manifest: what a release holds, as bytes whose digest is the release's identity.

It has columns, so that opening a release costs little whatever its size: records of one length, then the paths, as
docs/sql-schema.md says.
"""

from __future__ import annotations

import struct

from archimport.runtime.bytecode import source_of
from archimport.runtime.codec import MAX_SIZE
from archimport.runtime.digest import DIGEST_SIZE, digest
from archimport.runtime.errors import FormatError, LimitError
from archimport.runtime.index import MemberIndex
from archimport.runtime.store import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MAGIC = b"archimport manifest 1\n"
_COUNT = struct.Struct("<I")
#: Digest and size of the content, and the digest of the source that it is the bytecode of.
_RECORD = struct.Struct(f"<{DIGEST_SIZE}sQ{DIGEST_SIZE}s")
_START = len(_MAGIC) + _COUNT.size
_NO_SOURCE = bytes(DIGEST_SIZE)
MAX_MEMBERS = 1_000_000
#: In bytes: a million members whose paths have sixty characters.
MAX_MANIFEST = 128 << 20


class ManifestIndex(MemberIndex):
    """The index of a manifest; FormatError or LimitError if it is none, unless the same bytes were checked before."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes, *, is_checked: bool = False) -> None:
        self._content = content
        try:
            count, end = _layout(content)
            *paths, rest = content[end:].decode().split("\n")
        except (struct.error, ValueError) as exc:
            raise FormatError("not a manifest of version 1") from exc
        if content[: len(_MAGIC)] != _MAGIC or rest or len(paths) != count or paths != sorted(paths):
            raise FormatError("not a manifest of version 1")
        if not is_checked:
            self._check_names(paths)
        self._build(paths, range(_START, end, _RECORD.size))
        if not is_checked:
            self._check_kinds()
            self._check_sizes()
            self._check_bytecode()

    def _entry(self, path: str, row: object) -> Entry:
        key, size, _ = self._record(row)
        return Entry(path, size=size, mtime=int.from_bytes(key[:4], "little"), digest=key)

    def _check_sizes(self) -> None:
        for path, row in self._rows.items():
            size = self._record(row)[1]
            if size > MAX_SIZE:
                raise LimitError(f"member of {size} bytes is too large", member=path)

    def _check_bytecode(self) -> None:
        """Raise FormatError for bytecode that is not of the source beside it: no other check comes before it runs."""
        for path, row in self._rows.items():
            source = self._rows.get(source_of(path) or "")
            if source is not None and self._record(row)[2] != self._record(source)[0]:
                raise FormatError("bytecode is not of the source beside it", member=path)

    def _record(self, row: object) -> tuple[bytes, int, bytes]:
        return _RECORD.unpack_from(self._content, row)  # type: ignore[arg-type]  # what the constructor gave


def _layout(content: bytes) -> tuple[int, int]:
    """Return the number of members, and where their paths begin; ValueError if there are not as many lines.

    LimitError for more members or bytes than a manifest may have.
    """
    (count,) = _COUNT.unpack_from(content, len(_MAGIC))
    end = _START + count * _RECORD.size
    if count > MAX_MEMBERS or len(content) > MAX_MANIFEST:
        raise LimitError(f"manifest of {count} members in {len(content)} bytes is too large")
    if content.count(b"\n", end) != count:
        raise ValueError(count)
    return count, end


def render(entries: Iterable[Entry]) -> bytes:
    """Give the manifest of entries that have `path`, `size` and `digest`, bytecode bound to the source beside it.

    FormatError or LimitError if it could not be read back.
    """
    files = {entry.path: entry for entry in sorted(entries, key=lambda entry: entry.path)}
    records = []
    for path, entry in files.items():
        source = files.get(source_of(path) or "")
        bound = source.digest if source else _NO_SOURCE
        records.append(_RECORD.pack(entry.digest, entry.size, bound))
    paths = "".join(f"{path}\n" for path in files)
    content = b"".join([_MAGIC, _COUNT.pack(len(files)), *records, paths.encode("utf-8", "surrogatepass")])
    ManifestIndex(content)
    return content


def entry_of(path: str, content: bytes) -> Entry:
    """Give the entry of a member with that content."""
    return Entry(path, size=len(content), digest=digest(content))
