"""What a machine must have for some tests: the end of a run says in a line each what is missing, and how many wait for it."""

from __future__ import annotations

import shutil

import pytest
from servers import IS_ROOT


def needs(what: str, how: str, *, is_here: bool) -> pytest.MarkDecorator:
    """Return a mark that skips a test where something is missing."""
    return pytest.mark.skipif(not is_here, reason=f"needs {what} ({how})")


def needs_program(name: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test where a program of the system is missing."""
    return needs(name, "install the system's package", is_here=shutil.which(name) is not None)


STRACE = needs_program("strace")
ROOT_USER = needs("root", "run the tests as root", is_here=IS_ROOT)
