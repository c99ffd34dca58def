"""The user's cache: blobs by key, verified when read. A cache that fails costs time only."""

from __future__ import annotations

import os
import stat
import sys

from archimport.runtime import atomic
from archimport.runtime.digest import DIGEST_SIZE, digest


def is_privileged() -> bool:
    """Whether this program has rights that its caller has not (setuid, setgid)."""
    return hasattr(os, "getuid") and (os.getuid() != os.geteuid() or os.getgid() != os.getegid())


def cache_folder() -> str | None:
    """Give the user's cache folder, never a shared one; None where there is none or it may not be trusted."""
    if is_privileged():
        return None  # such a program takes no path from its caller's environment
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        base = base if os.path.isabs(base) else os.path.join(home, ".cache")
    return os.path.join(base, "archimport") if os.path.isabs(base) else None


def get(kind: str, key: str, expected: bytes | None = None) -> bytes | None:
    """Give the blob stored under `key`, or None if there is none that is whole, ours and, by digest, as expected."""
    base = cache_folder()
    if base is None or not _is_ours(base) or not _is_ours(os.path.join(base, kind)):
        return None
    try:
        with open(os.path.join(base, kind, key), "rb") as file:
            blob = file.read()
    except OSError:
        return None
    content, recorded = blob[DIGEST_SIZE:], blob[:DIGEST_SIZE]
    return content if digest(content) == recorded and expected in (None, recorded) else None


def has(kind: str, key: str) -> bool:
    """Whether there is a blob under `key`, whole or not."""
    base = cache_folder()
    return base is not None and os.path.exists(os.path.join(base, kind, key))


def put(kind: str, key: str, content: bytes) -> None:
    """Keep `content` under `key`, if that can be done safely."""
    base = cache_folder()
    if base is None:
        return
    try:
        os.makedirs(os.path.dirname(base), mode=0o700, exist_ok=True)
        for level in (base, os.path.join(base, kind)):
            if not os.path.lexists(level):
                os.mkdir(level, 0o700)
            if not _is_ours(level):
                return
        atomic.replace_file(
            os.path.join(base, kind, key), lambda file: file.write(digest(content) + content), 0o600, durable=False
        )
    except OSError:
        return


def _is_ours(folder: str) -> bool:
    """Whether the folder is a real one, belongs to this user, and nobody else may write in it."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    if not hasattr(os, "geteuid"):
        return stat.S_ISDIR(status.st_mode)
    return stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022 and status.st_uid == os.geteuid()
