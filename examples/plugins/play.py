"""Publish and roll back while a worker runs, and show what it answers: `python play.py [URL]`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def archimport(*arguments: str) -> None:
    """Run a command, and show it."""
    print(f"$ archimport {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "archimport", *arguments], check=True, cwd=HERE)


class Worker:
    """A worker in a process of its own."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, str(HERE / "worker.py"), url]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hear()

    def hear(self) -> str:
        """Give the next line that the worker prints."""
        line = self.process.stdout.readline().strip()
        print(f"worker: {line}", flush=True)
        return line

    def ask(self, amount: float) -> str:
        """Ask for a price."""
        self.process.stdin.write(f"{amount}\n")
        self.process.stdin.flush()
        return self.hear()

    def stop(self) -> None:
        """Let the worker end."""
        self.process.stdin.close()
        self.process.wait()


def main(url: str) -> None:
    """Publish, follow, break, roll back."""
    archimport("publish", url, "v1", "-m", "ten percent")
    worker = Worker(url)
    worker.ask(100)
    archimport("publish", url, "v2", "-m", "summer sale")
    worker.hear()
    worker.ask(100)
    archimport("publish", url, "v3", "-m", "does not work")
    worker.hear()
    worker.ask(100)
    archimport("rollback", url, "1", "-m", "back to normal")
    worker.hear()
    worker.ask(100)
    worker.stop()
    archimport("log", url)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(str(Path(folder) / "plugins.db"))
