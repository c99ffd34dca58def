"""What tells our files from others: known to the hook, to the formats, and to the zip parser."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

#: Where in a file the magic stands: behind the line that launches it.
BUNDLE_MAGIC_OFFSET = 128
#: A byte over 127, both line ends and a NUL: what transfers as text damages is noticed.
BUNDLE_MAGIC = b"ARC\x93\r\n\x1a\x00"
#: What SQLite's header says at this offset of a database made by us (PRAGMA application_id).
APPLICATION_ID_OFFSET, APPLICATION_ID = 68, b"ARCI"
#: The comment of the zip at the end of a bundle. If the header is damaged, it is no zip all the same.
TAIL_COMMENT = b"tail of an archimport bundle"
#: How the names of bundles end. A bundle is known by its magic; a name tells only of what is gone or empty.
SUFFIX = ".arc"
_SQLITE, _SQLITE_HEADER = b"SQLite format 3\0", 100
#: The first bytes of a file say what it is: (kind, offset, what stands there). These make a bare path entry ours,
OURS = (("bundle", BUNDLE_MAGIC_OFFSET, BUNDLE_MAGIC), ("sql", APPLICATION_ID_OFFSET, APPLICATION_ID))
#: and these only what a person named.
OTHERS = (
    ("sql", 0, _SQLITE),
    ("zip", 0, b"PK\x03\x04"),
    ("zip", 0, b"PK\x05\x06"),
    ("zip", 0, b"PK\x07\x08"),  # written in parts: there may be one alone
    ("zip", 0, b"#!"),  # a zip that runs; the zip's own parser decides
)
#: In bytes: as much of a file is read to recognise it.
SNIFFED = 256


def kind_of(header: bytes, magics: tuple[tuple[str, int, bytes], ...]) -> str | None:
    """Return the kind of store whose magic stands in the first bytes of a file."""
    for kind, offset, magic in magics:
        if header[offset : offset + len(magic)] == magic:
            return kind
    return None


def was(file: str, header: bytes, stream: BinaryIO) -> str | None:
    """Return the kind of store that a damaged file was; None if nothing shows one. To open it raises, as it should.

    Half of a magic is enough, or the comment at the end of a bundle. The name counts only for a file without content.
    """
    half = [kind for kind, offset, magic in OURS if _is_half(header[offset : offset + len(magic)], magic)]
    if "bundle" in half:
        return "bundle"
    is_named, is_launched = file.lower().endswith(SUFFIX), header.startswith(b"#!")
    if is_named and (not header.strip(b"\0") or (is_launched and len(header) < SNIFFED)):
        return "bundle"
    if is_named or is_launched:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - len(TAIL_COMMENT)))
        if stream.read() == TAIL_COMMENT:
            return "bundle"
    is_sqlite = header.startswith(_SQLITE)
    return "sql" if is_sqlite and (half or len(header) < _SQLITE_HEADER) else None


def _is_half(found: bytes, magic: bytes) -> bool:
    return 2 * sum(map(int.__eq__, found, magic)) >= len(magic)
