"""Small files that ask for much: what a stranger can send. Each is made by hand, by a builder for each kind."""

from __future__ import annotations

import _imp
import hashlib
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from builders import build_sqlite

from archimport.bundle import format as bundle_format
from archimport.bundle.compress import _zstd_module
from archimport.bundle.format import HEADER_SIZE, Header, Root
from archimport.bundle.index import FILE, FOLDER, Row, folders_of, key_of, pack_page
from archimport.bundle.tables import CODEC_NUMBERS, Block, PagePlace, pack_tables
from archimport.runtime.digest import digest

GIB = 1 << 30
MIB = 1 << 20
#: The size of a page of a database.
PAGE = 4096


class Stored(NamedTuple):
    """A block as it stands in a file, and the raw size that its row states."""

    data: bytes
    raw: int
    codec: str = "deflate"


def deflated_zeros(size: int) -> bytes:
    """Deflate so many MiB of zeros: one of them, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (size // MIB) + packer.flush()


def zstd_zeros(size: int) -> bytes:
    packer = _zstd_module().ZstdCompressor(level=1)
    pieces = [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*pieces, packer.flush()])


def bundle(
    path: Path,
    rows: Iterable[Row],
    blocks: Iterable[Stored] = (),
    *,
    meta: dict[str, str] | None = None,
    more_pages: int = 0,
    more_blocks: int = 0,
    tables: Callable[[bytes], bytes] = bytes,
) -> Path:
    """Write a bundle with one page, each digest right; more rows of the tables name the place that the first names."""
    rows = sorted(rows, key=lambda row: row.order)
    body = bytearray(HEADER_SIZE)
    table = []
    for block in blocks:
        table.append(Block(len(body), len(block.data), block.raw, CODEC_NUMBERS[block.codec], digest(block.data)))
        body += block.data
    table += table[:1] * more_blocks
    page = pack_page(rows)
    places = [PagePlace(len(body), len(page), digest(page), key_of(rows[0].path) if rows else b"")] * (1 + more_pages)
    pages_at = len(body)
    body += page
    tables_at = len(body)
    raw_tables = tables(pack_tables(table, places))
    body += raw_tables
    root_size = bundle_format.root_size(meta or {})
    root_at, tail_at, tail = len(body), len(body) + root_size, b"tail"
    header = Header(tail_at + len(tail), tables_at, root_at, root_size, tail_at).pack(b"")
    root = Root(
        pages=pages_at,
        blocks=len(table),
        page_count=len(places),
        members=sum(row.kind == FILE for row in rows),
        header_digest=digest(header),
        tables_digest=digest(raw_tables),
        tail_digest=digest(tail),
        meta=meta or {},
    )
    body[:HEADER_SIZE] = header
    path.write_bytes(body + root.pack() + tail)
    return path


def row(name: str, block: int = 0, offset: int = 0, size: int = 0, content: bytes = b"") -> Row:
    return Row(name, FILE, 0, block, offset, size or len(content), digest(content))


def tree(files: Iterable[Row]) -> list[Row]:
    files = list(files)
    return [*files, *(Row(path, FOLDER, layer) for path, layer in folders_of(files))]


def text_bundle(path: Path, texts: dict[str, bytes]) -> Path:
    """Write a bundle with a deflated block for each member."""
    rows = [row(name, number, content=text) for number, (name, text) in enumerate(texts.items())]
    blocks = []
    for text in texts.values():
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        blocks.append(Stored(packer.compress(text) + packer.flush(), len(text)))
    return bundle(path, tree(rows), blocks)


def five_blocks(path: Path) -> Path:
    data = zstd_zeros(GIB)
    return bundle(path, [row(f"m{n}.py", n, size=GIB) for n in range(5)], [Stored(data, GIB, "zstd")] * 5)


def one_large_block_of_many(path: Path) -> Path:
    """A thousand members of one block that is as large as its file allows: each read would decompress all of it."""
    raw = 200 * MIB
    rows = [row(f"m{n}.py", 0, n * 100_000, 100_000) for n in range(2000)]
    return bundle(path, rows, [Stored(deflated_zeros(raw), raw)])


def many_rows_of_one_block(path: Path) -> Path:
    raw = bytes(100 * MIB)
    same = digest(raw)
    rows = [Row(f"m{n}.py", FILE, 0, 0, 0, len(raw), same) for n in range(2000)]
    return bundle(path, rows, [Stored(deflated_zeros(len(raw)), len(raw))])


def overlapping_rows(path: Path) -> Path:
    """Rows of a small block that overlap, none like another."""
    rows = [row(f"m{n}.py", 0, n, MIB - 20_000) for n in range(20_000)]
    return bundle(path, rows, [Stored(deflated_zeros(MIB), MIB)])


def many_small_blocks(path: Path) -> Path:
    data = zstd_zeros(MIB)
    return bundle(path, [row(f"m{n}.py", n, size=MIB) for n in range(20_000)], [Stored(data, MIB, "zstd")] * 20_000)


def same_block_again(path: Path) -> Path:
    data = deflated_zeros(8 * MIB)
    rows = [row(f"m{n}.py", n, size=8 * MIB) for n in range(5000)]
    return bundle(path, rows, [Stored(data, 8 * MIB)], more_blocks=4999)


def directories_in_one_page(path: Path) -> Path:
    return bundle(path, tree(row(f"d{n:05}/__init__.py") for n in range(20_000)))


def same_page_again(path: Path) -> Path:
    return bundle(path, [row(f"m{n}.py") for n in range(4000)], more_pages=3000)


def tables_of_zeros(path: Path) -> Path:
    """A table of page keys that is as long as the format allows, sparse on a disk."""
    return bundle(path, [row("m.py")], tables=lambda raw: raw + bytes(100 * MIB))


def deep_directories(path: Path) -> Path:
    return bundle(path, tree(row("/".join(["d"] * 127 + [f"m{n}.py"])) for n in range(2000)))


def long_meta(path: Path) -> Path:
    return bundle(path, [row("m.py")], meta={"targets": "3.11/any/0 " * 90_000})


def long_plan(path: Path) -> Path:
    lines = "".join(f"library\tx{n}\tab\n" for n in range(4_000_000))
    return text_bundle(path, {".archimport/plan": lines.encode(), "m.py": b""})


def long_unit(path: Path) -> Path:
    """A unit whose list has one library that needs millions."""
    text = f"{'00' * 32}\t-\tm.so".encode() + b"\t0\tm.so" * 4_000_000 + b"\n"
    return _unit(path, text)


def unit_of_each_other(path: Path) -> Path:
    """Three hundred libraries each of which needs all."""
    names = [f"m{n}.so" for n in range(300)]
    needs = "".join(f"\t0\t{name}" for name in names)
    return _unit(path, "".join(f"{'00' * 32}\t-\t{name}{needs}\n" for name in [*names, "m.so"]).encode())


def _unit(path: Path, text: bytes) -> Path:
    suffix = _imp.extension_suffixes()[0]
    text = text.replace(b"m.so", b"m" + suffix.encode())
    name = digest(text).hex()
    plan = f"library\tm{suffix}\t{name}\n".encode()
    return text_bundle(
        path,
        {".archimport/plan": plan, f".archimport/unit/{name}": text, f"m{suffix}": b"x", "__main__.py": b"import m\n"},
    )


def long_decisions(path: Path) -> Path:
    return text_bundle(path, {".archimport/decisions": b"a\tb\tc\td\n" * 4_000_000, "m.py": b""})


def large_decompressor(path: Path) -> Path:
    """A decompressor of half a GiB, which opening would load."""
    size = 512 * MIB
    names = [f".archimport/decoder/_zstd{suffix}" for suffix in _imp.extension_suffixes()]
    rows = tree([row(names[0], 0, size=size), row("m.py")])
    meta = {"codec": "zstd", "padding": hashlib.shake_256().hexdigest(500_000)}
    return bundle(path, rows, [Stored(deflated_zeros(size), size)], meta=meta)


BUNDLES = {
    builder.__name__: builder
    for builder in (
        five_blocks, one_large_block_of_many, many_rows_of_one_block, overlapping_rows, many_small_blocks,
        same_block_again, directories_in_one_page, same_page_again, tables_of_zeros, deep_directories, long_meta, long_plan,
        long_unit, unit_of_each_other, long_decisions, large_decompressor,
    )
}  # fmt: skip


def database(path: Path, *statements: str, **parameters: object) -> Path:
    """Write a database of one small module, and change it by statements."""
    build_sqlite({"m.py": "x = 1\n", "__main__.py": "import m\n"}, path.with_suffix(""))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA ignore_check_constraints=ON")
        for statement in statements:
            used = {name: value for name, value in parameters.items() if f":{name}" in statement}
            connection.execute(statement, used)
        connection.commit()
    return path


def manifest(paths: Iterable[str], *, size: int = 0, key: bytes = bytes(32), count: int | None = None) -> bytes:
    paths = sorted(paths)
    records = (key + struct.pack("<Q", size) + bytes(32)) * len(paths)
    head = b"archimport manifest 1\n" + struct.pack("<I", len(paths) if count is None else count)
    return head + records + "".join(f"{path}\n" for path in paths).encode()


def with_manifest(path: Path, content: bytes, *others: tuple[bytes, bytes, int]) -> Path:
    """Let the release have a manifest, deflated, and contents: digest, what is stored deflated, number of the part."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    stored = packer.compress(content) + packer.flush()
    key = digest(content).hex()
    parts = [(key, stored, 0), *((other.hex(), data, part) for other, data, part in others)]
    built = database(
        path, "UPDATE archimport_release SET manifest = :key, manifest_size = :size", key=key, size=len(content)
    )
    with closing(sqlite3.connect(built)) as connection:
        connection.executemany(
            "INSERT INTO archimport_blob VALUES (?, ?, 'deflate', ?)",
            [(name, part, data) for name, data, part in parts],
        )
        connection.commit()
    return built


