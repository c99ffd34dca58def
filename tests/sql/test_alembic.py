"""Alembic beside our tables, by the code that docs/sql-schema.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import archimport

GUIDE = (Path(__file__).parents[2] / "docs" / "sql-schema.md").read_text(encoding="utf-8")


def changes(url: str, metadata: object, **options: object) -> list[str]:
    """Give what Alembic would do to our tables to make a database fit the metadata."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [text for text in map(repr, found) if "archimport_" in text]


@pytest.fixture
def url(channel) -> str:
    channel.publish({"a.py": ""})
    return f"sqlite:///{channel.source}" if channel.kind == "sqlite" else channel.source


def test_alembic_leaves_our_tables_alone(url: str) -> None:
    shown: dict[str, object] = {}
    exec(re.search(r"^def include_name.*?\n\n", GUIDE, re.MULTILINE | re.DOTALL)[0], shown)
    theirs = sqlalchemy.MetaData()
    assert changes(url, theirs, include_name=shown["include_name"]) == []
    assert any("remove_table" in change for change in changes(url, theirs))


def test_alembic_knows_our_tables(url: str) -> None:
    assert changes(url, [sqlalchemy.MetaData(), archimport.sql.metadata]) == []


def test_tables_made_by_a_migration(sqlite) -> None:
    (statement,) = re.findall(r"`(INSERT INTO archimport_format [^`]+)`", GUIDE)
    engine = sqlalchemy.create_engine(f"sqlite:///{sqlite.source}")
    with engine.begin() as connection:
        archimport.sql.metadata.create_all(connection)
        connection.exec_driver_sql(statement)
    engine.dispose()
    sqlite.publish({"a.py": "value = 1\n"})
    store = sqlite.mount().store
    assert store.read(store.lookup("a.py")) == b"value = 1\n"
