"""Decompressors, each of one shape: `(stored bytes, raw size) -> raw bytes`.

The raw size is what an index states, and output is bounded by it. An index may lie: a size that no content has, or that
so few bytes cannot honestly stand for, is a LimitError before anything is decompressed. Whatever a decompressor says
about damage is an IntegrityError.
"""

from __future__ import annotations

import _imp
import sys
import zlib
from _frozen_importlib_external import PathFinder

from archimport.runtime.errors import ConfigError, IntegrityError, LimitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Protocol

    class _Decompressor(Protocol):
        @property
        def eof(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...
        def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


#: In bytes: the largest content, and what any number of stored bytes may stand for.
MAX_SIZE, _SMALL = 1 << 30, 16 << 20
#: Deflate cannot do better than this (zlib's technical details), and what is larger than small has no need to.
MAX_RATIO = 1032
#: In bytes: xz -9 makes no larger one.
_MAX_DICTIONARY = 64 << 20


def stored(data: bytes, size: int) -> bytes:
    """Give back what was stored as it is."""
    if len(data) != size:
        raise IntegrityError(f"stored data has {len(data)} bytes instead of {size}")
    return data


def deflate(data: bytes, size: int) -> bytes:
    """Inflate raw deflate data (RFC 1951)."""
    return _bounded(zlib.decompressobj(-zlib.MAX_WBITS), data, size, zlib.error)


def bzip2(data: bytes, size: int) -> bytes:
    """Decompress one bzip2 stream."""
    bz2 = _module("bzip2")
    return _bounded(bz2.BZ2Decompressor(), data, size, OSError)


def zip_lzma(data: bytes, size: int) -> bytes:
    """Decompress LZMA as zip archives hold it (APPNOTE 5.8.8): version, length of the properties, properties, data."""
    lzma = _module("lzma")
    length = int.from_bytes(data[2:4], "little")
    if len(data) < 9 or length != 5:
        raise IntegrityError("lzma properties are damaged")
    packed, dictionary = data[4], int.from_bytes(data[5:9], "little")
    if packed >= 9 * 5 * 5:
        raise IntegrityError("lzma properties are damaged")
    _check_size(data, size)
    dictionary = min(dictionary, max(size, 4096))  # all of it is allocated
    if dictionary > _MAX_DICTIONARY:
        raise LimitError(f"lzma dictionary of {dictionary} bytes is too large")
    chain = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": dictionary,
        "lc": packed % 9,
        "lp": packed // 9 % 5,
        "pb": packed // 45,
    }
    try:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chain])
        raw: bytes = decoder.decompress(data[9:], size + 1)
    except (lzma.LZMAError, ValueError) as exc:
        raise IntegrityError(f"compressed data is damaged: {exc}") from exc
    except MemoryError:
        raise _too_large(size) from None
    if len(raw) != size:  # a raw stream may lack its end mark, so only the length tells
        raise IntegrityError(f"compressed data does not give {size} bytes")
    return raw


def zstd(data: bytes, size: int) -> bytes:
    """Decompress exactly one zstd frame with a window of at most 8 MiB (RFC 8878); a size it states is `size`."""
    module = _module("zstd")
    if zstd_content_size(data) not in (size, None):
        raise IntegrityError(f"zstd frame does not state {size} bytes")
    limit = {module.ZSTD_d_windowLogMax: 23}
    return _bounded(module.ZstdDecompressor(options=limit), data, size, module.ZstdError)


def zstd_content_size(data: bytes) -> int | None:
    """Read the content size that a zstd frame's header states (RFC 8878, 3.1.1.1); None if it states none."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 6:
        raise IntegrityError("not a zstd frame")
    descriptor = data[4]
    single_segment, size_flag = descriptor >> 5 & 1, descriptor >> 6
    if not size_flag and not single_segment:
        return None
    width = 1 << size_flag
    start = 5 + (not single_segment) + (0, 1, 2, 4)[descriptor & 3]
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)


#: Where a codec's decompressor may be, the interpreter's own first. zstd's is a C module: the package around it would
#: cost as much as what it reads, and stand in the way of a program's own.
_PLACES = {"bzip2": ("bz2",), "lzma": ("lzma",), "zstd": ("_zstd", "backports.zstd._zstd")}
_modules: dict[str, ModuleType | None] = {}


def prepare(name: str, carried: Callable[[], ModuleType | None] = lambda: None) -> None:
    """Load the decoder of a codec, if it needs one: later it might be looked for in what it is to read.

    `carried` gives one that a store brings, for an interpreter that has none. ConfigError if there is none, which is
    remembered: what is to be read would be searched for it each time.
    """
    if name in _PLACES and _modules.get(name) is None:
        module = None
        try:
            module = _import(_PLACES[name]) or carried()
        finally:
            _modules[name] = _modules.get(name) or module
    if name in _PLACES:
        _module(name)


def _module(name: str) -> ModuleType:
    """Give the decoder of a codec, always the same one; ConfigError if this interpreter has none."""
    if name not in _modules:
        prepare(name)
    module = _modules[name]
    if module is None:
        hint = "install backports.zstd, or a Python that has zstd" if name == "zstd" else None
        raise ConfigError(f"{name} data cannot be read by this interpreter", hint=hint)
    return module


def _import(places: Iterable[str]) -> ModuleType | None:
    for place in places:
        try:
            module = _load_privately(place) if "." in place else __import__(place)
        except ImportError:
            continue
        if module is not None:
            return module
    return None


def _load_privately(name: str) -> ModuleType | None:
    """Load a C module without its packages, under no name: a program may have such packages of its own."""
    loaded = sys.modules.get(name)
    spec = _find_privately(name) if loaded is None else None
    return loaded if spec is None else load_extension(spec)


def _find_privately(name: str) -> ModuleSpec | None:
    parent = name.rpartition(".")[0]
    if not parent:
        return PathFinder.find_spec(name)
    package = _find_privately(parent)
    return package and PathFinder.find_spec(name, package.submodule_search_locations)


def load_extension(spec: ModuleSpec) -> ModuleType:
    """Load the C module of a spec, without a name in `sys.modules`; ImportError if that cannot be."""
    module: ModuleType = _imp.create_dynamic(spec)
    _imp.exec_dynamic(module)
    return module


def _bounded(decoder: _Decompressor, data: bytes, size: int, error: type[Exception]) -> bytes:
    _check_size(data, size)
    try:
        raw = decoder.decompress(data, size + 1)
    except (error, EOFError, ValueError) as exc:
        raise IntegrityError(f"compressed data is damaged: {exc}") from exc
    except MemoryError:
        raise _too_large(size) from None
    if len(raw) != size or not decoder.eof or decoder.unused_data:
        raise IntegrityError(f"compressed data does not give exactly {size} bytes")
    return raw


def may_hold(stored: int, size: int) -> bool:
    """Return whether `stored` compressed bytes may stand for a content of `size` bytes."""
    return 0 <= size <= max(_SMALL, min(MAX_SIZE, stored * MAX_RATIO))


def _check_size(data: bytes, size: int) -> None:
    if not may_hold(len(data), size):
        raise LimitError(f"{len(data)} compressed bytes are said to hold {size}")


def _too_large(size: int) -> LimitError:
    return LimitError(f"content of {size} bytes does not fit into the memory there is")
