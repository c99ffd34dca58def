"""Poolers in front of a PostgreSQL: one that is strict about what a client may begin with, and PgBouncer."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from proxy import Proxy

#: What PgBouncer takes at connecting; the first two are no settings.
_TAKEN = frozenset(
    ("user", "database", "application_name", "client_encoding", "datestyle", "standard_conforming_strings", "timezone")
)
_ASKS_FOR_ENCRYPTION = (80877103, 80877104)


class StrictPooler(Proxy):
    """Refuses a client that begins with any setting but those that poolers know."""

    def _pump(self, source: socket.socket, target: socket.socket, is_client: bool, talk: object) -> None:
        if is_client:
            with contextlib.suppress(OSError):
                target.sendall(self._greeting(source))
        super()._pump(source, target, is_client, talk)  # type: ignore[arg-type]

    def _greeting(self, client: socket.socket) -> bytes:
        while True:
            head = client.recv(8, socket.MSG_WAITALL)
            length, code = struct.unpack(">II", head)
            if code not in _ASKS_FOR_ENCRYPTION:
                break
            client.sendall(b"N")
        body = client.recv(length - 8, socket.MSG_WAITALL)
        settings = {name.decode().lower() for name in body.split(b"\0")[::2] if name}
        if refused := settings - _TAKEN:
            said = f"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: {min(refused)}\0\0".encode()
            client.sendall(b"E" + struct.pack(">I", len(said) + 4) + said)
            client.shutdown(socket.SHUT_RDWR)
        return head + body


@contextlib.contextmanager
def pgbouncer(url: str, mode: str) -> Iterator[str]:
    """Start a PgBouncer with one connection to the server of `url`, and return the URL through it."""
    server = sqlalchemy.make_url(url)
    directory = Path(tempfile.mkdtemp(prefix="archimport-", dir="/tmp"))  # as root it becomes another user
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(directory, user)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    host, where = server.query.get("host", server.host), server.port or 5432
    (directory / "ini").write_text(
        f"[databases]\n* = host={host} port={where} user={server.username}"
        f"{f' password={server.password}' if server.password else ''}\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\n"
        f"pool_mode={mode}\ndefault_pool_size=1\n"
    )
    process = subprocess.Popen(
        ["pgbouncer", "-q", directory / "ini"], user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield server.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "PgBouncer does not start"
            time.sleep(0.05)
        else:
            return
