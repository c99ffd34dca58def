"""How a program in a bundle ends: as from a folder, but that nothing is collected where nothing could notice."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import partial
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING

import pytest

from archimport.bundle.tail import carried_sources, tail_files
from archimport.bundle.writer import Member, write_bundle
from archimport.pack.compile import compile_runtime

if TYPE_CHECKING:
    from pathlib import Path


def extension_module(name: str) -> str:
    """Give a source that seems to have loaded an extension module."""
    file = f"/x/{name}{EXTENSION_SUFFIXES[0]}"
    return f"sys.modules[{name!r}] = type(sys)({name!r})\nsys.modules[{name!r}].__file__ = {file!r}\n"


#: Each leaves something in a cycle whose end can be seen.
NOTICED = {
    "finalizer": "class C:\n    def __del__(self): print('finalized', flush=True)\nc = C()\nc.me = c\ndel c\n",
    "finalizer of a base": (
        "class B:\n    def __del__(self): print('finalized', flush=True)\nclass C(B): pass\nc = C()\nc.me = c\n"
    ),
    "file of a class": "class C:\n    log = open(sys.argv[1], 'w')\nC.log.write('kept')\n",
    "file in bytes of a class": "class C:\n    log = open(sys.argv[1], 'wb')\nC.log.write(b'kept')\n",
    "generator": (
        "def g(mine):\n    try:\n        yield\n    finally:\n        print('closed', flush=True)\n"
        "held = []\nheld.append(g(held))\nnext(held[0])\n"
    ),
    "coroutine": "async def f(mine): pass\nheld = []\nheld.append(f(held))\n",
    "callback": (
        "import gc\nheld = []\nheld.append(held)\ndel held\n"
        "gc.callbacks.append(lambda phase, info: print(phase, info['generation'], flush=True))\n"
    ),
    "stream that was replaced": (
        "class Tee:\n    def __init__(self): self.stream, self.me = sys.stdout, self\n"
        "    def write(self, text): self.stream.write(text)\n    def flush(self): pass\n"
        "sys.stdout = Tee()\nprint('teed')\n"
    ),
    "stream that was taken away": "class C: out = sys.stdout\nprint('taken')\nsys.stdout = None\n",
    "stream that was replaced for good": (
        "import io, os\nclass Out(io.StringIO):\n    def close(self, write=os.write):\n"
        "        if not self.closed: write(1, self.getvalue().encode())\n"
        "sys.stdout = sys.__stdout__ = Out()\nprint('kept')\n"
    ),
    "stream with a buffer that it does not flush": (
        "class Log:\n    def __init__(self): self.buffer = open(sys.argv[1], 'wb')\n"
        "    def write(self, text): self.buffer.write(text.encode())\n    def flush(self): pass\n"
        "sys.stdout = sys.__stdout__ = Log()\nprint('kept')\n"
    ),
    "error stream that was replaced": "class C: error = sys.stderr\nC.error.write('told')\nsys.stderr = None\n",
    "memory with a close of its own": (
        "import io\nclass C: data = io.BytesIO()\nC.data.close = lambda write=print: write('closed', flush=True)\n"
    ),
    "files that were frozen": ("import gc\ngc.freeze()\nclass C: log = open(sys.argv[1], 'w')\nC.log.write('kept')\n"),
    "memory that is lent": (
        "import sys\nclass L:\n    def __buffer__(self, flags): return memoryview(b'')\n"
        "    def __release_buffer__(self, view): print('released', flush=True)\n"
        "class C: lent = memoryview(L()) if sys.version_info >= (3, 12) else print('none')\n"
    ),
    "raw file of another kind": (
        "import io\nclass D:\n    closed = False\n    def readable(self): return True\n"
        "    def seekable(self): return False\n    def close(self): print('closed', flush=True)\n"
        "class C: held = io.BufferedReader(D())\n"
    ),
    "classes that equal others": (
        "class M(type):\n    def __eq__(one, other): return True\n    def __hash__(one): return 1\n"
        "class A(metaclass=M): pass\nclass C(metaclass=M):\n    def __del__(self): print('finalized', flush=True)\n"
        "held = [A(), C()]\nheld.append(held)\ndel held\n"
    ),
    "database": (
        "import sqlite3\nheld = [sqlite3.connect(sys.argv[1])]\nheld.append(held)\n"
        "held[0].execute('pragma journal_mode = wal')\nheld[0].execute('create table t (x)')\nheld[0].commit()\ndel held\n"
    ),
}
#: Each defines something that whoever looks at objects and modules may trip over; nothing is to be seen of that.
ODD = {
    "classes that are not hashable": "class M(type): __eq__ = lambda one, other: one.key == other.key\n",
    "classes that say what they are": "class M(type): __mro__ = __dict__ = None\n",
    "classes that tell by another": "class T:\n    def __hash__(one): print('hashed'); return 1\nclass M(T, type): pass\n",
    "classes that tell": "class M(type):\n    def __hash__(one): print('hashed'); return 1\n",
    "no module": "class P:\n    __class__ = property(lambda one: print('asked'))\nsys.modules['m'] = P()\nM = type\n",
    "lazy module": "class M(type(sys)):\n    def __getattribute__(self, name): print('asked')\nsys.modules['m'] = M('m')\nM = type\n",
    "module without a name": "sys.modules[3] = type(sys)('three')\nM = type\n",
    "audit hook": "def hook(event, arguments):\n    if event.startswith('gc.'): raise OSError(event)\nsys.addaudithook(hook)\nM = type\n",
}
#: A cycle without a finalizer; a weak reference tells when it is freed.
UNNOTICED = (
    "import weakref\nclass D: pass\nd = D()\nd.me = d\n"
    "seen = weakref.ref(d, lambda reference: print('freed', flush=True))\ndel d\n"
)
#: What many programs have and leave, and which acts no more when it is freed.
QUIET = {
    "nothing": "",
    "standard library": (
        "import argparse, asyncio, collections.abc, concurrent.futures, contextlib, csv, dataclasses, datetime, decimal\n"
        "import email, enum, functools, html, http.client, importlib.metadata, inspect, io, json, logging, multiprocessing\n"
        "import os, pathlib, random, re, socket, ssl, string, subprocess, tempfile, threading, typing, unittest\n"
        "import urllib.request, uuid, xml.etree.ElementTree\n"
    ),
    "classes with a known hash": (
        "M = type('M', (type,), {'__module__': 'typing_extensions', '__hash__': type.__hash__})\nC = M('C', (), {})\n"
    ),
    "classes with a hash of their own": (
        "class M(type):\n    def __hash__(one): print('hashed'); return 1\nclass C(metaclass=M): pass\nc = C()\n"
    ),
    "known extension module": extension_module("markupsafe._speedups"),
    "extension module by mypyc": extension_module("81d243bd__mypyc"),
    "closed files": (
        "class C:\n    files = open('text', 'w'), open('bytes', 'wb'), open('raw', 'wb', 0), open('bytes', 'rb'), open('x', 'w+b')\n"
        "for file in C.files: file.close()\n"
    ),
}
#: An object of a module that outlives `sys.modules`, without a cycle; a weak reference tells when it is freed.
OF_A_MODULE = (
    "import weakref\nclass D: pass\nd = D()\nsys.seen, sys.kept = weakref.ref(d, print), sys.modules[__name__]\n"
)


@pytest.fixture(scope="module")
def tail() -> dict[str, bytes]:
    """A tail with the table that starts read, as packed bundles have it."""
    runtime = compile_runtime(sys.executable, carried_sources())
    return tail_files({runtime.magic: runtime.table})


def ends(source: str, folder: Path, tail: dict[str, bytes], *options: str) -> tuple[list[str], list[str]]:
    """Say how a program ends from a bundle and from a file: what it prints, and what it leaves behind."""
    code = f"import sys\n{source}def main(): pass\n"
    (folder / "app.py").write_text(code)
    member = Member("app.py", partial(bytes, code.encode()))
    write_bundle(str(folder / "app.arc"), [member], meta={"entry": "app:main"}, tail=tail)
    found = []
    for start in ([str(folder / "app.arc")], ["-c", "import sys, app; sys.exit(app.main())"]):
        for file in folder.glob("left*"):
            file.unlink()
        command = [sys.executable, "-S", *options, *start, str(folder / "left")]  # without what traces our tests
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
        left = [f"{file.name} {file.stat().st_size}" for file in sorted(folder.glob("left*"))]
        printed = [re.sub(r" at 0x\w+| fd=\d+", "", text) for text in (done.stdout, done.stderr)]
        found.append([*printed, *left])
    return found[0], found[1]


@pytest.mark.parametrize("source", NOTICED.values(), ids=NOTICED)
def test_what_can_be_noticed_is_collected_at_the_end(tmp_path: Path, source: str, tail: dict[str, bytes]) -> None:
    bundle, folder = ends(source, tmp_path, tail)
    assert bundle == folder
    assert any(folder)  # there is something to be seen


@pytest.mark.parametrize("source", QUIET.values(), ids=QUIET)
def test_what_cannot_be_noticed_is_not_collected_at_the_end(
    tmp_path: Path, source: str, tail: dict[str, bytes]
) -> None:
    assert ends(source + UNNOTICED, tmp_path, tail) == (["", ""], ["freed\n", ""])


def test_nothing_that_is_left_is_freed_at_the_end(tmp_path: Path, tail: dict[str, bytes]) -> None:
    assert ends(OF_A_MODULE, tmp_path, tail) == (["", ""], ["<weakref; dead>\n", ""])


def test_programs_that_call_what_is_registered_themselves_go_on(tmp_path: Path, tail: dict[str, bytes]) -> None:
    source = (
        "import atexit, gc, weakref\nclass D: pass\nd = D()\nd.me = d\nseen = weakref.ref(d, print)\n"
        "atexit._run_exitfuncs()\ndel d\ngc.collect()\n"
    )
    bundle, folder = ends(source, tmp_path, tail)
    assert bundle == folder == ["<weakref; dead>\n", ""]


@pytest.mark.parametrize("source", ODD.values(), ids=ODD)
def test_nothing_is_seen_of_the_look_at_what_is_left(tmp_path: Path, source: str, tail: dict[str, bytes]) -> None:
    assert ends(f"{source}class C(metaclass=M): key = 1\nc = C()\n", tmp_path, tail) == (["", ""], ["", ""])


@pytest.mark.parametrize(
    "watching",
    [
        "import gc\ngc.set_debug(gc.DEBUG_UNCOLLECTABLE)\n",
        extension_module("m"),
        "sys.setprofile(lambda *event: None)\n",
        "sys.settrace(lambda *event: None)\n",
    ],
    ids=["debug", "extension module", "profile", "trace"],
)
def test_what_is_watched_or_unknown_is_collected_at_the_end(
    tmp_path: Path, watching: str, tail: dict[str, bytes]
) -> None:
    bundle, folder = ends(watching + UNNOTICED, tmp_path, tail)
    assert bundle == folder == ["freed\n", ""]


@pytest.mark.parametrize("option", ["-Xdev", "-Wdefault"])
def test_warnings_at_the_end_are_those_of_a_folder(tmp_path: Path, option: str, tail: dict[str, bytes]) -> None:
    bundle, folder = ends(f"class C: raw = open('app.py', 'rb', 0)\n{UNNOTICED}", tmp_path, tail, option)
    assert bundle == folder
    assert bundle[0] == "freed\n" and "ResourceWarning" in bundle[1]


def test_errors_that_cannot_be_raised_read_as_ever(tmp_path: Path, tail: dict[str, bytes]) -> None:
    bundle, folder = ends("import atexit\natexit.register(int, 'x')\n", tmp_path, tail)
    assert bundle == folder
    assert "ValueError" in folder[1]


def test_errors_are_not_printed_elsewhere_if_there_is_no_stderr(tmp_path: Path, tail: dict[str, bytes]) -> None:
    code = b"import atexit\natexit.register(int, 'x')\ndef main(): raise OSError('gone')\n"
    write_bundle(
        str(tmp_path / "x.arc"), [Member("app.py", partial(bytes, code))], meta={"entry": "app:main"}, tail=tail
    )
    command = f"exec {shlex.join([sys.executable, '-S', str(tmp_path / 'x.arc')])} 2>&-"
    done = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
