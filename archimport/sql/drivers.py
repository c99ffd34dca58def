"""What is known of drivers: their arguments that limit time, and what each is told besides."""

from __future__ import annotations

from typing import NamedTuple

from archimport.sql.database import CONNECT_LIMIT


class Driver(NamedTuple):
    """The arguments that limit `connecting` and `waiting` for an answer, in seconds, and `others` with their values.

    `autocommits` says whether there is an argument `autocommit`.
    """

    connecting: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    others: tuple[tuple[str, object], ...] = ()
    autocommits: bool = True

    def arguments(self, seconds: int) -> dict[str, object]:
        """Return what to connect with, so that no answer takes longer than `seconds`, where the driver sees to that."""
        limits = dict.fromkeys(self.connecting, CONNECT_LIMIT) | dict.fromkeys(self.waiting, seconds)
        return {**limits, **dict(self.others)}


_CONNECT = ("connect_timeout",)
_READ_WRITE = ("read_timeout", "write_timeout")
#: Else the encoding is the database's or the server's, in which not all text can be said.
_LIBPQ = ("client_encoding", "utf8")
_MYSQL = ("charset", "utf8mb4")
#: A server could ask a client of MySQL for any file of this machine.
_NO_FILES = ("local_infile", False)
#: By SQLAlchemy's name for the driver.
DRIVERS = {
    "psycopg": Driver(_CONNECT, others=(_LIBPQ, ("prepare_threshold", None))),  # a pooler has nothing that was prepared
    "psycopg2": Driver(_CONNECT, others=(_LIBPQ,), autocommits=False),
    "psycopg2cffi": Driver(_CONNECT, others=(_LIBPQ,), autocommits=False),
    "pg8000": Driver(waiting=("timeout",), autocommits=False),
    "pymysql": Driver(_CONNECT, _READ_WRITE, (_MYSQL, _NO_FILES)),
    "mysqldb": Driver(_CONNECT, _READ_WRITE, (_MYSQL, _NO_FILES)),
    "mariadbconnector": Driver(_CONNECT, _READ_WRITE, (_NO_FILES,)),
    "mysqlconnector": Driver(("connection_timeout",), _READ_WRITE, (_MYSQL, ("allow_local_infile", False))),
}
