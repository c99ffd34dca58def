"""The programs of examples/plugins follow a channel while they run."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

import archimport

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugins"


class Program:
    """An example in a process of its own."""

    def __init__(self, name: str, url: str) -> None:
        self.endless = name == "web.py"
        command = [sys.executable, str(EXAMPLE / name), url]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.stdin.close()  # it ends by itself, and its children with it
        if self.endless:
            self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()

    def hear(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self, amount: int) -> str:
        self.process.stdin.write(f"{amount}\n")
        self.process.stdin.flush()
        while (line := self.hear()).startswith(("new rules", "kept")):
            pass
        return line


def publish(channel, version: str) -> None:
    archimport.sql.publish(channel.source, [EXAMPLE / version], channel=channel.name)


def until(answer: Callable[[], str], expected: str) -> bool:
    """Ask until the answer is as expected; the channel is followed within some time."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if answer() == expected:
            return True
    return False


@pytest.mark.parametrize("name", ["worker.py", "pool.py", "loop.py"])
def test_programs_that_read_lines(channel, name: str) -> None:
    publish(channel, "v1")
    with Program(name, channel.url) as program:
        assert program.hear() == "ready"
        assert program.ask(100) == "90.00"
        publish(channel, "v2")
        assert until(lambda: program.ask(100), "75.00")
        publish(channel, "v3")  # does not work, and is not taken by who reloads
        if name == "pool.py":
            assert until(lambda: program.ask(100)[:8], "no price")
        else:
            assert [program.ask(100) for _ in range(3)] == ["75.00"] * 3
        publish(channel, "v1")
        assert until(lambda: program.ask(100), "90.00")


def test_web_server(sqlite) -> None:
    publish(sqlite, "v1")
    with Program("web.py", sqlite.url) as program:
        port = int(program.hear())

        def ask() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/100") as response:
                return response.read().decode().strip()

        assert ask() == "90.00"
        publish(sqlite, "v2")
        assert until(ask, "75.00")


def test_play(tmp_path: Path) -> None:
    """What the demo shows."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "play.py"), str(tmp_path / "x.db")], capture_output=True, text=True, check=True
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("worker: ")]
    assert [line for line in answers if line.endswith("0")] == [f"worker: {price}.00" for price in (90, 75, 75, 90)]
