"""A table that was there before archimport: each row a module, read as it is and never written."""

from __future__ import annotations

from archimport.runtime.errors import ArchimportError, ConfigError, FormatError, StoreUnavailable
from archimport.runtime.index import MemberIndex
from archimport.runtime.store import Snapshot, Store
from archimport.sql.address import quoted
from archimport.sql.database import NoTableError
from archimport.sql.rows import Row, members_of, plain, text_of
from archimport.sql.schema import check_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from archimport.runtime.store import Entry
    from archimport.sql.address import Address
    from archimport.sql.database import Database, Query

    Result = TypeVar("Result")

#: What `mount` may ask of a table.
OPTIONS = frozenset({"name", "package", "revision", "source", "table", "where"})
#: What stands in a location as it does in a condition.
_SAFE = " =<>'()"


class _Snapshot(Snapshot):
    """What one statement returned: an `index` of members, the `problems` of rows, and their `revisions`, if any."""

    __slots__ = ("index", "problems", "revisions")

    def __init__(self, rows: list[Row], *, has_revisions: bool) -> None:
        self.index = MemberIndex(members_of(rows))
        odd = [entry.problem.message for entry in self.index.files() if entry.problem is not None]
        self.problems = dict.fromkeys((*odd, *[row.problem for row in rows if row.problem]))
        self.revisions = _revisions((row.name, row.revision) for row in rows) if has_revisions else None

    @property
    def key(self) -> object:
        """The revisions; the contents where no column has revisions."""
        if self.revisions is not None:
            return self.revisions
        return {entry.path: entry.digest or str(entry.problem) for entry in self.index.files()}

    def versions(self) -> dict[str, object]:
        """Return the digest of each source."""
        return {entry.path: entry.digest for entry in self.index.files() if entry.problem is None}


class TableStore(Store):
    """The rows of `table` as modules of `package`: column `name` says which, `source` holds the code.

    Column `revision`, a number or a time that changes with the source, tells `refresh` whether to read again; of rows
    with one name the newest counts. `where` is a condition in SQL, which the host's programmer writes: no other rows
    are read. All rows are read at once, so that no two modules are of different times. A row that can be no module is
    skipped with a warning, and an error of whoever imports it. ConfigError for names that are none.
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
        where: str | None = None,
    ) -> None:
        self._has_revisions = revision is not None
        self._columns = [
            check_identifier(column, "column") for column in (name, source, revision) if column is not None
        ]
        self._table = check_identifier(table, "table")
        if package and not all(part.isidentifier() for part in package.split(".")):
            raise ConfigError(f"not the name of a package: {package[:60]!r}")
        self.package = package
        self._where = None if where is None else _checked(where)
        chosen = "" if where is None else f" where {quoted(where, safe=_SAFE)}"
        self.location = f"{address.tables}@{table}={package}{chosen}"
        database.reads_any_text = True
        self._database = database
        self._snapshot = _Snapshot([], has_revisions=self._has_revisions)
        self._read_table()

    def _read(self, work: Callable[[Query], Result]) -> Result:
        is_asked = False

        def ask(query: Query) -> Result:
            nonlocal is_asked
            is_asked = True
            return work(query)

        try:
            return self._database.read(ask)
        except ArchimportError as exc:
            if is_asked and self._where is not None and _is_refused(exc):
                reason = f"cannot read the rows where {self._where[:60]!r}: {exc.message}"
                hint = "check where=, a condition in the SQL of this database"
                raise ConfigError(reason, store=self.location, hint=hint) from None
            if isinstance(exc, NoTableError):
                raise ConfigError(f"cannot read such a table: {exc.message}", store=self.location) from None
            exc.store = self.location
            raise

    def _select(self, columns: list[str]) -> str:
        quote = self._database.quote
        statement = f"SELECT {', '.join(map(quote, columns))} FROM {{schema}}{quote(self._table)}"
        if self._where is None:
            return statement
        return f"{statement} WHERE ({self._database.verbatim(self._where)}\n)"  # it may end in a comment

    def _read_rows(self, query: Query) -> _Snapshot:
        rows = [Row(self.package, *row) for row in query(self._select(self._columns), {})]
        return _Snapshot(rows, has_revisions=self._has_revisions)

    def _read_table(self) -> None:
        """Read the table, and warn of the rows that are skipped from now on."""
        before, now = self._snapshot, self._read(self._read_rows)
        self._snapshot = now
        for problem in now.problems.keys() - before.problems.keys():
            import logging  # deferred: for tables with bad rows

            logging.getLogger("archimport").warning("%s; it is skipped: %r", problem, self.location)

    def lookup(self, path: str) -> Entry | None:
        """Give the entry at `path`, or None."""
        return self._snapshot.index.lookup(path)

    def list(self, folder: str) -> list[str]:
        """Give the sorted names of the children of `folder`."""
        return self._snapshot.index.list(folder)

    def read(self, entry: Entry) -> bytes:
        """Return the source of a row, as it was when the table was read; FormatError for a row that is no module."""
        if entry.problem is not None:
            raise FormatError(entry.problem.message, store=self.location, member=entry.path)
        content: bytes = entry.handle  # type: ignore[assignment]  # as _member put it in
        return content

    def invalidate(self) -> None:
        """Read the table again; if that cannot be, what was read goes on."""
        try:
            self.move()
        except ArchimportError:
            return

    def move(self) -> None:
        """Read the table again if a revision changed."""
        self._database = self._database.current()
        if not self._has_revisions or self.newest() is not None:
            self._read_table()

    def newest(self) -> object:
        """Return the revisions that the rows have now, if they are others; contents where no column has revisions."""
        found: object
        if self._has_revisions:
            columns = [self._columns[0], self._columns[2]]
            found = _revisions(self._read(lambda query: query(self._select(columns), {})))
        else:
            found = self._read(self._read_rows).key
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
        """Read the table; FormatError for a row that is skipped."""
        found = self._read(self._read_rows)
        for problem in found.problems:
            raise FormatError(problem, store=self.location)
        yield f"{len(found.index.paths)} rows"

    def close(self) -> None:
        """Close the connection."""
        self._database.close()


def _checked(where: str) -> str:
    if not isinstance(where, str) or not where.strip() or "\0" in where:
        raise ConfigError(f"not a condition in SQL: {str(where)[:60]!r}")
    return where


def _is_refused(exc: ArchimportError) -> bool:
    """Return whether a database that was reached would say the same again."""
    return isinstance(exc, FormatError) or (isinstance(exc, StoreUnavailable) and not exc.retryable)


def _revisions(rows: Iterable[tuple[object, ...]]) -> list[tuple[str, str]]:
    """Return names with revisions in an order: a table may have several rows of one name, and returns them in any."""
    return sorted((text_of(name), str(plain(revision))) for name, revision in rows)
