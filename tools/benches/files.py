"""What imports from files cost that hold many members: bundles of any size, and zips of sources beside zipimport."""

from __future__ import annotations

import statistics
import zipfile
from functools import partial
from typing import TYPE_CHECKING

from benches.databases import FOLDER, IMPORT, ROUNDS, STORE, fetched, timed, told
from benches.measure import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

#: What is imported, and the requirement that has it.
WORK = {"sympy": "sympy", "django.db": "django", "sqlalchemy.orm": "sqlalchemy"}


def opens(base: Path) -> Iterable[str]:
    """Mount a bundle and import one module, with 100 and with 100,000 members: the ratio is to be 1.5 at most."""
    from archimport.bundle.writer import Member, write_bundle

    files = {}
    for count in (100, 100_000):
        files[count] = base / f"{count}.arc"
        names = [f"p{number % 1000}/m{number}.py" for number in range(count)]
        members = [Member(name, partial(bytes, b"value = 1\n")) for name in names]
        write_bundle(str(files[count]), members, meta={}, tail={"__main__.py": b""})
    found: dict[int, list[float]] = {count: [] for count in files}
    for _ in range(3 * ROUNDS):
        for count, file in files.items():
            found[count].append(
                timed(STORE + IMPORT.format(module="p7.m7"), str(file), clean(XDG_CACHE_HOME=str(base)))[1]
            )
    for count, figures in found.items():
        yield told(f"{count} members", figures)
    few, many = (statistics.median(figures) for figures in found.values())
    yield f"ratio {many / few:.2f}"


def zips(base: Path) -> Iterable[str]:
    """Import from a zip of sources, the second time, and by zipimport: the ratio is to be 0.50 at most."""
    for module, requirement in WORK.items():
        folder, archive = fetched(base, requirement), base / f"{requirement}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and file.suffix != ".pyc":
                    packed.write(file, file.relative_to(folder).as_posix())
        cases = {"zipimport": (FOLDER, archive), "archimport": (STORE, archive), "folder": (FOLDER, folder)}
        found: dict[str, list[float]] = {name: [] for name in cases}
        for turn in range(ROUNDS + 1):
            for name, (code, source) in cases.items():
                environment = clean(XDG_CACHE_HOME=str(base / "cache"))
                total = timed(code + IMPORT.format(module=module), str(source), environment)[1]
                if turn:
                    found[name].append(total)
        rival = statistics.median(found["zipimport"])
        for name, figures in found.items():
            yield f"{told(f'{module} by {name}', figures)}  ratio {statistics.median(figures) / rival:.2f}"


BENCHES: dict[str, Callable[[Path], Iterable[str]]] = {"opens": opens, "zips": zips}
