"""What tells our files from others: known to the hook, to the formats, and to the zip parser."""

from __future__ import annotations

#: Where in a file the magic stands: behind the line that launches it.
BUNDLE_MAGIC_OFFSET = 128
#: A byte over 127, both line ends and a NUL: what transfers as text damages is noticed.
BUNDLE_MAGIC = b"ARC\x93\r\n\x1a\x00"
#: What SQLite's header says at this offset of a database made by us (PRAGMA application_id).
APPLICATION_ID_OFFSET, APPLICATION_ID = 68, b"ARCI"
#: The comment of the zip at the end of a bundle. If the header is damaged, it is no zip all the same.
TAIL_COMMENT = b"tail of an archimport bundle"
