"""Platforms by the tags of wheels (packaging.python.org, Platform compatibility tags)."""

from __future__ import annotations

import re
from typing import NamedTuple

from archimport.runtime.errors import PackError

#: A tag, what uv calls it, and what `archimport.bundle.store.PLATFORM` is there.
_FORMS = (
    (r"manylinux_(\d+)_(\d+)_(\w+)", r"\3-manylinux_\1_\2", r"linux_\3"),
    (r"manylinux2014_(\w+)", r"\1-manylinux2014", r"linux_\1"),
    (r"musllinux_\d+_\d+_(\w+)", r"\1-unknown-linux-musl", r"musllinux_\1"),
    (r"macosx_\d+_\d+_arm64", "aarch64-apple-darwin", "darwin_arm64"),
    (r"macosx_\d+_\d+_x86_64", "x86_64-apple-darwin", "darwin_x86_64"),
    (r"win_amd64", "x86_64-pc-windows-msvc", "win32"),
)


class Platform(NamedTuple):
    """A platform that is not this one: the `tag` of its wheels, what `uv` calls it, and its `name` in a bundle."""

    tag: str
    uv: str
    name: str


def platform_of(tag: str) -> Platform:
    """Give the platform of a wheel's tag; PackError for one that nobody has.

    >>> platform_of("manylinux_2_28_aarch64").name
    'linux_aarch64'
    """
    for form, uv, name in _FORMS:
        found = re.fullmatch(form, tag)
        if found:
            return Platform(tag, found.expand(uv), found.expand(name))
    raise PackError(f"unknown platform {tag!r}", hint="write a wheel's tag: manylinux_2_28_x86_64, macosx_11_0_arm64")
