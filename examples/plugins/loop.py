"""An asyncio program that follows a channel: `python loop.py URL`, then prices on stdin, one a line.

The watch calls back in its thread, which hands the reload to the loop: there no task is in the middle of anything but
an `await`. The database is read in a thread all the same, since `refresh` may wait for a network.
"""

from __future__ import annotations

import asyncio
import sys

import archimport


async def main(url: str) -> None:
    """Answer each line, while reloads come between."""
    mounted = await asyncio.to_thread(archimport.mount, url)
    from rules import pricing

    loop = asyncio.get_running_loop()
    free = asyncio.Lock()

    async def reload() -> None:
        async with free:
            await asyncio.to_thread(mounted.refresh, reload=True)
        print("new rules", flush=True)

    def follow() -> None:
        asyncio.run_coroutine_threadsafe(reload(), loop).result()

    watch = mounted.watch(follow, interval=0.2)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        async with free:
            print(f"{pricing.price(float(line)):.2f}", flush=True)
    await asyncio.to_thread(watch.stop)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
