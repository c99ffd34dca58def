"""A TCP proxy that delays, counts round trips, and fails in the ways of networks."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import sqlalchemy

_SIZE = 1 << 16
_PORTS = {"postgresql": 5432, "mysql": 3306}
#: Keys of a URL's query that name a socket of this machine, and what the file is called below it.
_SOCKETS = {"host": "/.s.PGSQL.5432", "unix_socket": ""}


class Proxy:
    """Stands in front of the server that `url` names; `delay` in seconds each way, `trips` counts how often the client waited.

    `fault` is what happens to what the server sends next: None, or "stall", "reset", "close"; `after` bytes pass first.
    `tired` is whether somebody bore a stall for ten minutes.
    """

    def __init__(self, url: str, *, delay: float = 0.0) -> None:
        self._url = sqlalchemy.make_url(url)
        self.delay = delay
        self.trips = 0
        self.connections = 0
        self.fault: str | None = None
        self.after = 0
        self.tired = False
        self._sockets: list[socket.socket] = []
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of the server, through this."""
        query = {key: value for key, value in self._url.query.items() if key not in _SOCKETS}
        return self._url.set(host="127.0.0.1", port=self.port, query=query).render_as_string(hide_password=False)

    def _connect(self) -> socket.socket:
        for key, name in _SOCKETS.items():
            if key in self._url.query:
                server = socket.socket(socket.AF_UNIX)
                server.connect(f"{self._url.query[key]}{name}")
                return server
        port = self._url.port or _PORTS[self._url.get_backend_name()]
        return socket.create_connection((self._url.host, port))

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in [self._listener, *self._sockets]:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = self._connect()
                self._sockets += [client, server]
                talk = _Talk()
                for one, other, is_client in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=(one, other, is_client, talk), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_client: bool, talk: _Talk) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_SIZE):
                if is_client and not talk.client_speaks:
                    self.trips += 1
                talk.client_speaks = is_client
                time.sleep(self.delay)
                if not is_client and self.fault and not self._pass_some(target, data):
                    return
                if is_client or not self.fault:
                    target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _pass_some(self, client: socket.socket, data: bytes) -> bool:
        """Let `after` bytes through, then do what the fault says; whether the pump goes on."""
        client.sendall(data[: self.after])
        self.after -= min(self.after, len(data))
        if self.after:
            return True
        if self.fault == "stall":
            self.tired |= not self._stopped.wait(600)
        elif self.fault == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.shutdown(socket.SHUT_RD)  # the other pump reads from it, and would keep it open
        else:
            client.shutdown(socket.SHUT_RDWR)
        client.close()
        return False


class _Talk:
    client_speaks = False
