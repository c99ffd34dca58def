"""What imports from stores cost, side by side in one run.

Figures are medians over new processes, with the least and the most behind them, of what those measure themselves once
the interpreter has started; `imports` are interleaved after a warm-up, `herd` is one run. Servers are those of the
tests.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy

from benches.measure import clean
from benches.rivals import install

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROUNDS = 7
#: What is imported, and the requirement that has it.
WORK = {"sympy": "sympy", "django.db": "django"}
FOLDER = "import sys, time; sys.path.insert(0, sys.argv[1]); mounted = 0.0; start = time.perf_counter()"
SQLITEIMPORT = (
    "import sys, time; sys.path.append({rival!r}); start = time.perf_counter(); import sqliteimport;"
    "sqliteimport.load(sys.argv[1]); mounted = time.perf_counter() - start"
)
STORE = (
    "import sys, time; start = time.perf_counter(); import archimport; archimport.mount(sys.argv[1]);"
    "mounted = time.perf_counter() - start"
)
IMPORT = "; import {module}; print(mounted, time.perf_counter() - start)"


def timed(code: str, source: str, environment: dict[str, str]) -> tuple[float, float]:
    """Run code in a process: seconds until mounted, and until done."""
    done = subprocess.run(
        [sys.executable, "-c", code, source], env=environment, check=True, capture_output=True, text=True, cwd="/"
    )
    mounted, total = done.stdout.split()
    return float(mounted), float(total)


def told(name: str, figures: list[float]) -> str:
    """Say the median, the least and the most, in milliseconds."""
    median, least, most = (1000 * figure for figure in (statistics.median(figures), min(figures), max(figures)))
    return f"{name:<44} {median:9.1f} ms  ({least:.1f} to {most:.1f})"


def databases(base: Path) -> Iterator[tuple[str, str]]:
    """Give the name and the URL of each kind of database that is here."""
    from servers import SERVERS, NoServerError, database  # type: ignore[import-not-found]  # of the tests

    yield "sqlite", f"sqlite:///{base / 'modules.db'}"
    for kind in SERVERS:
        try:
            yield kind, database(kind)
        except NoServerError as exc:
            print(f"left out: {exc}")


def fetched(base: Path, requirement: str) -> Path:
    """Install a requirement into a folder of its own."""
    install(sys.executable, base / requirement, requirement)
    return base / requirement


def sqliteimport(base: Path, folder: Path) -> tuple[str, str]:
    """Put a folder into a database of the one peer there is: the code that mounts it, and where it is."""
    rival = fetched(base, "sqliteimport[cli]")
    database = str(base / f"{folder.name}.sqliteimport")
    for arguments in (["bundle", str(folder), database], ["compile", database]):
        command = [sys.executable, "-m", "sqliteimport", *arguments]
        subprocess.run(command, check=True, env=clean(PYTHONPATH=str(rival)), capture_output=True)
    return SQLITEIMPORT.format(rival=str(rival)), database


def on_channel(url: str, channel: str) -> str:
    """Give the URL of a channel."""
    return f"{url}{'&' if '?' in url else '?'}channel={channel}"


def imports(base: Path) -> Iterable[str]:
    """Import real packages from a folder, from SQLite and from servers; a second process, so caches are warm."""
    import archimport

    for module, requirement in WORK.items():
        folder = fetched(base, requirement)
        cases = {"folder": (FOLDER, str(folder)), "sqliteimport": sqliteimport(base, folder)}
        for kind, url in databases(base):
            archimport.sql.publish(url, [folder], channel=requirement)
            cases[kind] = STORE, on_channel(url, requirement)
        environment = clean(XDG_CACHE_HOME=str(base / "cache"))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for number in range(ROUNDS + 1):
            for name, (code, source) in cases.items():
                measured = timed(code + IMPORT.format(module=module), source, environment)
                if number:
                    found[name].append(measured)
        floor = statistics.median(total for _, total in found["folder"])
        for name, pairs in found.items():
            totals = [total for _, total in pairs]
            after = statistics.median(total - mounted for mounted, total in pairs)
            ratios = f"ratio {statistics.median(totals) / floor:.2f}, after mount {after / floor:.2f}"
            yield f"{told(f'{module} from {name}', totals)}  {ratios}"


def mounts(base: Path) -> Iterable[str]:
    """Mount and import one module, with 100 and 10,000 members in the release and 1,000,000 in the database."""
    from archimport.sql.source import address_of
    from archimport.sql.writer import publish

    for kind, url in databases(base):
        for members in (100, 10_000):
            tree = {f"p/m{number}.py": partial(bytes, f"value = {number}\n".encode()) for number in range(members)}
            publish(address_of(url), {"p/__init__.py": bytes, **tree}, f"m{members}")
        fill(kind, url)
        for members in (100, 10_000):
            for temperature in ("cold", "warm"):
                cache = base / f"cache-{kind}-{members}"
                figures = []
                for _ in range(ROUNDS):
                    if temperature == "cold":
                        subprocess.run(["rm", "-rf", str(cache)], check=True)
                    environment = clean(XDG_CACHE_HOME=str(cache))
                    figures.append(
                        timed(STORE + IMPORT.format(module="p.m7"), on_channel(url, f"m{members}"), environment)
                    )
                yield told(f"{kind}, {members} members, {temperature}: mount", [mounted for mounted, _ in figures])
                yield told(f"{kind}, {members} members, {temperature}: and import", [total for _, total in figures])


#: Puts a million contents of other releases into a database, and tells its planner, by kind.
FILL = {
    "sqlite": (
        """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
        INSERT INTO archimport_blob SELECT printf('%064d', i), 0, 'stored', zeroblob(200) FROM n""",
        "ANALYZE",
    ),
    "postgresql": (
        """INSERT INTO archimport_blob SELECT lpad(i::text, 64, '0'), 0, 'stored', decode(repeat('00', 200), 'hex')
        FROM generate_series(1, 1000000) AS n(i)""",
        "ANALYZE archimport_blob",
    ),
    "mysql": (
        "INSERT INTO archimport_blob SELECT lpad(seq, 64, '0'), 0, 'stored', repeat('x', 200) FROM seq_1_to_1000000",
        "ANALYZE TABLE archimport_blob",
    ),
}


def fill(kind: str, url: str) -> None:
    """Let a database hold a million contents more."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for statement in FILL[kind]:
            connection.exec_driver_sql(statement)
    engine.dispose()


