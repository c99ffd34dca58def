"""Modules in a database: releases, channels, rollback.

Each name is resolved on its first use: what reads a SQLite database loads no SQLAlchemy.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.pack.publish import publish as publish
    from archimport.sql.config import configure as configure
    from archimport.sql.tables import metadata as metadata

_HOMES = {
    "publish": "archimport.pack.publish",
    "configure": "archimport.sql.config",
    "metadata": "archimport.sql.tables",
}
__all__ = ["configure", "metadata", "publish"]


def __getattr__(name: str) -> object:
    """Import the home of a public name on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # deferred: readers need none of these names

    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
