"""The command line: a file for each command, and what they share. Of the library's tools only these print or exit."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys

import click

from archimport import __version__
from archimport.runtime.errors import ArchimportError

#: Command to one line of help; each is the attribute `command` of the module of its name.
_COMMANDS = {
    "pack": "Pack requirements, projects and folders into one file.",
    "run": "Run an app, a module or code from a store.",
    "ls": "List the members of a store.",
    "info": "Describe a store.",
    "cat": "Print a member of a store.",
    "extract": "Write the members of a store to a folder.",
    "verify": "Check every byte of a store.",
    "diff": "Show what differs between two stores.",
    "why": "Tell what was decided on a module of a store.",
    "publish": "Make a release of modules in a database.",
    "log": "Show what happened to the channels of a database.",
    "channels": "List the channels of a database.",
    "rollback": "Let a channel point to an older release.",
    "gc": "Delete old releases from a database.",
    "grants": "Print the SQL that gives rights on a database.",
    "upgrade": "Bring the tables of a database to this version.",
    "cache": "Look after what the user's cache folder holds.",
    "enable": "Let every start of this environment's Python find stores on the path.",
    "disable": "Undo `enable`.",
}


class _Commands(click.Group):
    """Commands loaded when they are asked for: none pays for another's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"archimport.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="archimport")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """Import Python from zip archives, SQL databases and single-file bundles."""


def main() -> None:
    """Run the command line: exit status 0 done, 1 a typed error in one line on stderr, 2 usage."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # names may have what no terminal shows
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what is temporary goes
    try:
        cli(prog_name="archimport", standalone_mode=False)
    except click.Abort:
        sys.stderr.write("archimport: error: interrupted\n")
        sys.exit(128 + signal.SIGINT)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except ArchimportError as exc:
        if "--debug" in sys.argv[1:2]:
            raise
        sys.stderr.write(f"archimport: error: {exc}\n")
        sys.exit(1)
    except MemoryError:
        sys.stderr.write("archimport: error: there is not enough memory for this\n")
        os._exit(1)
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads any more: say nothing at exit either
        sys.exit(1)
    except OSError as exc:  # of the terminal, the current folder or the disk: no store's, those are translated
        if "--debug" in sys.argv[1:2]:
            raise
        where = f": {exc.filename!r}" if exc.filename else ""
        sys.stderr.write(f"archimport: error: {exc.strerror or exc}{where}\n")
        os._exit(1)  # what could not be written is not tried again at exit
