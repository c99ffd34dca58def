"""Opening a store in the middle of an import: what opens it may be just what is being imported."""

from __future__ import annotations

import sys

from archimport.runtime.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Result = TypeVar("Result")


class TooEarlyError(ConfigError):
    """A store cannot be opened before the import of what opens it is complete."""


def opened(work: Callable[[], Result]) -> Result:
    """Give what `work` opens. An ImportError, which would mean that the entry is not ours, is a ConfigError."""
    try:
        return work()
    except ImportError as exc:
        spec = getattr(sys.modules.get(exc.name or ""), "__spec__", None)
        kind = TooEarlyError if getattr(spec, "_initializing", False) else ConfigError
        raise kind(f"the store cannot be opened here: {exc.msg}") from exc


def refuse_while_importing(*packages: str) -> None:
    """Raise TooEarlyError if this thread is executing a module of one of these packages, which importing would need.

    Another thread may wait for that module while it holds what this one would wait for.
    """
    frame = sys._getframe().f_back
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name == "<module>" and name.partition(".")[0] in packages:
            raise TooEarlyError(f"the store cannot be opened while {name!r} is being imported")
        frame = frame.f_back
