# requires: flask gunicorn
# folder: flask_site
"""Templates and static files of an app of one's own, under gunicorn with four workers."""

import os
import signal
import socket
import sys
import time
import urllib.request

from gunicorn.app.base import BaseApplication

with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]


class Server(BaseApplication):
    def load_config(self):
        settings = {"bind": f"127.0.0.1:{port}", "workers": 4, "loglevel": "critical", "control_socket_disable": True}
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self):
        from flask_site import app

        return app


def get(path):
    for _ in range(300):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).read().decode()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


child = os.fork()
if not child:
    sys.argv = ["server"]
    Server().run()
try:
    assert "<h1>Hello, you &amp; me</h1>" in get("/hello/you%20&%20me")
    assert get("/static/style.css").strip() == "h1 { color: green }"
    workers = set()
    while len(workers) < 2:
        workers.add(get("/process"))
finally:
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