def deep_path(path: Path) -> Path:
    return with_manifest(path, manifest(["d/" * 40_000 + "m.py"]))


def long_manifest(path: Path) -> Path:
    return with_manifest(path, manifest([], count=0) + b"\n" * (200 * MIB))


def many_members(path: Path) -> Path:
    return with_manifest(path, manifest([f"m{n:07}.py" for n in range(1_100_000)]))


def large_member(path: Path) -> Path:
    return _zeros(path, ["a.py", "b.py", "c.py", "m.py"], 3 * GIB, deflated_zeros(64 * MIB))


def large_members(path: Path) -> Path:
    """Three contents in one, of a size that is allowed, where memory is short."""
    return _zeros(path, ["a.py", "b.py", "m.py"], GIB, deflated_zeros(GIB))


def many_names_of_one_content(path: Path) -> Path:
    key = digest(bytes(64 * MIB))
    content = manifest([f"m{n}.py" for n in range(5000)], size=64 * MIB, key=key)
    return with_manifest(path, content, (key, deflated_zeros(64 * MIB), 0))


def _zeros(path: Path, names: list[str], size: int, stored: bytes) -> Path:
    key = digest(stored)  # none of them is read to its end
    return with_manifest(path, manifest(names, size=size, key=key), (key, stored, 0))


