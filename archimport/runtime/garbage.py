"""Cyclic garbage collection, held back while a program is imported: nearly all that imports make is there to stay."""

from __future__ import annotations

import gc

#: How many more objects than were freed may be made before there is a collection all the same.
_HELD = 250_000
#: Python 3.12 has frozen some itself; more are a program's, and stay frozen.
_FROZEN_BY_PYTHON = 1000


class HeldBack:
    """A context in which there are hardly any collections; a program that sets them up itself there has its way.

    What was made in it is as old as what was there before, as if collections had found it alive.
    """

    def __enter__(self) -> None:
        """Hold back."""
        self._before = gc.get_threshold()
        self._held = (_HELD, *self._before[1:]) if 0 < self._before[0] < _HELD else self._before
        self._frozen = gc.get_freeze_count()
        gc.set_threshold(*self._held)

    def __exit__(self, *exc_info: object) -> None:
        """Go on as before."""
        if gc.get_threshold() != self._held or self._held == self._before:
            return
        if gc.get_freeze_count() == self._frozen < _FROZEN_BY_PYTHON:
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        gc.set_threshold(*self._before)
