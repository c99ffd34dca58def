"""An end to what a server does not answer: a timer on this side."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from threading import Timer
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from archimport.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine


def end_in_time(engine: Engine, seconds: float) -> None:
    """Hang up on a connection that lives longer than it may: psycopg waits for an answer without any limit."""

    @event.listens_for(engine, "connect", insert=True)
    def start(driver: Any, record: Any) -> None:
        find = _fileno_of(driver)
        if find is not None:
            record.info["archimport"] = timer = Timer(seconds, _hang_up, (find,))
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError as exc:  # a subinterpreter, or too many threads
                raise ConfigError(f"a connection needs a thread that ends it in time: {exc}") from None

    @event.listens_for(engine, "close")
    def stop(_: object, record: Any) -> None:
        timer = record.info.pop("archimport", None)
        if timer is not None:
            timer.cancel()


def _fileno_of(driver: Any) -> Callable[[], int] | None:
    """Return what knows the descriptor of a driver's connection: that itself, or where pg8000 and MySQL's keep it."""
    wrapped = getattr(driver, "_socket", None)
    holders = (driver, *(getattr(driver, name, None) for name in ("_usock", "_sock")), getattr(wrapped, "sock", None))
    return next((holder.fileno for holder in holders if hasattr(holder, "fileno")), None)


def _hang_up(fileno: Callable[[], int]) -> None:
    with suppress(Exception), socket.socket(fileno=os.dup(fileno())) as connection:  # it may be closed by now
        connection.shutdown(socket.SHUT_RDWR)
