"""`archimport run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click

import archimport
from archimport.cli.store import open_store, split_release
from archimport.runtime.app import entry_of
from archimport.runtime.errors import ConfigError
from archimport.runtime.schemes import Schemes

_CHILD = Path(__file__).with_name("run_child.py")


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("store")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(store: str, args: tuple[str, ...]) -> None:
    """Run the app in STORE with ARGS. Before ARGS, "-m MODULE" runs a module instead, "-c CODE" a piece of code.

    The app's own exit status is passed through. A bundle's app sees the bundle and the standard library, unless it was
    packed open; anything else sees the environment behind the store.
    """
    source, options = split_release(store)
    opened, folder = open_store(store)
    opened.check()
    what = args[:1] if args[:1] in {("-m",), ("-c",)} else ()
    if (what and len(args) < 2) or args[:2] == ("-m", ""):
        raise click.UsageError(f"{args[0]} needs an argument")
    if what and not _is_text(args[1]):
        raise ConfigError(f"not text that Python reads: {args[1]!r}", hint="write it in UTF-8")
    entry = entry_of(opened, folder)
    if not what and entry is None:
        raise ConfigError("the store has no app", store=opened.location, hint="name a module with -m")
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # what multiprocessing gives its children
    if opened.kind == "bundle" and not what and not folder:
        _become([sys.executable, *flags, opened.location, *args])
    else:
        home = str(Path(archimport.__file__).parents[1])
        rest = args if what else ("-m", "__main__", *args)
        source = Schemes().request(source).source or source  # from whatever folder the app runs in
        _become([sys.executable, *flags, str(_CHILD), home, source, json.dumps(options), *rest])


def _is_text(argument: str) -> bool:
    """Return whether an argument has no bytes that could not be decoded."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _become(command_line: list[str]) -> None:
    """Let a fresh interpreter take the place of this one, so that signals and exit status are the app's."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(sys.executable, command_line)
    sys.exit(subprocess.run(command_line, check=False).returncode)
