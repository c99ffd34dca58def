"""What `pack` is given: requirements, requirement files, projects, wheels and plain folders."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from archimport.runtime.errors import PackError

if TYPE_CHECKING:
    from collections.abc import Iterable


#: How the names of files end that an installer takes.
_DISTRIBUTIONS = (".whl", ".tar.gz", ".zip")


class Inputs(NamedTuple):
    """Inputs sorted by how they are handled: `requirements` and `projects` go to the resolver, `folders` are roots."""

    requirements: list[str]
    files: list[Path]
    projects: list[Path]
    folders: list[Path]


def sort_inputs(inputs: Iterable[str | os.PathLike[str]], files: Iterable[str | os.PathLike[str]] = ()) -> Inputs:
    """Tell what each input is; PackError for one that is nothing, or nowhere."""
    if isinstance(inputs, str):
        raise PackError(f"inputs are a list, not one string: {inputs!r}")
    found = Inputs([], [Path(file).absolute() for file in files], [], [])
    for file in found.files:
        if not file.is_file():
            raise PackError(f"no such requirements file: {str(file)!r}")
    for item in inputs:
        text = os.fspath(item)
        path = Path(text)
        if not text:
            raise PackError("an input is empty")
        if path.is_dir():
            (found.projects if is_project(path) else found.folders).append(path.resolve())
        elif path.is_file():
            if not text.endswith(_DISTRIBUTIONS):
                raise PackError(f"neither a wheel, a project nor a folder: {text!r}")
            found.requirements.append(str(path.absolute()))
        elif not _is_url(text) and (os.sep in text or text.startswith(".") or text.endswith(_DISTRIBUTIONS)):
            raise PackError(f"no such file or folder: {text!r}")
        else:
            found.requirements.append(_requirement(text))
    if not any(found):
        raise PackError("nothing to pack", hint="name requirements, projects, wheels or folders")
    return found


def _is_url(text: str) -> bool:
    """Whether this is a requirement with a place of its own: `name @ URL` (PEP 508)."""
    return "@" in text and "://" in text


def is_project(folder: Path) -> bool:
    """Whether a folder is built into a wheel, or taken as it is."""
    if (folder / "setup.py").is_file():
        return True
    try:
        table = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except FileNotFoundError:
        return False
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise PackError(f"cannot read {str(folder / 'pyproject.toml')!r}: {exc}") from exc
    return "project" in table or "build-system" in table


def _requirement(text: str) -> str:
    try:
        return str(Requirement(text))
    except InvalidRequirement as exc:
        raise PackError(f"not a requirement, file or folder: {text!r} ({str(exc).splitlines()[0]})") from exc
