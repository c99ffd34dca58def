"""Zip archives with two plain members and an odd one."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable

FILES = {"pkg/__init__.py": b"x = 1\n", "pkg/data.txt": b"hello hello hello " * 9}


def zipped(members: Iterable[tuple[zipfile.ZipInfo | str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as new:
        for info, content in members:
            new.writestr(info, content)
    return stream.getvalue()


def with_one(info: zipfile.ZipInfo, content: bytes = b"odd") -> bytes:
    return zipped([*FILES.items(), (info, content)])


def with_mode(mode: int, name: str = "pkg/odd") -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return with_one(info)


def with_raw_name(raw: bytes, extra: bytes = b"", *, flags: int | None = None) -> bytes:
    """Give an archive with one member whose name is just these bytes, without the flag for UTF-8 unless that is said."""
    info = zipfile.ZipInfo("N" * len(raw))
    info.extra = extra
    data = with_one(info)
    assert data.count(b"N" * len(raw)) == 2
    data = data.replace(b"N" * len(raw), raw)
    return data if flags is None else with_fields(data, flags=flags)


def with_fields(
    data: bytes, *, flags: int | None = None, method: int | None = None, version: int | None = None
) -> bytes:
    """Change fields of the last member, in its local header and in the directory."""
    changed = bytearray(data)
    for at, shift in ((data.rindex(b"PK\3\4"), 0), (data.rindex(b"PK\1\2"), 2)):
        for offset, value in ((4, version), (6, flags), (8, method)):
            if value is not None:
                struct.pack_into("<H", changed, at + shift + offset, value)
    return bytes(changed)


def unicode_path(raw: bytes, name: str, *, crc: int | None = None) -> bytes:
    data = b"\1" + struct.pack("<L", zlib.crc32(raw) if crc is None else crc) + name.encode()
    return struct.pack("<HH", 0x7075, len(data)) + data


def bomb(method: int) -> bytes:
    info = zipfile.ZipInfo("pkg/odd")
    info.compress_type = method
    data = with_one(info, bytes(3 << 20))
    return data if method != zipfile.ZIP_DEFLATED else with_size(data, 1 << 29)


def with_size(data: bytes, size: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<L", changed, data.rindex(b"PK\3\4") + 22, size)
    struct.pack_into("<L", changed, data.rindex(b"PK\1\2") + 24, size)
    return bytes(changed)


ODD_NAMES = {
    "absolute": "/etc/odd.py",
    "parent": "../odd.py",
    "parent inside": "pkg/../odd.py",
    "dot": "./odd.py",
    "double slash": "pkg//odd.py",
    "backslash, as old .NET wrote": "pkg\\odd.py",
    "drive": "C:odd.py",
    "carriage return, as macOS has": "pkg/Icon\r",
    "newline": "pkg/a\nb",
    "escape": "pkg/\x1b[31mred",
    "C1 control": "pkg/\x85x",
    "empty": "",
    "slash alone": "/",
    "directory above": "../",
    "long": "pkg/" + "x" * 1025,
    "long in UTF-8": "pkg/" + "é" * 600,
    "deep": "a/" * 128 + "x",
}


def named(name: str) -> bytes:
    info = zipfile.ZipInfo("x")
    info.filename = name
    return with_one(info, b"" if name.endswith("/") else b"odd")


#: What is odd: an archive, the name that it is listed by, and what is said of it.
ODD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "symbolic link": (lambda: with_mode(0o120777), "pkg/odd", "symbolic link"),
    "link that looks like a directory": (lambda: with_mode(0o120777, "odd/"), "odd/", "symbolic link"),
    "device": (lambda: with_mode(0o60644), "pkg/odd", "special file"),
    "FIFO": (lambda: with_mode(0o10644), "pkg/odd", "special file"),
    "socket": (lambda: with_mode(0o140644), "pkg/odd", "special file"),
    "file that is a directory by its mode": (lambda: with_mode(0o40755), "pkg/odd", "directory by its"),
    "directory with content": (lambda: with_mode(0o40755, "odd/"), "odd/", "directory by its"),
    "encrypted": (lambda: with_fields(with_mode(0o100644), flags=1), "pkg/odd", "encrypted"),
    "encrypted in another way": (lambda: with_fields(with_mode(0o100644), flags=0x41), "pkg/odd", "encrypted"),
    "patch data": (lambda: with_fields(with_mode(0o100644), flags=0x20), "pkg/odd", "not read here"),
    "method": (lambda: with_fields(with_mode(0o100644), method=99), "pkg/odd", "method 99"),
    "version": (lambda: with_fields(with_mode(0o100644), version=64), "pkg/odd", "version 6.4"),
    "two names": (
        lambda: with_raw_name(b"odd.py", unicode_path(b"odd.py", "other.py")),
        "odd.py",
        "another name",
    ),
    "UTF-8 that is none": (lambda: with_raw_name(b"odd\xff", flags=0x800), "odd\\xff", "not the UTF-8"),
    "damaged extra field": (lambda: with_raw_name(b"odd.py", b"\1\2\xff\xff"), "odd.py", "extra field"),
    "deflate bomb": (lambda: bomb(zipfile.ZIP_DEFLATED), "pkg/odd", "too large"),
    "bzip2 bomb": (lambda: bomb(zipfile.ZIP_BZIP2), "pkg/odd", "too large"),
    "lzma bomb": (lambda: bomb(zipfile.ZIP_LZMA), "pkg/odd", "too large"),
    "two gigabytes": (lambda: with_size(with_mode(0o100644), 1 << 31), "pkg/odd", "too large"),
    **{f"name: {kind}": (lambda name=name: named(name), name, "member name is") for kind, name in ODD_NAMES.items()},
}
