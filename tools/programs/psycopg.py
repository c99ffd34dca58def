# requires: psycopg[binary]
import os

import psycopg
from psycopg import pq, sql

assert pq.__impl__ == "binary"
assert sql.SQL("select {}").format(sql.Literal(1)).as_string() == "select 1"
server = os.environ.get("COMPAT_POSTGRESQL")  # what libpq takes
if server:
    with psycopg.connect(server) as connection:
        assert connection.execute("select 5").fetchone() == (5,)
