"""A table that was there before archimport: each row a module, read as it is and never written."""

from __future__ import annotations

from archimport.runtime.digest import digest
from archimport.runtime.errors import ArchimportError, ConfigError, FormatError
from archimport.runtime.index import MemberIndex
from archimport.runtime.store import Changes, Entry, Snapshot, Store
from archimport.sql.database import NoTableError
from archimport.sql.schema import check_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from archimport.sql.address import Address
    from archimport.sql.database import Database, Query

    Result = TypeVar("Result")

#: What `mount` may ask of a table.
OPTIONS = frozenset({"name", "package", "revision", "source", "table"})


class _Snapshot(Snapshot):
    """What one statement gave: an `index` whose entries hold their content, and the `revisions` by module, if any."""

    __slots__ = ("index", "revisions")

    def __init__(self, entries: list[Entry], revisions: dict[str, str] | None) -> None:
        self.index = MemberIndex(entries)
        self.revisions = revisions

    @property
    def key(self) -> object:
        """The revisions; the contents where no column has revisions."""
        return self.versions() if self.revisions is None else self.revisions

    def versions(self) -> dict[str, object]:
        """Return the digest of each source."""
        return {entry.path: entry.digest for entry in self.index.files()}


class TableStore(Store):
    """The rows of `table` as modules of `package`: column `name` says which, `source` holds the code.

    Column `revision`, a number or a time that changes with the source, tells `refresh` whether to read again. All rows
    are read at once, so that no two modules are of different times. ConfigError for names that are none, FormatError
    for rows that cannot be modules.
    """

    kind = "sql table"

    def __init__(
        self,
        database: Database,
        address: Address,
        *,
        table: str,
        name: str = "name",
        source: str = "source",
        revision: str | None = None,
        package: str = "",
    ) -> None:
        self._has_revisions = revision is not None
        self._columns = [
            check_identifier(column, "column") for column in (name, source, revision) if column is not None
        ]
        self._table = check_identifier(table, "table")
        if package and not all(part.isidentifier() for part in package.split(".")):
            raise ConfigError(f"not the name of a package: {package[:60]!r}")
        self.package = package
        self.location = f"{address.tables}@{table}={package}"
        self._database = database
        self._snapshot = self._read(self._read_rows)

    def _read(self, work: Callable[[Query], Result]) -> Result:
        try:
            return self._database.read(work)
        except NoTableError as exc:
            raise ConfigError(f"no such table or columns: {exc.message}", store=self.location) from None
        except ArchimportError as exc:
            exc.store = self.location
            raise

    def _select(self, columns: list[str]) -> str:
        quoted = ", ".join(map(self._database.quote, columns))
        return f"SELECT {quoted} FROM {{schema}}{self._database.quote(self._table)}"

    def _read_rows(self, query: Query) -> _Snapshot:
        entries: list[Entry] = []
        revisions: dict[str, str] = {}
        for name, source, *revision in query(self._select(self._columns), {}):
            entry = self._entry(name, source)
            entries.append(entry)
            revisions[str(name)] = str(revision)
        return _Snapshot(entries, revisions if self._has_revisions else None)

    def _entry(self, name: object, source: object) -> Entry:
        """Give the entry of a row; a dot in its name leads into a package."""
        if not isinstance(name, str) or not all(name.split(".")) or "/" in name:
            raise FormatError(f"a row cannot be a module, since of its name: {name!r}")
        if not isinstance(source, str | bytes | bytearray | memoryview):
            raise FormatError(f"row {name!r} holds no source code")
        content = source.encode() if isinstance(source, str) else bytes(source)
        path = ".".join(filter(None, (self.package, name))).replace(".", "/") + ".py"
        key = digest(content)
        return Entry(path, size=len(content), mtime=int.from_bytes(key[:4], "little"), digest=key, handle=content)

    def lookup(self, path: str) -> Entry | None:
        """Give the entry at `path`, or None."""
        return self._snapshot.index.lookup(path)

    def list(self, folder: str) -> list[str]:
        """Give the sorted names of the children of `folder`."""
        return self._snapshot.index.list(folder)

    def read(self, entry: Entry) -> bytes:
        """Give the source of a row, as it was when the table was read."""
        content: bytes = entry.handle  # type: ignore[assignment]  # as _entry put it in
        return content

    def invalidate(self) -> None:
        """Read the table again; if that cannot be, what was read goes on."""
        try:
            self.refresh()
        except ArchimportError:
            return

    def refresh(self) -> Changes:
        """Read the table again if a revision changed; return what else did."""
        before = self._snapshot
        self._database = self._database.current()
        if not self._has_revisions or self.newest() is not None:
            self._snapshot = self._read(self._read_rows)
        return Changes(before.versions(), self._snapshot.versions())

    def newest(self) -> object:
        """Return the revisions that the rows have now, if they are others; contents where no column has revisions."""
        if not self._has_revisions:
            found = self._read(self._read_rows).key
        else:
            columns = [self._columns[0], self._columns[2]]
            rows = self._read(lambda query: query(self._select(columns), {}))
            found = {str(name): str(revision) for name, *revision in rows}
        return None if found == self._snapshot.key else found

    def snapshot(self) -> Snapshot:
        """Return the rows that were read."""
        return self._snapshot

    def restore(self, snapshot: Snapshot | None) -> None:
        """Go back to the rows of a snapshot."""
        if isinstance(snapshot, _Snapshot):
            self._snapshot = snapshot

    def describe(self) -> dict[str, object]:
        """Give table, package and size."""
        files = self._snapshot.index.files()
        return {
            "table": self._table,
            "package": self.package,
            "members": len(files),
            "content": sum(entry.size for entry in files),
        }

    def verify(self) -> Iterator[str]:
        """Read the table."""
        yield f"{len(self._read(self._read_rows).index.paths)} rows"

    def close(self) -> None:
        """Close the connection."""
        self._database.close()
