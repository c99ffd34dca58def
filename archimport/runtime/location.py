"""Locations and path entries: the strings by which stores, folders and members are found.

A location is shaped like an absolute path and a fixpoint of `os.path.abspath`; a member's path is the location, a
slash, and the member. Schemes only dispatch.
"""

from __future__ import annotations

import os

from archimport.runtime.names import normalise

#: Below this folder, which does not exist, lie the modules that come from no file.
VIRTUAL = os.path.join(os.path.abspath(os.sep), "archimport")


def split_scheme(entry: str) -> tuple[str, str] | None:
    """Split `scheme:rest`; None if there is no scheme. One letter is a Windows drive.

    >>> split_scheme("zip:///abs/lib.zip")
    ('zip', '///abs/lib.zip')
    >>> split_scheme("c:/temp") is None
    True
    """
    scheme, colon, rest = entry.partition(":")
    if not colon or len(scheme) < 2 or not scheme[0].isalpha():
        return None
    if not (scheme.isascii() and scheme.islower()) or scheme.strip("abcdefghijklmnopqrstuvwxyz0123456789+.-_"):
        return None
    return scheme, rest


def split_file(path: str) -> tuple[str, str] | None:
    """Split a path that runs through a regular file into the file's real path and the folder inside.

    None where the path leads to a folder or to nothing. Asks the file system once for what exists.
    """
    try:
        outer = os.path.abspath(path)
    except OSError:  # the current folder is gone
        return None
    inner: list[str] = []
    while True:
        try:
            mode = os.stat(outer).st_mode
        except (OSError, ValueError):
            outer, name = os.path.split(outer)
            if not name:
                return None
            inner.insert(0, name)
        else:
            is_file = mode & 0o170000 == 0o100000
            return (os.path.realpath(outer), "/".join(inner)) if is_file else None


def member_of(path: str, location: str) -> str | None:
    """Give the member that `path` names in the store at `location`; None if it lies outside.

    Accepts every spelling of the location's path, and a path relative to the store's root.

    >>> member_of("/a/x.zip/pkg/../data.txt", "/a/x.zip")
    'data.txt'
    """
    path = path.replace(os.sep, "/") if os.sep != "/" else path
    if not os.path.isabs(path):
        return normalise(path)
    for spelling in (path, os.path.normpath(path), os.path.realpath(path)):
        if spelling.startswith(location) and spelling[len(location) : len(location) + 1] in ("/", ""):
            member = normalise(spelling[len(location) + 1 :])
            if member is not None:
                return member
    return None
