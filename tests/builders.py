"""One builder for each kind of store: from a tree to a source for `mount`, or to a plain folder, the oracle."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from servers import SERVERS, server_url, with_query
from trees import Tree, flatten, write_tree

from archimport import Entry, MemberIndex, Store
from archimport.bundle.tail import tail_files
from archimport.bundle.writer import Member, write_bundle
from archimport.sql.source import address_of
from archimport.sql.writer import publish
from archimport.zip.writer import write_archive

_numbers = count()


class MemoryStore(Store):
    """A store by others, as small as it can be: a dict of files in memory."""

    kind = "memory"
    writable = True

    def __init__(self, files: dict[str, bytes], location: str) -> None:
        self.location = location
        self._files = files
        self._index = self._indexed()

    def _indexed(self) -> MemberIndex:
        return MemberIndex(Entry(path, size=len(data), mtime=hash(data)) for path, data in self._files.items())

    def lookup(self, path: str) -> Entry | None:
        return self._index.lookup(path)

    def list(self, folder: str) -> list[str]:
        return self._index.list(folder)

    def read(self, entry: Entry) -> bytes:
        return self._files[entry.path]

    def write(self, path: str, data: bytes) -> None:
        self._files = {**self._files, path: data}
        self._index = self._indexed()

    def invalidate(self) -> None:
        self._index = self._indexed()


def build_directory(tree: Tree, base: Path) -> str:
    return str(write_tree(tree, base))


def build_memory(tree: Tree, base: Path) -> MemoryStore:
    return MemoryStore(flatten(tree), f"/memory/{base.name}-{next(_numbers)}")


def build_zip(tree: Tree, base: Path) -> str:
    path = str(base.with_suffix(".zip"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in flatten(tree).items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def build_zip_with_folders(tree: Tree, base: Path) -> str:
    path = str(base.with_suffix(".zip"))
    write_archive(path, {name: partial(bytes, content) for name, content in flatten(tree).items()})
    return path


def build_bundle(tree: Tree, base: Path) -> str:
    path = str(base.with_suffix(".arc"))
    members = [Member(name, partial(bytes, content)) for name, content in flatten(tree).items()]
    write_bundle(path, members, meta={}, tail=tail_files({}))
    return path


def publish_tree(tree: Tree, source: str) -> None:
    """Make a tree the newest release of a channel."""
    address = address_of(source)
    members = {name: partial(bytes, content) for name, content in flatten(tree).items()}
    publish(address, members, address.said.get("channel", "main"))


def build_sqlite(tree: Tree, base: Path) -> str:
    path = str(base.with_suffix(".db"))
    publish_tree(tree, path)
    return path


def build_on_server(kind: str, tree: Tree, base: Path) -> str:
    source = with_query(server_url(kind), f"channel=t{next(_numbers)}")
    publish_tree(tree, source)
    return source


Builder = Callable[[Tree, Path], "str | Store"]
STORES: dict[str, Builder] = {
    "zip": build_zip,
    "zip-with-folders": build_zip_with_folders,
    "bundle": build_bundle,
    "sqlite": build_sqlite,
    "postgresql": partial(build_on_server, "postgresql"),
    "mysql": partial(build_on_server, "mysql"),
    "memory": build_memory,
}
#: What a kind of store cannot do, by name.
CANNOT: dict[str, frozenset[str]] = {
    "zip": frozenset({"keep empty folders"}),
    "bundle": frozenset({"change", "keep empty folders"}),
    **dict.fromkeys(("sqlite", *SERVERS), frozenset({"keep empty folders"})),
    "memory": frozenset({"be pickled", "keep empty folders"}),
}
