"""A process pool that follows a channel: `python pool.py URL`, then prices on stdin, one a line.

Children have the release that their parent had when they started. When the channel moves, the parent refreshes and
starts a new pool; work that was given to the old one ends there, with the old rules.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

import archimport


def price(amount: float) -> float:
    """Give the price, in a child."""
    from rules import pricing

    return pricing.price(amount)


def new_pool() -> ProcessPoolExecutor:
    """Give a pool whose children start from nothing, with the release of the moment."""
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


def main(url: str) -> None:
    """Answer each line by the pool of the moment."""
    mounted = archimport.mount(url)
    moved = threading.Event()
    pool = new_pool()
    with mounted.watch(moved.set, interval=0.2):
        print("ready", flush=True)
        for line in sys.stdin:
            if moved.is_set():
                moved.clear()
                mounted.refresh()
                pool.shutdown()
                pool = new_pool()
            try:
                print(f"{pool.submit(price, float(line)).result():.2f}", flush=True)
            except Exception as exc:  # noqa: BLE001 - rules that do not work are the rules' matter
                print(f"no price: {exc!r}", flush=True)
    pool.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
