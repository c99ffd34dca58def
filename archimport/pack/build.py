"""`pack`: from inputs to one file, or to a release of a database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from archimport.pack.app import Wanted, built, os_errors_as_pack_errors
from archimport.pack.decoder import choose_codecs
from archimport.pack.judge import Unpacking
from archimport.pack.output import output_for
from archimport.pack.write import Form
from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


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
    level: int | None = None,
    profile: str | None = None,
    order: str | os.PathLike[str] | None = None,
    open: bool = False,  # noqa: A002 - the word of the command line
    progress: Callable[[str], object] = str,
) -> Packed:
    """Resolve `inputs`, compile them, and write `output`: a bundle for `.arc`, a zip for `.zip`, else a database.

    Inputs are requirements, projects, wheels and plain folders; `requirements` are requirement files. The app starts at
    `entry` (`MODULE` or `MODULE:FUNC`) or at a console `script`. `python` names the versions to pack for; by default it
    is this one, and the others on which the result is complete; `platform` are tags of wheels to pack for, by default
    those of this machine. What opens files by their place is found out and unpacked when it runs; `unpack` and
    `no_unpack` name distributions or packages, or patterns of them, for which that went wrong. `codec` and `level` say
    how a bundle is compressed. Its first blocks hold what start-up imports: what the entry point's module imports, what
    a run of the app with the arguments `profile` does, or what the file `order` says. `open` lets a bundle's app see
    the environment that it runs in. In a database (`.db`, or a URL) the channel that URL or configuration name, else
    main, gets a release. `progress` is told each stage. PackError, ConfigError or LimitError if it does not work out;
    then an old `output` is as it was.
    """
    target = output_for(os.fspath(output))
    if target.kind != "bundle" and (codec or open or level is not None):
        raise PackError(f"a codec, a level and openness are a bundle's, not a {target.kind}'s")
    if codec == "stored" and level is not None:
        raise PackError("what is stored as it is has no level")
    wanted = Wanted(inputs, requirements, entry, script, python, platform, Unpacking(unpack, no_unpack), profile, order)
    with built(wanted, target.files, progress) as app:
        progress("writing")
        form = Form(choose_codecs(app, codec if target.kind == "bundle" else "deflate"), open, level)
        size, members = target.write(app, form)
    source_only = [target.python for target in app.targets if target.interpreter is None]
    return Packed(
        target.name,
        target.kind,
        size,
        members,
        app.entry,
        app.pythons,
        form.codecs.common,
        [decision.owner for decision in app.decisions if decision.unpack],
        source_only,
        list(form.codecs.unable),
    )
