"""A worker whose rules live in a database: it follows a channel while it runs.

    python worker.py URL       asks for prices on stdin, one a line, and prints what the rules make of them

`URL` is anything that `archimport.mount` takes: a SQLite file, postgresql+psycopg://..., sql:NAME.
"""

from __future__ import annotations

import sys
import threading

import archimport


def main(url: str) -> None:
    """Follow the channel, and answer each line with the rules of the moment."""
    mounted = archimport.mount(url)
    from rules import pricing

    lock = threading.Lock()  # no line is answered by half of one release and half of another

    def follow() -> None:
        with lock:
            try:
                changes = mounted.refresh(reload=True)
            except Exception as exc:  # noqa: BLE001 - a broken release is not taken, and the old one goes on
                print(f"kept the old rules: {type(exc).__name__}: {exc}", flush=True)
            else:
                sources = [path for path in changes.changed if path.endswith(".py")]
                print(f"new rules: {', '.join(sources)}", flush=True)

    with mounted.watch(follow, interval=0.2):
        print("ready", flush=True)
        for line in sys.stdin:
            with lock:
                print(f"{pricing.price(float(line)):.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
