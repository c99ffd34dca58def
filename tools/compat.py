"""Whether packages work from stores as they do from a folder: `python tools/compat.py [REQUIREMENT ...] [--write]`.

Without requirements it runs the programs in `programs/`, each with what it says that it requires; for a requirement it
imports what its distribution holds. All is installed into one folder, which is the oracle, and packed into one store of
each kind. A program runs in a fresh interpreter that has nothing else: from the folder and from each store, twice, and
from each store once more where no cache can be had. `--times` makes each program an app of its own, and times its start
from a folder and from a bundle; `--write` does that too and makes docs/compatibility.md. Exit status 1 if something
works from the folder and not from a store, or if the second start of a program writes anything.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benches.rivals import install
from benches.starts import Start, time_starts

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(__file__).with_name("programs")
KINDS = {"bundle": "arc", "zip": "zip", "SQLite": "db"}
#: Runs the program that `sys.argv` names from the place that it names, and says how many bytes of memory it took.
RUNNER = """
import sys
place, program, home = sys.argv[1:]
sys.argv[1:] = []
if home:
    sys.path.append(home)
    import archimport
    archimport.mount(place)
else:
    sys.path.insert(0, place)
source = open(program).read()
exec(compile(source, program, "exec"), {"__name__": "__main__"})
import resource
print("\\n" + str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
"""


class Program(NamedTuple):
    """What is run: its name, what it requires, its file, and the folder of an app of its own."""

    name: str
    requires: list[str]
    file: Path
    folder: Path | None = None


class Outcome(NamedTuple):
    """How a run went: the last line of what went wrong, or nothing; seconds, bytes of memory, and files written."""

    error: str
    seconds: float
    memory: int
    written: int


class Row(NamedTuple):
    """What is told of a program: outcomes by place and which start it was, `bundle 2` for one."""

    name: str
    version: str
    outcomes: dict[str, Outcome]
    start: Start | None


def programs() -> list[Program]:
    """Give the programs of the folder."""
    found = []
    for file in sorted(PROGRAMS.glob("*.py")):
        said = dict(re.findall(r"^# (requires|folder): (.*)$", file.read_text("utf-8"), re.MULTILINE))
        folder = PROGRAMS / said["folder"] if "folder" in said else None
        found.append(Program(file.stem, said["requires"].split(), file, folder))
    return found


def imports_of(requirement: str, folder: Path) -> Program:
    """Give a program that imports all that a requirement's distribution holds."""
    name = re.split(r"[^\w.-]", requirement)[0]
    dist = distribution_in(folder, name)
    tops = {file.parts[0].partition(".")[0] for file in dist.files or () if file.suffix in (".py", ".so")}
    file = folder.with_name(f"import_{name}.py")
    file.write_text("".join(f"import {top}\n" for top in sorted(tops) if top.isidentifier()), encoding="utf-8")
    return Program(name, [requirement], file)


def distribution_in(folder: Path, name: str) -> Distribution:
    """Give a distribution that was installed into a folder."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    found = distributions(path=[str(folder)])
    return next(dist for dist in found if re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower() == plain)


def run(place: Path, program: Program, cache: Path) -> Outcome:
    """Run a program from a folder or a store, with a cache folder of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COMPAT_POSTGRESQL") if name in os.environ}
    home = "" if place.is_dir() else str(ROOT)
    command = [sys.executable, "-I", "-S", "-c", RUNNER, str(place), str(program.file), home]
    before = files_below(cache)
    start = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, env={**kept, "XDG_CACHE_HOME": str(cache)}
    )
    seconds = time.perf_counter() - start
    error = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return Outcome(error, seconds, 0 if error else int(done.stdout.split()[-1]), len(files_below(cache) - before))


def files_below(cache: Path) -> set[tuple[str, int]]:
    """Give the files in archimport's part of a cache, each in its state; what tools of others keep there is theirs."""
    return {(str(path), path.lstat().st_mtime_ns) for path in cache.glob("archimport/**/*") if not path.is_dir()}


