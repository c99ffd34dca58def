"""The user's cache: blobs by key, verified when read. A cache that fails costs time only."""

from __future__ import annotations

import os

from archimport.runtime import atomic
from archimport.runtime.digest import DIGEST_SIZE, digest
from archimport.runtime.private import private_folder


def get(kind: str, key: str, expected: bytes | None = None) -> bytes | None:
    """Give the blob stored under `key`, or None if there is none that is whole, ours and, by digest, as expected."""
    try:
        with open(os.path.join(private_folder(kind), key), "rb") as file:
            blob = file.read()
    except OSError:
        return None
    content, recorded = blob[DIGEST_SIZE:], blob[:DIGEST_SIZE]
    return content if digest(content) == recorded and expected in (None, recorded) else None


def has(kind: str, key: str) -> bool:
    """Whether there is a blob under `key`, whole or not."""
    try:
        return os.path.exists(os.path.join(private_folder(kind), key))
    except OSError:
        return False


def put(kind: str, key: str, content: bytes) -> None:
    """Keep `content` under `key`, if that can be done safely."""
    try:
        path = os.path.join(private_folder(kind, create=True), key)
        atomic.replace_file(path, lambda file: file.write(digest(content) + content), 0o600, durable=False)
    except OSError:
        return
