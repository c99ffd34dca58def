"""What a bundle is compressed with, and the zstd decoders that it carries for Pythons without one of their own."""

from __future__ import annotations

import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archimport.bundle.compress import can_write
from archimport.pack.compile import cached_path
from archimport.pack.inputs import Inputs
from archimport.pack.libraries import is_library
from archimport.pack.resolve import install
from archimport.pack.target import KNOWN_PYTHONS, THIS_PYTHON, version_of
from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archimport.pack.app import App
    from archimport.pack.target import Target

#: The Pythons whose standard library reads zstd (PEP 784).
WITH_ZSTD = frozenset(KNOWN_PYTHONS[KNOWN_PYTHONS.index("3.14") :])
#: In bytes of bytecode: a start that reads less is quicker without any codec, and stored as it is takes no more room
#: than a decoder.
_WORTH_A_DECODER = 2 << 20


class Codecs(NamedTuple):
    """Codecs of what every reader needs, and of each target's bytecode; `decoders` are contents by file name.

    `unable` are Pythons that cannot read the first. `stores_start` says that the bytecode which a start reads is stored
    as it is.
    """

    common: str
    bytecode: Sequence[str]
    decoders: Mapping[str, bytes]
    unable: Sequence[str]
    stores_start: bool

    def of_bytecode(self, target: int, *, at_start: bool) -> str:
        """Give the codec of a target's bytecode, of that which a start reads or of the rest."""
        return "stored" if at_start and self.stores_start else self.bytecode[target]


def choose_codecs(app: App, asked: str | None) -> Codecs:
    """Choose: zstd for what those alone read who can read it, else deflate; all as `asked`, if that is given."""
    is_small = asked is None and _start_size(app) < _WORTH_A_DECODER
    codec = asked or ("zstd" if can_write("zstd") else "deflate")
    if codec != "zstd":
        return Codecs(codec, [codec] * len(app.targets), {}, [], is_small)
    decoders, able = ({}, [_has_its_own(target.python) for target in app.targets]) if is_small else _decoders(app)
    bytecode = ["zstd" if asked or is_able else "deflate" for is_able in able]
    unable = _unable(app, able)
    # A decoder is one platform's. An app without libraries is everybody's.
    is_bound = app.has_libraries or any(target.platform for target in app.targets)
    if asked or (not unable and (is_bound or all(map(_has_its_own, app.pythons)))):
        return Codecs("zstd", bytecode, decoders, unable, is_small)
    return Codecs("deflate", bytecode, decoders, [], is_small)


def _start_size(app: App) -> int:
    """Give how much bytecode a target reads to start: as far as that is known, else all that there is."""
    first = [{cached_path(path, target) for path in app.first} for target in app.targets]
    pycs = zip(app.bytecode, first, strict=True)
    return max(sum(len(pyc) for path, pyc in all_.items() if path in seen or not seen) for all_, seen in pycs)


def _has_its_own(python: str) -> bool:
    return version_of(python) in WITH_ZSTD


def _decoders(app: App) -> tuple[dict[str, bytes], list[bool]]:
    """Give the decoders to carry, by file name, and of each target whether it can read zstd then."""
    with tempfile.TemporaryDirectory(prefix="archimport-") as scratch:
        files = [_decoder_for(target, Path(scratch)) for target in app.targets]
        found = {(file.name, file.read_bytes()) for file in files if file is not None}
    names = [name for name, _ in found]
    decoders = {name: content for name, content in found if names.count(name) == 1}  # macOS has one name for two
    able = zip(app.targets, files, strict=True)
    return decoders, [_has_its_own(of.python) or (file is not None and file.name in decoders) for of, file in able]


def _unable(app: App, able: Sequence[bool]) -> list[str]:
    """Give the Pythons of an app that cannot read zstd: those without a decoder, and those that are no target."""
    targets = {target.python for target in app.targets}
    lacking = {target.python for target, is_able in zip(app.targets, able, strict=True) if not is_able}
    return [python for python in app.pythons if python in lacking or not (python in targets or _has_its_own(python))]


def requirement() -> str:
    """Give the requirement of the decoder's distribution: in the version that is here, if any is."""
    try:
        return f"backports.zstd=={version('backports.zstd')}"
    except PackageNotFoundError:
        return "backports.zstd"


def _decoder_for(target: Target, scratch: Path) -> Path | None:
    """Give the extension module that a target reads zstd with, if it needs one and there is one."""
    if _has_its_own(target.python):
        return None
    if target.python == THIS_PYTHON and target.platform is None:
        spec = find_spec("backports.zstd._zstd")
        return Path(spec.origin) if spec is not None and spec.origin and is_library(spec.origin) else None
    folder = scratch / f"{target.python}-{target.platform.tag if target.platform else ''}"
    try:
        install(Inputs([requirement()], [], [], []), [], target, folder)
    except PackError:  # no network, or no wheel: then there is deflate
        return None
    return next(folder.glob("backports/zstd/_zstd.*.[sp][oy]*"), None)
