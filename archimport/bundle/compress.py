"""Compressors of blocks, by the names of their codecs; of one version, they make the same everywhere."""

from __future__ import annotations

import contextlib
import zlib
from typing import TYPE_CHECKING

from archimport.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def compressor(codec: str, level: int | None = None) -> Callable[[bytes], bytes]:
    """Give what compresses in this way, as hard as is worth it or as `level` says.

    ConfigError if there is no such codec or level, or nothing here that writes it.
    """
    if codec not in _MAKERS:
        raise ConfigError(f"unknown codec {codec!r}", hint=f"one of {', '.join(_MAKERS)}")
    if level is not None and not 1 <= level <= _HIGHEST:
        raise ConfigError(f"there is no level {level}", hint=f"levels are 1 to {_HIGHEST}; deflate's are 1 to 9")
    make, best, highest = _MAKERS[codec]
    return make(best if level is None else min(level, highest))


def can_write(codec: str) -> bool:
    """Whether there is something here that writes a codec."""
    try:
        compressor(codec)
    except ConfigError:
        return False
    return True


def _deflate(level: int) -> Callable[[bytes], bytes]:
    def compress(raw: bytes) -> bytes:
        packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        return packer.compress(raw) + packer.flush()

    return compress


def versions() -> list[str]:
    """Say which libraries compress, since others may make other bytes of the same."""
    found = [f"zlib {zlib.ZLIB_RUNTIME_VERSION}"]
    with contextlib.suppress(ConfigError):
        found.append(f"zstd {_zstd_module().zstd_version}")
    return found


def _zstd_module() -> ModuleType:
    try:
        from compression import zstd  # type: ignore[import-not-found]  # from Python 3.14
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise ConfigError("nothing here writes zstd", hint="install backports.zstd, or use Python 3.14") from None
    module: ModuleType = zstd
    return module


def _zstd(level: int) -> Callable[[bytes], bytes]:
    zstd = _zstd_module()

    def compress(raw: bytes) -> bytes:
        window = {zstd.CompressionParameter.window_log: min(23, max(10, len(raw).bit_length()))} if level > 19 else {}
        options = {zstd.CompressionParameter.compression_level: level, **window}  # no reader takes more than 8 MiB
        compressed: bytes = zstd.compress(raw, options=options)
        return compressed

    return compress


#: Of all codecs; one that has fewer takes its own highest.
_HIGHEST = 22
#: For each codec: what makes its compressor for a level, the level to take, and the highest. zstd's 19 makes bytecode
#: 8 % smaller than 12 does, takes 15 times as long, and is read a third slower (docs/performance.md).
_MAKERS: dict[str, tuple[Callable[[int], Callable[[bytes], bytes]], int, int]] = {
    "stored": (lambda _: bytes, 1, 1),
    "deflate": (_deflate, 9, 9),
    "zstd": (_zstd, 12, _HIGHEST),
}
