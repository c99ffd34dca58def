"""From the tables of an older version to those of this one, a step for each version.

In one transaction, except in MySQL, whose changes of tables commit what was before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from archimport.runtime.errors import FormatError
from archimport.sql import tables
from archimport.sql.schema import VERSION
from archimport.sql.transaction import begun, create_tables, engine_of, has_tables, lock
from archimport.sql.translate import translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from archimport.sql.address import Address

#: What leads from each version to the next.
STEPS: dict[int, Callable[[Connection], None]] = {}


def upgrade(address: Address) -> tuple[int | None, int]:
    """Bring the tables to this version, or make them; give the version before, None if there was none, and now.

    FormatError for a version that this archimport is too old for.
    """
    engine = engine_of(address, create=True)
    with translated(address.place, writing=True):
        if not has_tables(engine, address):
            create_tables(engine, address)
            return None, VERSION
        with begun(engine, address) as connection:
            found = lock(connection)
            steps = [STEPS.get(version) for version in range(found, VERSION)]
            if found > VERSION or None in steps:
                raise FormatError(f"the tables have version {found}", store=address.place, hint="upgrade archimport")
            for step in filter(None, steps):
                step(connection)
            every = update(tables.version).with_dialect_options(**tables.ALL_ROWS)
            connection.execute(every.values(version=VERSION))
    return found, VERSION
