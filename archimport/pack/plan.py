"""The plan of what has to be real files: units of files that belong together, as members of the store.

`archimport.runtime.unit` says what stands in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archimport.pack.compile import source_path
from archimport.pack.libraries import needs_of
from archimport.pack.owners import MODULES
from archimport.runtime.digest import digest
from archimport.runtime.unit import PLAN, UNITS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from archimport.pack.libraries import Needs


def plan_members(
    files: Mapping[str, Path], bytecode: Mapping[str, bytes], owners: Mapping[str, str], unpacked: Collection[str]
) -> dict[str, bytes]:
    """Give the members that say what of `files` has to be real files: none, if nothing has to.

    Those are all files of the owners that are `unpacked`, their bytecode among them, and all libraries. Where one
    owner's library needs another's, or a package of one has files of another, both are in one unit.
    """
    needs = needs_of(files)
    members: dict[str, bytes] = {}
    plan: list[str] = []
    for group in _groups(owners, needs, sharers(files, owners, unpacked)):
        mine = [path for path in files if owners[path] in group and ".dist-info/" not in path]
        real = [path for path in mine if owners[path] in unpacked or path in needs]
        if not real:
            continue
        whole = [path for path in real if owners[path] in unpacked]
        lines = {
            path: _line(path, files[path].read_bytes(), _mode(path, files[path]), needs.get(path, ())) for path in real
        }
        lines |= {path: _line(path, bytecode[path], "-") for path in _bytecode_of(whole, bytecode)}
        text = "".join(lines[path] for path in sorted(lines, key=_as_in_a_bundle)).encode()
        name = digest(text).hex()
        members[UNITS + name] = text
        plan += [f"unpacked\t{path}\t{name}\n" for path in importable(whole)]
        plan += [f"library\t{path}\t{name}\n" for path in real if path in needs]
    return {PLAN: "".join(sorted(plan)).encode(), **members} if plan else {}


def _as_in_a_bundle(path: str) -> tuple[bool, bool, str]:
    """Order files as they lie in blocks: what unpacks them decompresses each block once."""
    if path.endswith(".pyc"):
        return False, True, source_path(path)
    return True, not path.endswith(".py"), path


def _line(path: str, content: bytes, mode: str, needs: Collection[tuple[int, str]] = ()) -> str:
    fields = [digest(content).hex(), mode, path]
    for offset, need in needs:
        fields += [str(offset), need]
    return "\t".join(fields) + "\n"


def _mode(path: str, file: Path) -> str:
    return "x" if file.stat().st_mode & 0o100 and ".so" not in path.rpartition("/")[2] else "-"


def sharers(files: Mapping[str, Path], owners: Mapping[str, str], unpacked: Collection[str]) -> list[set[str]]:
    """Give, of each package that is unpacked, all who own files in it: a package is one folder."""
    packages = set(importable([path for path in files if owners[path] in unpacked]))
    found: dict[str, set[str]] = {}
    for path in files:
        package = _package_of(path, packages)
        if package is not None:
            found.setdefault(package, set()).add(owners[path])
    return list(found.values())


def _groups(owners: Mapping[str, str], needs: Needs, together: Collection[set[str]]) -> list[set[str]]:
    """Give the owners, those together whose libraries need each other, or who are `together` anyhow."""
    groups = {owner: {owner} for owner in owners.values()}
    pairs = [{owners[path], owners[need]} for path, needed in needs.items() for _, need in needed]
    for linked in (*pairs, *together):
        joined = set().union(*(groups[owner] for owner in linked))
        groups.update(dict.fromkeys(joined, joined))
    return list({id(group): group for group in groups.values()}.values())


def _bytecode_of(sources: Collection[str], bytecode: Mapping[str, bytes]) -> list[str]:
    wanted = set(sources)
    return [path for path in bytecode if source_path(path) in wanted]


def importable(paths: Collection[str]) -> list[str]:
    """Give the packages and modules among the files that are in no package themselves.

    >>> importable(["six.py", "acme/__init__.py", "acme/sub/__init__.py", "space/tool.py"])
    ['acme', 'six.py', 'space/tool.py']
    """
    found = set()
    packages = {path.rpartition("/")[0] for path in paths if _stem(path) == "__init__"}
    for path in paths:
        package = _package_of(path, packages)
        if package is not None:
            found.add(package)
        elif path.endswith(MODULES):
            found.add(path)
    return sorted(found)


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.partition(".")[0] if name.endswith(MODULES) else ""


def _package_of(path: str, packages: Collection[str]) -> str | None:
    """Give the outermost of these packages that a file lies in."""
    folders = (path[:at] for at, letter in enumerate(path) if letter == "/")
    return next((folder for folder in folders if folder in packages), None)
