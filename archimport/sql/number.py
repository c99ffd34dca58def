"""Numbers that tell engines apart: each that is handed over may have a memory of its own."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from sqlalchemy import Engine

_numbers: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()
_next = count()


def number_of(engine: Engine) -> int:
    """Give the number of an engine, which no other one ever gets."""
    return _numbers.setdefault(engine, next(_next))