def negative_manifest_size(path: Path) -> Path:
    return _with_blob(database(path), "manifest_size = -1")


def large_manifest_size(path: Path) -> Path:
    return _with_blob(database(path), "manifest_size = 1073741824")


def _with_blob(built: Path, setting: str) -> Path:
    with closing(sqlite3.connect(built)) as connection:
        connection.execute(f"UPDATE archimport_release SET {setting}")
        connection.execute("UPDATE archimport_blob SET codec = 'deflate', content = ?", [deflated_zeros(GIB)])
        connection.commit()
    return built


def endless(path: Path, table: str) -> Path:
    """Let the one row of a table be there 300 million times: pages that name one page below them again and again."""
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table]).fetchone()
    raw = bytearray(path.read_bytes())
    count = len(raw) // PAGE
    raw += raw[(page - 1) * PAGE : page * PAGE]  # the leaf
    for _ in range(2):
        raw += _interior(len(raw) // PAGE)
    raw[(page - 1) * PAGE : page * PAGE] = _interior(len(raw) // PAGE)
    raw[28:32] = (count + 3).to_bytes(4, "big")
    path.write_bytes(raw)
    return path


def _interior(child: int) -> bytes:
    """Give an interior page of a table that names the page `child` 680 times."""
    cells = (PAGE - 12) // 6
    cell = child.to_bytes(4, "big") + b"\x01"
    content = PAGE - len(cell)  # all pointers to one cell
    head = b"\x05" + struct.pack(">HHHB", 0, cells, content, 0) + child.to_bytes(4, "big")
    return (head + content.to_bytes(2, "big") * cells).ljust(content, b"\0") + cell


def endless_parts(path: Path) -> Path:
    columns = "digest, part_number, codec, content"
    built = database(
        path,
        "CREATE TABLE other AS SELECT * FROM archimport_blob WHERE digest = (SELECT manifest FROM archimport_release)",
        "DROP TABLE archimport_blob",
        f"CREATE TABLE archimport_blob ({columns})",
        "INSERT INTO archimport_blob SELECT * FROM other",
        "DROP TABLE other",
    )
    return endless(built, "archimport_blob")


def endless_versions(path: Path) -> Path:
    built = database(path, "DROP TABLE archimport_format", "CREATE TABLE archimport_format (version)",
                     "INSERT INTO archimport_format VALUES (1)")  # fmt: skip
    return endless(built, "archimport_format")


DATABASES = {
    builder.__name__: builder
    for builder in (
        deep_path, long_manifest, many_members, large_member, large_members, many_names_of_one_content,
        negative_manifest_size, large_manifest_size, endless_parts, endless_versions,
    )
}  # fmt: skip
