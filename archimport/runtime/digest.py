"""The one digest of the project: BLAKE2b-256 (RFC 7693)."""

from __future__ import annotations

from archimport.runtime.errors import IntegrityError

try:
    from _blake2 import blake2b  # `hashlib` would load OpenSSL: ten times the cost of this module
except ImportError:  # pragma: no cover - an interpreter built without its own BLAKE2
    from hashlib import blake2b

#: In bytes.
DIGEST_SIZE = 32


def digest(data: bytes | memoryview) -> bytes:
    """Give the 32 bytes that stand for `data`."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def verify(data: bytes, expected: bytes, what: str) -> None:
    """Raise IntegrityError if `data` is not what `expected` is the digest of."""
    if digest(data) != expected:
        raise IntegrityError(f"{what} is damaged")
