"""Compressors of blocks, by the names of their codecs; what they make does not depend on the machine."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

from archimport.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


class Compressor(NamedTuple):
    """How blocks are made: of how many bytes, and by what; ConfigError if that is not to be had here."""

    block_size: int
    compress: Callable[[bytes], bytes]


def compressor(codec: str) -> Compressor:
    """Give what compresses in this way; ConfigError if there is none."""
    if codec not in _COMPRESSORS:
        raise ConfigError(f"unknown codec {codec!r}", hint=f"one of {', '.join(_COMPRESSORS)}")
    return _COMPRESSORS[codec]


def _deflate(raw: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(raw) + packer.flush()


def _zstd(raw: bytes) -> bytes:
    try:
        from compression import zstd  # type: ignore[import-not-found]  # from Python 3.14
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise ConfigError("nothing here writes zstd", hint="install backports.zstd, or use Python 3.14") from None
    compressed: bytes = zstd.compress(raw, 19)
    return compressed


#: zstd finds more in large blocks, and passes over what is not wanted quickly.
_COMPRESSORS = {
    "stored": Compressor(192 << 10, bytes),
    "deflate": Compressor(192 << 10, _deflate),
    "zstd": Compressor(512 << 10, _zstd),
}
