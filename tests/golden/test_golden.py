"""Bundles of format version 1 that were written once: every later archimport reads them, and they start for ever."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import archimport

HERE = Path(__file__).parent
#: Of the files as they were written: who writes them anew has broken the promise.
DIGESTS = {
    "layers.arc": "b2db966e4443d2bdb70b5d211026f498c69c1d71d565dc5b0272e2f297642c9f",
    "packed.arc": "b35e8a437d0219133e616ffc895410947bf8cdfc0ce0c6987fa9d2293cb92556",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_file_is_the_one_that_was_written(name: str) -> None:
    assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == DIGESTS[name]


@pytest.mark.parametrize("name", DIGESTS)
def test_all_of_it_is_whole(name: str) -> None:
    with archimport.mount(HERE / name) as mounted:
        assert list(mounted.store.verify())


def test_packed() -> None:
    with archimport.mount(HERE / "packed.arc"):
        assert importlib.import_module("golden").part.value == "ü"
        assert importlib.import_module("empty").__file__ == str(HERE / "packed.arc" / "empty.py")


def test_packed_starts_with_the_archimport_that_it_carries() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", HERE / "packed.arc"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("ü 950\n", "")


def test_layers() -> None:
    with archimport.mount(HERE / "layers.arc") as mounted:
        assert importlib.import_module("layered").layer == 1 + sys.version_info.minor % 2
        assert [importlib.import_module(f"pkg.m{number:03}").number for number in (0, 150, 299)] == [0, 150, 299]
        assert len(list(mounted.store.list("pkg"))) == 300
        entry = mounted.store.lookup("large.txt")
        assert entry is not None
        assert mounted.store.read(entry) == b"0123456789" * 10_000
        assert mounted.store.describe()["meta"]["unknown"] == "to readers of today"