def try_all(
    chosen: list[Program], requirements: list[str], kinds: list[str], scratch: Path, *, times: bool
) -> Iterator[Row]:
    """Install and pack everything, run each program, and give a row for each."""
    folder, cache, nothing = scratch / "folder", scratch / "cache", scratch / "nothing"
    say(f"installing {' '.join(requirements)}")
    install(sys.executable, folder, *requirements)
    chosen = chosen or [imports_of(requirement, folder) for requirement in requirements]
    for source in filter(None, (program.folder for program in chosen)):
        shutil.copytree(source, folder / source.name)
    places = {"folder": folder, **{kind: scratch / f"store.{KINDS[kind]}" for kind in kinds}}
    for kind in kinds:
        say(f"packing {kind}")
        command = [sys.executable, "-m", "archimport", "pack", str(folder), "-o", str(places[kind])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    nothing.mkdir()
    nothing.chmod(0o777)  # others may write into it, so that it is no place for what is executed
    for program in chosen:
        say(program.name)
        outcomes = {f"{kind} {start}": run(place, program, cache) for kind, place in places.items() for start in "12"}
        outcomes |= {f"{kind} 0": run(places[kind], program, nothing) for kind in kinds}
        works = "bundle" in kinds and not (outcomes["folder 2"].error or outcomes["bundle 2"].error)
        version = distribution_in(folder, re.split(r"[^\w.-]", program.requires[0])[0]).version
        start = time_starts(scratch, program.requires, program.file, program.folder) if times and works else None
        yield Row(program.name, version, outcomes, start)


def failures(rows: list[Row]) -> list[str]:
    """Give a line for each thing that a store does worse than the folder."""
    found = []
    for row in rows:
        for which, outcome in row.outcomes.items():
            if outcome.error and not row.outcomes["folder 1"].error:
                found.append(f"{row.name}: {which}: {outcome.error}")
            elif outcome.written and which.endswith("2"):
                found.append(f"{row.name}: {which}: the second start writes {outcome.written} files")
    return found


def table(rows: list[Row], kinds: list[str]) -> str:
    """Give the table of the page: what works, the second start against the folder's, and memory without a cache."""
    head = ["package", "version", "folder", *kinds, *(f"{kind}, no cache" for kind in kinds)]
    head += ["second start", "floor", "of", "memory"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        said = {which: "fails" if outcome.error else "works" for which, outcome in row.outcomes.items()}
        places = ["folder 2", *(f"{kind} 2" for kind in kinds), *(f"{kind} 0" for kind in kinds)]
        again, alone = row.outcomes[f"{kinds[0]} 2"], row.outcomes[f"{kinds[0]} 0"]
        start = row.start
        times = [f"{start.bundle:.2f}", f"{start.floor:.2f}", f"{start.folder * 1000:.0f} ms"] if start else [""] * 3
        memory = f"{alone.memory / max(again.memory, 1):.2f}"
        lines.append([row.name, row.version, *(said[place] for place in places), *times, memory])
    works = [sum(not row.outcomes[place].error for row in rows) for place in places]
    lines.append(["**working**", "", *(f"{count} of {len(rows)}" for count in works), *[""] * 4])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def say(text: str) -> None:
    """Tell people what goes on."""
    sys.stderr.write(f"compat.py: {text}\n")


def main() -> int:
    """Install, pack, run, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("requirements", nargs="*", metavar="REQUIREMENT", help="by default, what the programs require")
    parser.add_argument("--kind", action="append", choices=KINDS, help="a kind of store; by default all")
    parser.add_argument("--only", action="append", metavar="NAME", help="a program; by default all")
    parser.add_argument("--times", action="store_true", help="time each program as an app of its own")
    parser.add_argument("--write", action="store_true", help="write docs/compatibility.md")
    options = parser.parse_args()
    chosen = [] if options.requirements else [p for p in programs() if p.name in (options.only or [p.name])]
    requirements = options.requirements or sorted({need for program in chosen for need in program.requires})
    kinds = options.kind or list(KINDS)
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(try_all(chosen, requirements, kinds, Path(scratch), times=options.times or options.write))
    text = table(rows, kinds)
    print(text)
    if options.write:
        page = ROOT / "docs" / "compatibility.md"
        above, mark, _ = page.read_text("utf-8").partition("<!-- made by tools/compat.py -->")
        page.write_text(f"{above}{mark}\n\n{text}\n", encoding="utf-8")
    found = failures(rows)
    for line in found:
        say(line)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
