"""On which Pythons what was resolved works: by its metadata, and by the names of its extension modules."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag, platform_tags
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from archimport.pack.target import ALL_PYTHONS, KNOWN_PYTHONS, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: An extension module that says for which Python it is (PEP 3149).
_TAGGED = re.compile(r"(?P<module>.*)\.cpython-3(?P<minor>\d+t?)-[^/]*\.(so|pyd)")


def supported_pythons(folder: Path, files: Iterable[str], base: str) -> list[str]:
    """Give the known Pythons on which what was resolved into `folder` for `base` is complete, and so are the `files`.

    By the metadata of its distributions: `Requires-Python` allows the version, its wheels were made for it, and
    whatever is required there is in the folder, unless it is missing for `base` too. Where metadata cannot be
    understood, `base` alone. Of the files, each extension module is there for the version.
    """
    found = list(distributions(path=[str(folder)]))
    try:
        missing = set(_missing(found, base))
        complete = {
            python
            for python in KNOWN_PYTHONS
            if _all_allow(found, python) and missing.issuperset(_missing(found, python)) and _has_wheels(found, python)
        }
    except (InvalidRequirement, InvalidSpecifier, InvalidVersion, TypeError):  # from before the standards; no name
        complete = set()
    complete -= set(_without_a_module(files))
    return [python for python in ALL_PYTHONS if python in complete or python == base]


def _has_wheels(found: Iterable[Distribution], python: str) -> bool:
    """Whether each wheel, by the tags that it was made for, fits a version of Python on this platform."""
    fitting = set(_tags_of(python))
    return all(tags & fitting for tags in map(_wheel_tags, found) if tags)


def _wheel_tags(dist: Distribution) -> set[Tag]:
    lines = (dist.read_text("WHEEL") or "").splitlines()
    return {tag for line in lines if line.startswith("Tag: ") for tag in parse_tag(line.removeprefix("Tag: "))}


def _tags_of(python: str) -> Iterator[Tag]:
    version, platforms = tuple(map(int, python.split("."))), list(platform_tags())
    interpreter = f"cp{python.replace('.', '')}"
    yield from cpython_tags(version, [interpreter], platforms)
    yield from compatible_tags(version, interpreter, platforms)


def _without_a_module(files: Iterable[str]) -> Iterator[str]:
    """Give the Pythons for which an extension module is missing that is there for others."""
    pythons: dict[str, set[str]] = {}
    for path in files:
        tagged = _TAGGED.fullmatch(path)
        if tagged:
            pythons.setdefault(tagged["module"], set()).add(f"3.{tagged['minor']}")
    untagged = {path.removesuffix(".so").removesuffix(".abi3") for path in files if path.endswith(".so")}
    for module in pythons.keys() - untagged:
        yield from set(ALL_PYTHONS) - pythons[module]


def _all_allow(found: Iterable[Distribution], python: str) -> bool:
    wanted = [dist.metadata["Requires-Python"] for dist in found if "Requires-Python" in dist.metadata]
    return all(SpecifierSet(spec).contains(f"{python}.99") for spec in wanted)


def _missing(found: Sequence[Distribution], python: str) -> Iterator[str]:
    """Give what the distributions require on `python` and is not among them in a version that fits."""
    versions = {canonicalize_name(dist.metadata["Name"]): dist.version for dist in found}
    environment = {
        **default_environment(),
        "python_version": version_of(python),
        "python_full_version": f"{version_of(python)}.99",
        "extra": "",
    }
    for dist in found:
        for text in dist.requires or ():
            required = Requirement(text)
            if required.marker and not required.marker.evaluate(environment):  # type: ignore[arg-type]  # a TypedDict
                continue
            version = versions.get(canonicalize_name(required.name))
            if version is None or not required.specifier.contains(version, prereleases=True):
                yield text
