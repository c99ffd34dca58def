"""A threaded web server that follows a channel: `python web.py URL`, then GET /100 gives the price of 100.

Requests run side by side; a reload waits for those that run, and those that come wait for the reload.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import archimport

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turnstile:
    """Lets many requests in, or one reload."""

    def __init__(self) -> None:
        self._inside = 0
        self._changed = threading.Condition()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Be one of many."""
        with self._changed:
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def reload(self) -> Iterator[None]:
        """Be alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._inside == 0)
            yield


def main(url: str) -> None:
    """Serve on a free port of this machine, which is printed."""
    mounted = archimport.mount(url)
    from rules import pricing

    turnstile = Turnstile()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with turnstile.request():
                body = f"{pricing.price(float(self.path[1:])):.2f}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    def follow() -> None:
        with turnstile.reload():
            mounted.refresh(reload=True)
        print("new rules", flush=True)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with mounted.watch(follow, interval=0.2):
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
