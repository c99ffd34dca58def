"""A line on a terminal for what takes longer than a person waits without asking."""

from __future__ import annotations

import sys
import time

#: In seconds: what is over sooner is not worth a word, and how often the line changes.
_SILENT, _PAUSE = 1.0, 0.1


class Progress:
    """Says on stderr, if that is a terminal, how far something is: called with what is done, and of how many."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + _SILENT
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Show how many are done, once it has taken long."""
        if time.monotonic() >= self._next and sys.stderr is not None and sys.stderr.isatty():
            self._write(f"{self._what}: {done} of {total} files")
            self._next = time.monotonic() + _PAUSE
            self._shown = True

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
