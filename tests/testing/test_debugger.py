"""debugpy breaks in modules of stores as in those of a directory."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from builders import STORES, build_directory
from trees import Tree

import archimport
from archimport import pack

pytest.importorskip("debugpy", reason="debugpy is not installed")
ROOT = str(Path(archimport.__file__).parents[1])
SOURCE = "def double(x):\n    y = x * 2\n    return y\n\n\ndef main():\n    print(double(3), double(4))\n"
DEEP = SOURCE.replace("double", "twice")  # debugpy takes equal code for the same
TREE: Tree = {"dbg.py": SOURCE, "pkg": {"__init__.py": "", "deep.py": DEEP}}
PATIENCE = 150


class Client:
    """An editor that debugs: it speaks the Debug Adapter Protocol."""

    def __init__(self, connection: socket.socket, stream: IO[bytes]) -> None:
        self._connection = connection
        self._stream = stream
        self._sent = 0
        self._events: list[dict[str, Any]] = []
        self.request("initialize", adapterID="test")
        self._send("attach", justMyCode=False)
        self.wait("initialized")

    def _send(self, command: str, **arguments: object) -> int:
        self._sent += 1
        message = {"seq": self._sent, "type": "request", "command": command, "arguments": arguments}
        text = json.dumps(message).encode()
        self._connection.sendall(b"Content-Length: %d\r\n\r\n" % len(text) + text)
        return self._sent

    def _received(self) -> dict[str, Any]:
        length = 0
        while line := self._stream.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(self._stream.read(length))
        return message

    def wait(self, *events: str) -> dict[str, Any]:
        """Give the next of these events."""
        while True:
            message = self._events.pop(0) if self._events else self._received()
            if message.get("event") in events:
                return message

    def request(self, command: str, **arguments: object) -> dict[str, Any]:
        """Give the answer to a request."""
        number = self._send(command, **arguments)
        while True:
            message = self._received()
            if message.get("request_seq") == number:
                assert message["success"], message
                return dict(message.get("body") or {})
            self._events.append(message)

    def break_at(self, path: str, **where: object) -> bool:
        """Set a breakpoint, and give whether it was bound."""
        (bound,) = self.request("setBreakpoints", source={"path": path}, breakpoints=[where])["breakpoints"]
        return bool(bound["verified"])

    def frame(self) -> dict[str, Any]:
        """Give the frame in which the program stopped."""
        stopped = self.wait("stopped", "terminated")
        assert stopped["event"] == "stopped"
        self._thread = stopped["body"]["threadId"]
        return dict(self.request("stackTrace", threadId=self._thread)["stackFrames"][0])

    def go(self, command: str = "continue") -> None:
        """Let the program go on, for a step or to the next breakpoint."""
        self.request(command, threadId=self._thread)


def free_port() -> int:
    """Give a port that nobody listens at, below those that the system hands out to whoever connects."""
    while True:
        with socket.socket() as listening, suppress(OSError):
            listening.bind(("127.0.0.1", random.randrange(10000, 32000)))
            return int(listening.getsockname()[1])


def connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    """Give a connection, as soon as the debugger listens."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except OSError:
            assert process.poll() is None
            time.sleep(0.1)


@contextmanager
def debugged(*program: str, **options: object) -> Iterator[Client]:
    """Give an editor that debugs a program, which has not begun yet."""
    port = free_port()
    command = [
        sys.executable,
        "-Xfrozen_modules=off",
        "-m",
        "debugpy",
        "--listen",
        str(port),
        "--wait-for-client",
        *program,
    ]
    environment = {**os.environ, "PYTHONPATH": ROOT, "DEBUGPY_PROCESS_SPAWN_TIMEOUT": str(PATIENCE)}
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr, stderr=sys.stderr, **options)
    try:
        with connected(port, process) as connection, connection.makefile("rb") as stream:
            yield Client(connection, stream)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["directory", *STORES])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Give the path entry of a tree, and a program that calls what is in it."""
    if request.param == "memory":
        pytest.skip("only the process that makes it has it")
    if request.param == "directory":
        source = entry = build_directory(TREE, tmp_path / "tree")
        prepare = f"import sys\nsys.path.insert(0, {source!r})\n"
    else:
        source = STORES[request.param](TREE, tmp_path / "tree")
        mounted = archimport.mount(source)
        entry = str(mounted.path_entry)
        mounted.unmount()
        prepare = f"import archimport\narchimport.mount({source!r})\n"
    script = tmp_path / "script.py"
    script.write_text(f"{prepare}import dbg, pkg.deep\ndbg.main()\npkg.deep.main()\n")
    return entry, str(script)


def test_breakpoints(program: tuple[str, str]) -> None:
    entry, script = program
    with debugged(script) as client:
        assert client.break_at(f"{entry}/dbg.py", line=2, condition="x == 4")
        assert client.break_at(f"{entry}/pkg/deep.py", line=7)
        assert not client.break_at(f"{entry}/pkg/none.py", line=1) or entry.startswith("/archimport/")
        client.request("configurationDone")
        frame = client.frame()
        assert (frame["name"], frame["line"], frame["source"]["path"]) == ("double", 2, f"{entry}/dbg.py")
        assert client.request("evaluate", expression="x", frameId=frame["id"])["result"] == "4"
        client.go()
        assert client.frame()["source"]["path"] == f"{entry}/pkg/deep.py"
        client.go("stepIn")
        frame = client.frame()
        assert (frame["name"], frame["line"]) == ("twice", 2)
        assert client.break_at(f"{entry}/pkg/deep.py", line=3)  # while it runs
        client.go()
        assert client.frame()["line"] == 3
        reference = frame["source"].get("sourceReference")
        assert bool(reference) != os.path.exists(frame["source"]["path"])
        if reference:
            source = client.request("source", source=frame["source"], sourceReference=reference)
            assert source["content"] == DEEP


def test_breakpoints_in_a_bundle_that_runs(tmp_path: Path) -> None:
    source = build_directory(TREE, tmp_path / "tree")
    bundle = str(tmp_path / "app.arc")
    pack([source], bundle, entry="pkg.deep:main")
    with debugged(bundle, cwd=str(tmp_path)) as client:
        assert client.break_at(f"{bundle}/pkg/deep.py", line=3)
        client.request("configurationDone")
        frame = client.frame()
        assert (frame["line"], frame["source"]["path"]) == (3, f"{bundle}/pkg/deep.py")
