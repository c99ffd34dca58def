"""`publish`: from inputs to a release in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archimport.pack.app import Wanted, built, os_errors_as_pack_errors
from archimport.pack.judge import Unpacking
from archimport.pack.output import DatabaseOutput

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Engine

    from archimport.sql.writer import Published


@os_errors_as_pack_errors()
def publish(
    database: str | os.PathLike[str] | Engine,
    inputs: Iterable[str | os.PathLike[str]],
    *,
    channel: str | None = None,
    message: str = "",
    requirements: Iterable[str | os.PathLike[str]] = (),
    entry: str | None = None,
    script: str | None = None,
    python: Sequence[str] = (),
    platform: Sequence[str] = (),
    unpack: Sequence[str] = (),
    no_unpack: Sequence[str] = (),
    progress: Callable[[str], object] = str,
) -> Published:
    """Build `inputs` as `pack` does, make a release of them, and let a channel point to it.

    The channel is `channel`, else what the URL or the host's configuration says, else main.
    `database` is a path, a URL or a sqlalchemy.Engine; tables are made where there are none. A release that exists
    already is not made again. ConflictError if somebody else moved the channel since this was called; PackError,
    ConfigError or StoreUnavailable if it does not work out. Then nothing is visible of it.
    """
    output = DatabaseOutput(database, channel, message)
    wanted = Wanted(inputs, requirements, entry, script, python, platform, Unpacking(unpack, no_unpack))
    with built(wanted, output.files, progress) as app:
        progress("publishing")
        return output.publish(app)
