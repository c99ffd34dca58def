"""What bundles are compressed with, and the decoder that they carry for interpreters without one."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from trees import write_tree

from archimport.bundle.store import BundleStore
from archimport.bundle.tables import CODECS
from archimport.bundle.tail import tail_files
from archimport.bundle.writer import Member, write_bundle
from archimport.pack import decoder
from archimport.pack.build import pack
from archimport.pack.target import THIS_PYTHON

WITHOUT_ZSTD = pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python reads zstd itself")
APP = {"app.py": "import sys, part\ndef main():\n    print(part.x, 'backports' in sys.modules)\n", "part.py": "x = 1\n"}


def codecs_of(bundle: Path) -> dict[str, str]:
    """Give the codec of each member, by path; a block that a codec would not make smaller is stored."""
    store = BundleStore(str(bundle))
    return {entry.path: CODECS[store.tables.block(entry.handle.block).codec][0] for entry in store.walk()}


def start(bundle: Path, cache: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Start a bundle in an interpreter that has nothing else."""
    environment = {"XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    command = [sys.executable, "-I", "-S", *options, str(bundle)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@WITHOUT_ZSTD
@pytest.mark.parametrize("place", ["memory", "cache"])
def test_carried_decoder(tmp_path: Path, place: str) -> None:
    """It is loaded from memory; where that cannot be, from the user's cache."""
    bundle, cache = tmp_path / "x.arc", tmp_path / "cache"
    hide = "import os\ndel os.memfd_create\n" if place == "cache" else ""
    packed = pack([write_tree(APP, tmp_path / "r")], bundle, entry="app:main", codec="zstd", python=[THIS_PYTHON])
    assert packed.without_decoder == []
    found = [path for path in codecs_of(bundle) if path.startswith(".archimport/decoder/_zstd.")]
    assert len(found) == 1
    code = f"{hide}import runpy, sys\nsys.argv[:] = [{str(bundle)!r}]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    done = start(bundle, cache, "-c", code)
    assert (done.stdout, done.stderr) == ("1 False\n", "")
    assert bool(list(cache.rglob("_zstd*"))) == (place == "cache")


@WITHOUT_ZSTD
def test_bytecode_that_cannot_be_read_is_as_if_there_were_none(tmp_path: Path) -> None:
    """Another platform's interpreter has no decoder in the bundle: it reads the sources, which everybody can."""
    source = b"import sys\ndef main():\n    print('from source')\n" + b"# to be worth compressing\n" * 50
    pyc = os.path.join("__pycache__", f"app.{sys.implementation.cache_tag}.pyc")
    members = [Member(pyc, partial(bytes, b"not to be read" * 99), 0, "zstd"), Member("app.py", partial(bytes, source))]
    meta = {"entry": "app:main", "codec": "deflate", "bytecode": "zstd"}
    write_bundle(str(tmp_path / "x.arc"), members, meta=meta, tail=tail_files({}))
    assert codecs_of(tmp_path / "x.arc") == {pyc: "zstd", "app.py": "deflate"}
    done = start(tmp_path / "x.arc", tmp_path / "cache")
    assert (done.stdout, done.stderr) == ("from source\n", "")
    write_bundle(str(tmp_path / "x.arc"), members, meta=meta | {"codec": "zstd"}, tail=tail_files({}))
    done = start(tmp_path / "x.arc", tmp_path / "cache")
    assert done.returncode == 1
    assert "zstd data cannot be read by this interpreter" in done.stderr


@pytest.mark.parametrize("is_large", [True, False])
def test_codecs_that_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_large: bool) -> None:
    """A short start is stored, other bytecode for those who have a decoder; a long start has one carried."""
    monkeypatch.setattr(decoder, "_WORTH_A_DECODER", 0 if is_large else 1 << 40)
    much = "x = 1\n" + "".join(f"def f{n}(): return {n}\n" for n in range(400))
    bundle = tmp_path / "x.arc"
    pack([write_tree(APP | {"part.py": much, "later.py": f"{much}y = 2\n"}, tmp_path / "r")], bundle, entry="app:main")
    codecs = codecs_of(bundle)
    first, later = (f"__pycache__/{name}.{sys.implementation.cache_tag}.pyc" for name in ("part", "later"))
    coded = "zstd" if sys.version_info >= (3, 14) or is_large else "deflate"
    assert (codecs["part.py"], codecs[first]) == ("deflate", coded if is_large else "stored")
    assert (codecs["later.py"], codecs[later]) == ("deflate", coded)
    carries = sys.version_info < (3, 14) and is_large
    assert any(path.startswith(".archimport/decoder/") for path in codecs) == carries
    assert start(bundle, tmp_path / "cache").stdout == "1 False\n"
