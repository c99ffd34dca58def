"""From inputs to what a writer needs: resolved, collected, tried and compiled."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import archimport
from archimport.pack import entry as entry_points
from archimport.pack import layers, unpack
from archimport.pack.collect import clean_site, collect
from archimport.pack.compile import compile_sources
from archimport.pack.inputs import Inputs, sort_inputs
from archimport.pack.judge import Unpacking
from archimport.pack.libraries import is_library
from archimport.pack.resolve import build_projects, install
from archimport.pack.support import supported_pythons
from archimport.pack.target import Target, targets_of
from archimport.runtime.errors import ArchimportError, PackError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from archimport.pack.judge import Decision
    from archimport.pack.layers import Layers


class Wanted(NamedTuple):
    """What is to be packed, as `pack` and `publish` are told."""

    inputs: Iterable[str | os.PathLike[str]]
    requirements: Iterable[str | os.PathLike[str]] = ()
    entry: str | None = None
    script: str | None = None
    python: Sequence[str] = ()
    platform: Sequence[str] = ()
    unpacking: Unpacking = Unpacking()
    profile: str | None = None
    order: str | os.PathLike[str] | None = None


class App(NamedTuple):
    """What a writer needs: `bytecode[n]` and `files.own[n]` are those of target n, `first` what a start reads of it.

    `pythons` can run it; `decisions` say what is unpacked, and why.
    """

    entry: str | None
    targets: list[Target]
    pythons: list[str]
    files: Layers
    bytecode: list[dict[str, bytes]]
    first: list[str]
    decisions: list[Decision]

    @property
    def has_libraries(self) -> bool:
        """Whether some of it is for one kind of machine alone."""
        return any(is_library(path) for files in (self.files.common, *self.files.own) for path in files)


@contextlib.contextmanager
def built(wanted: Wanted, output: frozenset[Path], progress: Callable[[str], object]) -> Iterator[App]:
    """Build what is wanted; its files are there until this ends. What is at `output` is no input.

    PackError if it does not work out.
    """
    if wanted.entry is not None and wanted.script is not None:
        raise PackError("both an entry point and a console script were given", hint="give one of them")
    if wanted.profile is not None and wanted.order is not None:
        raise PackError("both a profile and an order were given", hint="give one of them")
    if wanted.entry is not None:
        entry_points.check_shape(wanted.entry)
    inputs = sort_inputs(wanted.inputs, wanted.requirements)
    targets = targets_of(wanted.python, wanted.platform)
    with tempfile.TemporaryDirectory(prefix="archimport-", ignore_cleanup_errors=True) as scratch:
        yield _build(wanted, inputs, targets, Path(scratch).resolve(), output, progress)


def _build(
    wanted: Wanted,
    inputs: Inputs,
    targets: list[Target],
    scratch: Path,
    output: frozenset[Path],
    progress: Callable[[str], object],
) -> App:
    progress("resolving requirements")
    sites = _install(inputs, targets, scratch)
    trees = [_collect(inputs.folders, site, output) for site in sites]
    _take_copies(trees, scratch)
    if not any(trees):
        raise PackError("nothing to pack: the inputs are empty")
    _check_own(sites[0], trees[0])
    script = wanted.script
    entry = (
        wanted.entry or _own_main(trees[0])
        if script is None
        else entry_points.console_script(script, [*inputs.folders, sites[0]])
    )
    progress("importing the entry point")
    first = _first(entry, wanted, targets, inputs.folders, sites)
    if wanted.order is not None:
        first = _recorded(Path(wanted.order), set().union(*trees) if entry else ())
    progress("compiling")
    files = layers.split(trees)
    bytecode = [compile_sources(target, files.sources(number)) for number, target in enumerate(targets)]
    progress("looking for what has to be real files")
    decisions, real = unpack.plan(files, bytecode, wanted.unpacking, scratch / "plan")
    first = [path for path in first if path not in real and path.endswith(".py")]
    pythons = list(dict.fromkeys(target.python for target in targets))
    if not (wanted.python or wanted.platform):
        pythons = supported_pythons(sites[0], files.seen(0), pythons[0])
    return App(entry, targets, pythons, files, bytecode, first, decisions)


@contextlib.contextmanager
def os_errors_as_pack_errors() -> Iterator[None]:
    """Let what cannot be read be a PackError."""
    try:
        yield
    except OSError as exc:
        if isinstance(exc, ArchimportError):
            raise
        what = f"cannot read {str(exc.filename)!r}: " if exc.filename else ""
        raise PackError(f"{what}{exc.strerror or exc}") from exc


def _install(wanted: Inputs, targets: Sequence[Target], scratch: Path) -> list[Path]:
    wheels = build_projects(wanted.projects, scratch / "wheels")
    sites = [scratch / "sites" / str(number) for number in range(len(targets))]
    for target, site in zip(targets, sites, strict=True):
        install(wanted, wheels, target, site)
    return sites


def _collect(folders: Sequence[Path], site: Path, output: frozenset[Path]) -> dict[str, Path]:
    """Give the files of one target; what is written is no input, in `pack . -o app.arc` neither."""
    clean_site(site)
    return {name: file for name, file in collect([*folders, site]).items() if file not in output}


def _take_copies(trees: Sequence[dict[str, Path]], scratch: Path) -> None:
    """Copy what lies elsewhere: files that change meanwhile would be compiled as one thing and packed as another."""
    folder = scratch / "inputs"
    folder.mkdir()
    copies: dict[Path, Path] = {}
    for tree in trees:
        for name, file in tree.items():
            if not file.is_relative_to(scratch):
                if file not in copies:
                    copies[file] = Path(shutil.copy(file, folder / str(len(copies))))
                tree[name] = copies[file]


def _own_main(tree: Mapping[str, Path]) -> str | None:
    return "__main__" if "__main__.py" in tree else None


def _first(
    entry: str | None, wanted: Wanted, targets: Sequence[Target], folders: list[Path], sites: Sequence[Path]
) -> list[str]:
    """Give the sources that the entry point imports, in order; nothing without one, or without an interpreter."""
    pairs = zip(targets, sites, strict=True)
    here = [(target.interpreter, site) for target, site in pairs if target.interpreter and not target.platform]
    if wanted.profile is not None and not (entry and here):
        raise PackError("there is nothing to profile", hint="name an entry point, and a Python that is here")
    if not entry or not here:
        return []
    interpreter, site = here[0]
    return entry_points.try_entry(entry, interpreter, [*folders, site], wanted.profile)


def _recorded(file: Path, sources: Collection[str]) -> list[str]:
    """Give the sources that a file lists; PackError if it is no list, or one of another app."""
    try:
        order = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        order = []
    order = [path for path in order if path in sources]
    if not order:
        hint = "an order is what .archimport/order of another bundle of the app says"
        raise PackError(f"{str(file)!r} lists nothing that a start here imports", hint=hint)
    return order


def _check_own(site: Path, tree: Mapping[str, Path]) -> None:
    """Raise PackError if what is packed as `archimport` is not the one whose runtime a bundle carries."""
    dists = list(distributions(name="archimport", path=[str(site)]))
    own = tree.get("archimport.py", tree.get("archimport/__init__.py"))
    if not dists and own is not None and own.read_bytes() != Path(archimport.__file__).read_bytes():
        raise PackError("the inputs have a module 'archimport' of their own", hint="its name is taken: rename it")
    for dist in dists:
        if dist.version != archimport.__version__:
            raise PackError(
                f"archimport {dist.version} is packed by archimport {archimport.__version__}",
                hint=f"require archimport=={archimport.__version__}",
            )
