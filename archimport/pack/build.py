"""`pack`: from inputs to one file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import archimport
from archimport.pack import entry as entry_points
from archimport.pack import layers
from archimport.pack.collect import Tree, clean_site, collect
from archimport.pack.compile import compile_sources
from archimport.pack.inputs import Inputs, sort_inputs
from archimport.pack.resolve import build_projects, install
from archimport.pack.target import KNOWN_PYTHONS, Target, supported_pythons, targets_of
from archimport.pack.write import WRITERS, App
from archimport.runtime.errors import ArchimportError, PackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

#: The Pythons whose standard library reads zstd (PEP 784).
_WITH_ZSTD = frozenset(KNOWN_PYTHONS[KNOWN_PYTHONS.index("3.14") :])


@contextlib.contextmanager
def _os_errors_as_pack_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if isinstance(exc, ArchimportError):
            raise
        raise PackError(f"cannot read {str(exc.filename)!r}: {exc.strerror or exc}") from exc


class Packed(NamedTuple):
    """What was packed: the `pythons` it runs on, native files `left_out`, and targets that got `source_only`.

    `without_decoder` are those of the Pythons that cannot read its codec by themselves.
    """

    path: str
    kind: str
    size: int
    members: int
    entry: str | None
    pythons: list[str]
    codec: str
    left_out: list[str]
    source_only: list[str]
    without_decoder: list[str]


@_os_errors_as_pack_errors()
def pack(
    inputs: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    requirements: Iterable[str | os.PathLike[str]] = (),
    entry: str | None = None,
    script: str | None = None,
    python: Sequence[str] = (),
    codec: str | None = None,
    open: bool = False,  # noqa: A002 - the word of the command line
    progress: Callable[[str], object] = str,
) -> Packed:
    """Resolve `inputs`, compile them, and write the file `output`: a bundle for `.arc`, a zip for `.zip`.

    Inputs are requirements, projects, wheels and plain folders; `requirements` are requirement files. The app starts at
    `entry` (`MODULE` or `MODULE:FUNC`) or at a console `script`. `python` names the versions to pack for; by default it
    is this one, and the others on which the result is complete. `open` lets a bundle's app see the environment that it
    runs in. `progress` is told each stage. PackError, ConfigError or LimitError if it does not work out; then an old
    `output` is as it was.
    """
    path = _check_output(Path(output))
    kind, write = WRITERS[path.suffix]
    if entry is not None and script is not None:
        raise PackError("both an entry point and a console script were given", hint="give one of them")
    if kind != "bundle" and (codec or open):
        raise PackError(f"a codec and openness are a bundle's, not a {kind}'s")
    if entry is not None:
        entry_points.check_shape(entry)
    wanted = sort_inputs(inputs, requirements)
    targets = targets_of(python)
    with tempfile.TemporaryDirectory(prefix="archimport-") as scratch:
        progress("resolving requirements")
        sites = _install(wanted, targets, Path(scratch).resolve())
        trees = [_collect(wanted.folders, site, path.absolute()) for site in sites]
        left_out = sorted({name for tree in trees for name in tree.left_out})
        if not any(tree.files for tree in trees):
            raise PackError("nothing to pack: the inputs are empty")
        _check_own_version(sites[0])
        entry = entry_points.console_script(script, sites[0]) if script is not None else entry or _own_main(trees[0])
        progress("importing the entry point")
        first = _try_entry(entry, targets, wanted.folders, sites, left_out)
        progress("compiling")
        files = layers.split([tree.files for tree in trees])
        bytecode = [compile_sources(target, files.sources(number)) for number, target in enumerate(targets)]
        pythons = [target.python for target in targets] if python else supported_pythons(sites[0], targets[0].python)
        app = App(entry, targets, pythons, codec or _codec_for(pythons), open, files, bytecode, first)
        progress("writing")
        try:
            members = write(str(path), app)
        except OSError as exc:
            raise PackError(f"cannot write {str(path)!r}: {exc.strerror or exc}") from exc
    source_only = [target.python for target in targets if target.interpreter is None]
    size = path.stat().st_size
    without_decoder = [python for python in pythons if app.codec == "zstd" and python not in _WITH_ZSTD]
    return Packed(str(path), kind, size, members, entry, pythons, app.codec, left_out, source_only, without_decoder)


def _check_output(path: Path) -> Path:
    """Give the output's path if a file can be put there: better known before anything is downloaded."""
    if path.suffix not in WRITERS:
        raise PackError(f"cannot tell what to write from {str(path)!r}", hint=f"end it in {' or '.join(WRITERS)}")
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise PackError(f"cannot write {str(path)!r}: it is no regular file")
    if not path.parent.is_dir():
        raise PackError(f"cannot write {str(path)!r}: no such folder {str(path.parent)!r}")
    if not os.access(path.parent, os.W_OK):
        raise PackError(f"cannot write {str(path)!r}: the folder is not writable")
    return path


def _install(wanted: Inputs, targets: Sequence[Target], scratch: Path) -> list[Path]:
    wheels = build_projects(wanted.projects, scratch / "wheels")
    sites = [scratch / "sites" / target.python for target in targets]
    for target, site in zip(targets, sites, strict=True):
        install(wanted, wheels, target.python, site)
    return sites


def _collect(folders: Sequence[Path], site: Path, output: Path) -> Tree:
    """Give the files of one target; what is written is no input, in `pack . -o app.arc` neither."""
    native = clean_site(site)
    files, left_out = collect([*folders, site])
    return Tree({name: file for name, file in files.items() if file != output}, [*native, *left_out])


def _own_main(tree: Tree) -> str | None:
    return "__main__" if "__main__.py" in tree.files else None


def _try_entry(
    entry: str | None,
    targets: Sequence[Target],
    folders: Sequence[Path],
    sites: Sequence[Path],
    left_out: Sequence[str],
) -> list[str]:
    """Give the sources that the entry point imports, in order; none without an entry point or an interpreter."""
    for target, site in zip(targets, sites, strict=True):
        if entry and target.interpreter:
            try:
                return entry_points.try_entry(entry, target.interpreter, [*folders, site])
            except PackError as exc:
                if left_out:
                    exc.hint = f"{len(left_out)} native modules were left out, {left_out[0]} for one"
                raise
    return []


def _check_own_version(site: Path) -> None:
    """Raise PackError if another archimport is packed than the one whose runtime the bundle carries."""
    for dist in distributions(name="archimport", path=[str(site)]):
        if dist.version != archimport.__version__:
            raise PackError(
                f"archimport {dist.version} is packed by archimport {archimport.__version__}",
                hint=f"require archimport=={archimport.__version__}",
            )


def _codec_for(pythons: Sequence[str]) -> str:
    """Give zstd if every Python that will read the bundle has a decoder of its own."""
    return "zstd" if _WITH_ZSTD.issuperset(pythons) else "deflate"
