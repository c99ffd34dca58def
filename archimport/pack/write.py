"""Hand what was built to the writer of a kind of file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import archimport
from archimport.bundle.compress import versions
from archimport.bundle.store import PLATFORM
from archimport.bundle.tail import carried_sources, tail_files
from archimport.bundle.writer import Member, write_bundle
from archimport.pack.compile import cached_path, compile_runtime, source_path
from archimport.pack.decoder import requirement
from archimport.runtime.decoder import DECODERS
from archimport.runtime.errors import PackError
from archimport.runtime.unit import OWN, PLAN, UNITS
from archimport.zip.writer import write_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archimport.pack.app import App
    from archimport.pack.decoder import Codecs

#: Where a bundle keeps the sources that start-up imports, a line each, in the order of its blocks: for `pack --order`.
ORDER = f"{OWN}order"
_ZIP_SHEBANG = b"#!/usr/bin/env python3\n"
_MAIN = {
    True: "import sys\n\nfrom {module} import {first}\n\nsys.exit({function}())\n",
    False: 'import runpy\n\nrunpy.run_module("{module}", run_name="__main__", alter_sys=True)\n',
}


class Form(NamedTuple):
    """How a bundle is written: its codecs, whether its app sees the environment, and how hard to compress."""

    codecs: Codecs
    open: bool
    level: int | None


def write_as_bundle(path: str, app: App, form: Form) -> int:
    """Write a bundle and give the number of its members."""
    sources = carried_sources()
    here = {target.version: target.interpreter for target in app.targets if target.interpreter}
    runtimes = [compile_runtime(interpreter, sources) for interpreter in here.values()]
    codecs = form.codecs
    tools = [*versions(), *([requirement().replace("==", " ")] if codecs.decoders else [])]
    decoders = [
        Member(f"{DECODERS}{name}", partial(bytes, content), codec="stored")  # what every start reads
        for name, content in sorted(codecs.decoders.items())
    ]
    order = [Member(ORDER, "".join(f"{path}\n" for path in app.first).encode)] if app.first else []
    members = [*decoders, *order, *_bytecode_members(app, codecs), *_file_members(app, codecs.common)]
    meta = {
        "archimport": archimport.__version__,
        "bytecode": " ".join(sorted(set(codecs.bytecode))),
        "codec": codecs.common,
        "made-with": ", ".join([*sorted(f"Python {runtime.version}" for runtime in runtimes), *tools]),
        "libraries": "yes" if app.has_libraries else "no",
        "open": "yes" if form.open else "no",
        "targets": " ".join(dict.fromkeys(_targets(app))),
    }
    if app.entry:
        meta["entry"] = app.entry
    write_bundle(
        path,
        members,
        meta=meta,
        tail=tail_files({runtime.magic: runtime.table for runtime in runtimes}),
        level=form.level,
    )
    return len(members)


def _targets(app: App) -> Iterator[str]:
    """Give each target as a bundle says it: Python, platform, layer; a Python that was not asked for has no layer."""
    asked, has_libraries = {target.python for target in app.targets}, app.has_libraries
    for number, target in enumerate(app.targets):
        layer = number + 1 if app.files.own[number] else 0
        if has_libraries or target.platform:
            yield f"{target.python}/{target.platform.name if target.platform else PLATFORM}/{layer}"
        else:
            yield f"{target.version}/any/{layer}"
    for python in app.pythons:
        if python not in asked:
            yield f"{python}/{PLATFORM if has_libraries else 'any'}/0"


def write_as_zip(path: str, app: App, _: Form) -> int:
    """Write a zip that runs with `python app.zip` if there is an entry point, and give the number of its members."""
    members = single_tree(app, "a zip")
    write_archive(path, members, shebang=_ZIP_SHEBANG if app.entry else b"")
    return len(members)


def single_tree(app: App, what: str) -> dict[str, Callable[[], bytes]]:
    """Give the members where there is one tree for all targets, `__main__` among them; PackError if that cannot be."""
    if any(app.files.own):
        differing = sorted(
            {path for own in app.files.own for path in own}, key=lambda path: (path.startswith("."), path)
        )
        raise PackError(f"the targets differ in {differing[0]!r}", hint=f"{what} holds one of each file: pack a bundle")
    members = {member.path: member.read for member in (*_bytecode_members(app), *_file_members(app))}
    if app.entry and app.entry != "__main__":
        if "__main__.py" in members:
            raise PackError("there is a '__main__.py' already", hint="leave out the entry point, or that file")
        members["__main__.py"] = partial(bytes, _main_of(app.entry))
    return members


def _main_of(entry: str) -> bytes:
    module, colon, function = entry.partition(":")
    first = function.partition(".")[0]
    return _MAIN[bool(colon)].format(module=module, function=function, first=first).encode()


def _bytecode_members(app: App, codecs: Codecs | None = None) -> Iterator[Member]:
    """Give the bytecode: of each target what start-up imports, in that order, then the rest by path."""
    written = set()
    for number, (target, pycs) in enumerate(zip(app.targets, app.bytecode, strict=True)):
        first = dict.fromkeys(cached_path(path, target) for path in app.first)
        for cached in dict.fromkeys([*(path for path in first if path in pycs), *pycs]):
            layer = app.files.layer_of(source_path(cached), number)
            if (cached, layer) not in written:  # what platforms share is there once
                written.add((cached, layer))
                codec = codecs.of_bytecode(number, at_start=cached in first) if codecs else "deflate"
                yield Member(cached, partial(bytes, pycs[cached]), layer, codec)


def _file_members(app: App, codec: str = "deflate") -> Iterator[Member]:
    """Give the files: of each layer the sources, then the rest, by path."""
    for layer, files in enumerate([app.files.common, *app.files.own]):
        for path in sorted(files, key=lambda path: (not path.endswith(".py"), path)):
            is_read_first = path == PLAN or path.startswith(UNITS)
            yield Member(path, files[path].read_bytes, layer, "stored" if is_read_first else codec)
