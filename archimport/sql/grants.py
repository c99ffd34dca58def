"""The rights that each kind of user needs, as SQL for an administrator to run."""

from __future__ import annotations

from archimport.runtime.errors import ConfigError
from archimport.sql import tables
from archimport.sql.engine import create_engine, default_schema, is_postgresql
from archimport.sql.schema import check_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archimport.sql.address import Address

_ALL = tuple(tables.metadata.tables.values())
#: Whoever publishes updates the row of the version, to no other value: that is the lock of writers.
_RIGHTS = {
    "reader": [("SELECT", _ALL)],
    "publisher": [
        ("SELECT", _ALL),
        ("INSERT", (tables.blob, tables.release, tables.channel, tables.audit)),
        ("UPDATE", (tables.channel, tables.version)),
    ],
    "admin": [("SELECT, INSERT, UPDATE, DELETE", _ALL)],
}
_NUMBERED = ("archimport_release_release_id_seq", "archimport_audit_audit_id_seq")


def grants(address: Address, *, reader: str, publisher: str, admin: str) -> Iterator[str]:
    """Give the statements that make roles such users, in the dialect of the database.

    ConfigError for a name that can be no role's, and for SQLite, where the file's permissions decide.
    """
    engine = address.engine or create_engine(address, reading=True)
    if engine.dialect.name == "sqlite":
        raise ConfigError("SQLite has no roles", hint="the permissions of the file and its folder decide")
    quote = engine.dialect.identifier_preparer.quote
    schema = address.schema or default_schema(engine)
    for kind, role in (("reader", reader), ("publisher", publisher), ("admin", admin)):
        name = quote(check_identifier(role, "role"))
        if is_postgresql(engine.dialect):
            yield f"GRANT USAGE ON SCHEMA {quote(schema or '')} TO {name}"
        for right, on in _RIGHTS[kind]:
            for table in on:
                yield f"GRANT {right} ON {_qualified(quote, schema, table.name)} TO {name}"
        if is_postgresql(engine.dialect) and kind != "reader":
            for sequence in _NUMBERED:
                yield f"GRANT USAGE ON SEQUENCE {_qualified(quote, schema, sequence)} TO {name}"


def _qualified(quote: Callable[[str], str], schema: str | None, name: str) -> str:
    return name if schema is None else f"{quote(schema)}.{name}"
