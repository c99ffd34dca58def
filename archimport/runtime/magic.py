"""What tells a bundle from other files: known to the hook, to the bundle format, and to the zip parser."""

from __future__ import annotations

#: Where in a file the magic stands: behind the line that launches it.
BUNDLE_MAGIC_OFFSET = 128
#: A byte over 127, both line ends and a NUL: what transfers as text damages is noticed.
BUNDLE_MAGIC = b"ARC\x93\r\n\x1a\x00"
#: The comment of the zip at the end of a bundle. If the header is damaged, it is no zip all the same.
TAIL_COMMENT = b"tail of an archimport bundle"
