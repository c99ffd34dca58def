"""The one digest of the project: BLAKE2b-256 (RFC 7693)."""

from __future__ import annotations

try:
    from _blake2 import blake2b  # `hashlib` would load OpenSSL: ten times the cost of this module
except ImportError:  # pragma: no cover - an interpreter built without its own BLAKE2
    from hashlib import blake2b

#: In bytes.
DIGEST_SIZE = 32


def digest(data: bytes | memoryview) -> bytes:
    """Give the 32 bytes that stand for `data`."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()
