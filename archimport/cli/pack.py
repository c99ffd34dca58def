"""`archimport pack`."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from archimport.cli.store import echo_done, json_option, split_release, to_json
from archimport.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archimport.pack.build import Packed


def input_options(command: Callable[..., object]) -> Callable[..., object]:
    """Let a command take what `pack` takes beside its inputs."""
    options = (
        click.option("-c", "--script", metavar="CONSOLE_SCRIPT", help="Start at a console script of the inputs."),
        click.option("-e", "--entry", metavar="MODULE[:FUNC]", help="Where the app starts."),
        click.option("-r", "--requirements", multiple=True, metavar="FILE", help="A requirements file."),
        click.option(
            "--platform", multiple=True, metavar="TAG", help="A platform to pack for, as manylinux_2_28_aarch64."
        ),
        click.option("--no-unpack", multiple=True, metavar="NAME", help="Leave packed what would be unpacked."),
        click.option("--unpack", multiple=True, metavar="NAME", help="Unpack a distribution or package when it runs."),
    )
    for option in options:
        command = option(command)
    return command


@click.command("pack")
@click.argument("inputs", metavar="[REQUIREMENT | PATH]...", nargs=-1)
@click.option(
    "-o", "--output", required=True, metavar="OUT", help="What to write: x.arc (bundle), x.zip, x.db or a database URL."
)
@input_options
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="X.Y[t]",
    help="A Python to pack for; by default this one, and the others that can run the result.",
)
@click.option("--codec", type=click.Choice(["stored", "deflate", "zstd"]), help="Compress a bundle in this way.")
@click.option("--level", type=int, metavar="N", help="How hard to compress a bundle: to 9 for deflate, to 22 for zstd.")
@click.option("--profile", metavar="ARGS", help="Run the app with these arguments, to see what its start imports.")
@click.option("--order", metavar="FILE", help="What the start imports, as another bundle has it in .archimport/order.")
@click.option("--open", "is_open", is_flag=True, help="Let a bundle's app see the environment that it runs in.")
@json_option
def command(
    inputs: tuple[str, ...],
    output: str,
    requirements: tuple[str, ...],
    entry: str | None,
    script: str | None,
    pythons: tuple[str, ...],
    platform: tuple[str, ...],
    unpack: tuple[str, ...],
    no_unpack: tuple[str, ...],
    codec: str | None,
    level: int | None,
    profile: str | None,
    order: str | None,
    is_open: bool,
    as_json: bool,
) -> None:
    """Pack requirements, projects, wheels and plain folders into one file.

    A folder with a pyproject.toml or setup.py is built; any other is taken as it is, its content at the root, without
    __pycache__, .venv, and what belongs to version control or to tools.
    """
    if not output.endswith((".arc", ".zip")) and split_release(output)[1]:
        raise ConfigError(f"pack writes no release or channel by name: {output!r}", hint="archimport publish does")
    from archimport.pack.build import pack  # deferred: other commands do without

    with show_progress() as progress:
        packed = pack(
            inputs,
            output,
            requirements=requirements,
            entry=entry,
            script=script,
            python=pythons,
            platform=platform,
            unpack=unpack,
            no_unpack=no_unpack,
            codec=codec,
            level=level,
            profile=profile,
            order=order,
            open=is_open,
            progress=progress,
        )
    _warn(packed)
    if as_json:
        echo_done(to_json(packed._asdict()))
        return
    runs = f", starts at {packed.entry}" if packed.entry else ""
    echo_done(
        f"{packed.path}: {packed.kind} of {packed.members} members, {packed.size / 1e6:.2f} MB, "
        f"for Python {', '.join(packed.pythons)}{runs}"
    )
    if packed.unpacked:
        echo_done(f"unpacked when it runs: {', '.join(packed.unpacked)}")


@contextlib.contextmanager
def show_progress() -> Iterator[Callable[[str], object]]:
    """Show the stage on a terminal, and nothing on a pipe."""
    if not sys.stderr.isatty():
        yield str
        return
    from rich.console import Console  # deferred: only for a terminal

    with Console(stderr=True).status("packing") as status:
        yield status.update


def _warn(packed: Packed) -> None:
    if packed.source_only:
        names = ", ".join(packed.source_only)
        click.echo(f"warning: no bytecode, since there is no interpreter here: Python {names}", err=True)
    if packed.without_decoder:
        names = ", ".join(packed.without_decoder)
        click.echo(f"warning: reads zstd only where backports.zstd is installed: Python {names}", err=True)