def herd(base: Path) -> Iterable[str]:
    """Mount in 32 processes at once: the time until the last is done, caches warm and cold."""
    from archimport.sql.source import address_of
    from archimport.sql.writer import publish

    for kind, url in databases(base):
        tree = {f"p/m{number}.py": partial(bytes, f"value = {number}\n".encode()) for number in range(300)}
        publish(address_of(url), {"p/__init__.py": bytes, **tree}, "herd")
        for temperature in ("cold", "warm"):
            environment = clean(XDG_CACHE_HOME=str(base / f"herd-{kind}"))
            start = time.perf_counter()
            command = [sys.executable, "-c", STORE + IMPORT.format(module="p.m7"), on_channel(url, "herd")]
            children = [
                subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, cwd="/") for _ in range(32)
            ]
            failed = sum(child.wait() != 0 for child in children)
            yield f"{kind}, 32 processes, {temperature}: {time.perf_counter() - start:.2f} s, {failed} failed"


PUBLISHER = """
import sys, time
sys.path[:0] = [sys.argv[1]]
from functools import partial
from archimport.sql.source import address_of
from archimport.sql.writer import publish
address, number = address_of(sys.argv[2]), 0
while True:
    number += 1
    publish(address, {f"m{m}.py": partial(bytes, b"%d" % number) for m in range(5)}, "torn")
    time.sleep(0.002)
"""
READER = """
import sys, json
sys.path[:0] = [sys.argv[1]]
import archimport
url, pinned, count = sys.argv[2], sys.argv[3] == "pinned", int(sys.argv[4])
mounted, torn = archimport.mount(url), 0
for _ in range(count):
    mounted.refresh()
    values = set()
    for m in range(5):
        if not pinned:
            mounted.refresh()
        values.add(mounted.store.read(mounted.store.lookup(f"m{m}.py")))
    torn += len(values) > 1
print(torn)
"""


def torn(base: Path) -> Iterable[str]:
    """Read sets of five members while a publisher commits: a pin lets none be of two releases, without one some are."""
    from archimport.sql.source import address_of
    from archimport.sql.writer import publish

    for kind, url in databases(base):
        publish(address_of(url), {f"m{m}.py": partial(bytes, b"0") for m in range(5)}, "torn")
        publisher = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(ROOT), url], env=clean())
        try:
            for mode, count in (("pinned", TORN_READS // 8), ("unpinned", TORN_READS // 80)):
                command = [sys.executable, "-c", READER, str(ROOT), on_channel(url, "torn"), mode, str(count)]
                environment = clean(XDG_CACHE_HOME=str(base / "torn"))
                readers = [
                    subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(8)
                ]
                found = sum(int(reader.communicate()[0]) for reader in readers)
                yield f"{kind}, {mode}: {found} of {8 * count} sets are torn"
        finally:
            publisher.kill()
            publisher.wait()


TORN_READS = 20_000
BENCHES: dict[str, Callable[[Path], Iterable[str]]] = {"imports": imports, "mounts": mounts, "herd": herd, "torn": torn}
