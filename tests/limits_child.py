"""Run commands under limits of memory and CPU, each in a fork of a process that has loaded the command line.

Arguments: bytes of memory, seconds of CPU. Lines on stdin are commands in JSON; for each a line on stdout says the exit
status, the number of lines on stderr, the seconds of CPU, and the end of stderr.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile

from archimport import cli
from archimport.cli import cat, diff, extract, info, ls, run, verify, why  # noqa: F401 - loaded once


def run_limited(command: list[str], memory: int, seconds: int) -> dict[str, object]:
    with tempfile.TemporaryFile() as errors, open(os.devnull, "r+b") as nothing:
        child = os.fork()
        if child == 0:
            os.dup2(nothing.fileno(), 0)
            os.dup2(nothing.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            sys.argv[1:] = command
            try:
                cli.main()
            except SystemExit as exc:
                os._exit(exc.code if isinstance(exc.code, int) else int(exc.code is not None))
            except BaseException:  # noqa: BLE001 - shown as the interpreter would
                sys.excepthook(*sys.exc_info())
                os._exit(99)
            sys.stdout.flush()
            os._exit(0)
        _, status, used = os.wait4(child, 0)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
        seconds_used = round(used.ru_utime + used.ru_stime, 2)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "lines": said.count("\n"),
            "cpu": seconds_used,
            "memory": used.ru_maxrss >> 10,
            "said": said[-300:],
        }


def main() -> None:
    memory, seconds = map(int, sys.argv[1:3])
    for line in sys.stdin:
        print(json.dumps(run_limited(json.loads(line), memory, seconds)), flush=True)


if __name__ == "__main__":
    main()
