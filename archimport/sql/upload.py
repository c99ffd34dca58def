"""Contents on their way into a database: what is not there yet, in statements of some megabytes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from archimport.runtime.digest import digest
from archimport.runtime.errors import ConflictError
from archimport.sql import tables
from archimport.sql.blobs import grouped, split
from archimport.sql.schema import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection

#: So many bytes go into one statement.
_UPLOAD = 4 << 20


def upload(connection: Connection, contents: Mapping[bytes, Callable[[], bytes]]) -> None:
    """Insert contents, by digest, that are not there yet; ConflictError if one is no longer what its digest says."""
    there = _present(connection, [key.hex() for key in contents])
    missing = {key: content for key, content in contents.items() if key.hex() not in there}
    encode = _stored if connection.dialect.name == "sqlite" else _deflated
    for rows in grouped(_rows(missing, encode), _UPLOAD):
        connection.execute(insert(tables.blob), rows)


def _present(connection: Connection, keys: list[str]) -> set[str]:
    table = tables.blob
    found: set[str] = set()
    for start in range(0, len(keys), MAX_BATCH):
        wanted = select(table.c.digest).where(
            table.c.digest.in_(keys[start : start + MAX_BATCH]), table.c.part_number == 0
        )
        found.update(connection.scalars(wanted))
    return found


def _rows(
    contents: Mapping[bytes, Callable[[], bytes]], encode: Callable[[bytes], tuple[str, bytes]]
) -> Iterator[tuple[dict[str, object], int]]:
    for key, content in contents.items():
        codec, stored = encode(_again(content, key))
        for number, part in enumerate(split(stored)):
            yield {"digest": key.hex(), "part_number": number, "codec": codec, "content": part}, len(part)


def _again(content: Callable[[], bytes], key: bytes) -> bytes:
    """Give a content as it was when the manifest was made."""
    try:
        found = content()
    except OSError as exc:
        raise ConflictError(f"an input went away while it was published: {exc}", hint="publish again") from exc
    if digest(found) != key:
        raise ConflictError("an input changed while it was published", hint="publish again")
    return found


def _stored(content: bytes) -> tuple[str, bytes]:
    """Store as it is: a file is read faster than inflated."""
    return "stored", content


def _deflated(content: bytes) -> tuple[str, bytes]:
    """Deflate: what crosses a network is worth the time."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    return ("deflate", packed) if len(packed) < len(content) else ("stored", content)
