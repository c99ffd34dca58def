"""The tables as SQLAlchemy knows them: for those who write, and for those who keep migrations of their own tables.

`metadata` is public, so that a migration tool can be told of them or be kept away from them (docs/sql-schema.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    String,
    Table,
    Unicode,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateSequence

from archimport.sql.schema import LONGEST_NOTE, PREFIX

if TYPE_CHECKING:
    from sqlalchemy import Connection

metadata = MetaData()


def _key(length: int) -> String:
    """Return the type of a name that is compared byte by byte: some databases take `a` for `A` and `a ` otherwise."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    named = String(length).with_variant(exact, "mysql", "mariadb")
    return named.with_variant(String(length, collation="Latin1_General_BIN2"), "mssql")


def _text(length: int) -> String:
    """Return the type of text for people, in any script."""
    return Unicode(length).with_variant(mysql.VARCHAR(length, charset="utf8mb4"), "mysql", "mariadb")


class _Number(Identity):
    """The number of a row, which the database gives; in MySQL and SQLite it is AUTO_INCREMENT."""


@compiles(_Number, "duckdb")
def _from_sequence(number: _Number, compiler: Any, **_: Any) -> str:
    """Return numbers in DuckDB, which has neither identity columns nor SERIAL."""
    sequence = _sequence_of(number.column)  # type: ignore[arg-type]  # it is a column's
    return f"DEFAULT nextval('{compiler.preparer.format_sequence(sequence)}')"


def _sequence_of(column: Column[int]) -> Sequence:
    """Return the sequence that numbers a column, called as PostgreSQL calls it."""
    return Sequence(f"{column.table.name}_{column.name}_seq")


def _make_sequence(table: Table, connection: Connection, **_: Any) -> None:
    if connection.dialect.name == "duckdb":
        (number,) = table.primary_key
        connection.execute(CreateSequence(_sequence_of(number), if_not_exists=True))


#: MySQL's BLOB ends at 64 KiB.
_PART = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
#: Immutable rows make isolation irrelevant, but not transactions: MyISAM has none.
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}
#: For a change of all rows, or of many: `sql_safe_updates` of MySQL wants a limit, or a key that it finds worth using.
ALL_ROWS = dict.fromkeys(("mysql_limit", "mariadb_limit"), 1 << 62)
#: Numbers are never given twice, not even after the newest release went.
_NUMBERED: dict[str, Any] = {
    **_OPTIONS,
    "sqlite_autoincrement": True,
    "listeners": [("before_create", _make_sequence)],
}

#: One row: the version of these tables. Whoever writes locks it first, so that writers take turns.
version = Table(
    f"{PREFIX}format", metadata, Column("version", Integer, primary_key=True, autoincrement=False), **_OPTIONS
)

blob = Table(
    f"{PREFIX}blob",
    metadata,
    Column("digest", _key(64), primary_key=True),
    Column("part_number", Integer, primary_key=True, autoincrement=False),
    Column("codec", String(16), nullable=False),
    Column("content", _PART, nullable=False),
    **_OPTIONS,
)

release = Table(
    f"{PREFIX}release",
    metadata,
    Column("release_id", Integer, _Number(), primary_key=True),
    Column("manifest", _key(64), nullable=False, unique=True),
    Column("manifest_size", BigInteger, nullable=False),
    Column("members", Integer, nullable=False),
    Column("content_size", BigInteger, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("created_by", _text(255), nullable=False),
    Column("signature", _PART),
    **_NUMBERED,
)

channel = Table(
    f"{PREFIX}channel",
    metadata,
    Column("channel_name", _key(48), primary_key=True),
    Column("release_id", Integer, ForeignKey(release.c.release_id), nullable=False),
    Column("serial", Integer, nullable=False),
    **_OPTIONS,
)

audit = Table(
    f"{PREFIX}audit",
    metadata,
    Column("audit_id", Integer, _Number(), primary_key=True),
    Column("channel_name", _key(48), nullable=False),
    Column("serial", Integer, nullable=False),
    Column("action_name", String(16), nullable=False),
    Column("from_release", Integer),
    Column("to_release", Integer, nullable=False),
    Column("done_at", DateTime, nullable=False),
    Column("done_by", _text(255), nullable=False),
    Column("note", _text(LONGEST_NOTE), nullable=False),
    UniqueConstraint("channel_name", "serial"),
    CheckConstraint("serial > 0"),
    **_NUMBERED,
)
