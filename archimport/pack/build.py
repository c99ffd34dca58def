"""`pack`: from inputs to one file, or to a release of a database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from archimport.pack.app import Wanted, built, os_errors_as_pack_errors
from archimport.pack.judge import Unpacking
from archimport.pack.output import output_for
from archimport.pack.target import KNOWN_PYTHONS
from archimport.pack.write import Form
from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: The Pythons whose standard library reads zstd (PEP 784).
_WITH_ZSTD = frozenset(KNOWN_PYTHONS[KNOWN_PYTHONS.index("3.14") :])


class Packed(NamedTuple):
    """What was packed: the `pythons` it runs on, what is `unpacked` when it runs, and targets that got `source_only`.

    `without_decoder` are those of the Pythons that cannot read its codec by themselves.
    """

    path: str
    kind: str
    size: int
    members: int
    entry: str | None
    pythons: list[str]
    codec: str
    unpacked: list[str]
    source_only: list[str]
    without_decoder: list[str]


@os_errors_as_pack_errors()
def pack(
    inputs: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    requirements: Iterable[str | os.PathLike[str]] = (),
    entry: str | None = None,
    script: str | None = None,
    python: Sequence[str] = (),
    platform: Sequence[str] = (),
    unpack: Sequence[str] = (),
    no_unpack: Sequence[str] = (),
    codec: str | None = None,
    open: bool = False,  # noqa: A002 - the word of the command line
    progress: Callable[[str], object] = str,
) -> Packed:
    """Resolve `inputs`, compile them, and write `output`: a bundle for `.arc`, a zip for `.zip`, else a database.

    Inputs are requirements, projects, wheels and plain folders; `requirements` are requirement files. The app starts at
    `entry` (`MODULE` or `MODULE:FUNC`) or at a console `script`. `python` names the versions to pack for; by default it
    is this one, and the others on which the result is complete; `platform` are tags of wheels to pack for, by default
    those of this machine. What opens files by their place is found out and
    unpacked when it runs; `unpack` and `no_unpack` name distributions or packages, or patterns of them, for which that
    went wrong. `open` lets a bundle's app see the environment that it
    runs in. The channel main of a database (`.db`, or a URL) gets a release. `progress` is told each stage. PackError,
    ConfigError or LimitError if it does not work out; then an old `output` is as it was.
    """
    target = output_for(os.fspath(output))
    if target.kind != "bundle" and (codec or open):
        raise PackError(f"a codec and openness are a bundle's, not a {target.kind}'s")
    wanted = Wanted(inputs, requirements, entry, script, python, platform, Unpacking(unpack, no_unpack))
    with built(wanted, target.files, progress) as app:
        form = Form(codec or _codec_for(app.pythons), open)
        progress("writing")
        size, members = target.write(app, form)
    source_only = [target.python for target in app.targets if target.interpreter is None]
    without_decoder = [python for python in app.pythons if form.codec == "zstd" and python not in _WITH_ZSTD]
    return Packed(
        target.name,
        target.kind,
        size,
        members,
        app.entry,
        app.pythons,
        form.codec,
        [decision.owner for decision in app.decisions if decision.unpack],
        source_only,
        without_decoder,
    )


def _codec_for(pythons: Sequence[str]) -> str:
    """Give zstd if every Python that will read the bundle has a decoder of its own."""
    return "zstd" if _WITH_ZSTD.issuperset(pythons) else "deflate"
