"""Source is found by everything that shows it."""

from __future__ import annotations

import doctest
import importlib
import importlib.abc
import importlib.util
import inspect
import linecache
import marshal
import os
import pkgutil
import runpy
import sys
import traceback
import warnings
from pathlib import Path

import pytest
from conftest import Place

import archimport


def test_inspect_getsource(place: Place) -> None:
    place.add({"mod.py": "def f():\n    return 1\n\nclass C:\n    x = 2\n"})
    module = importlib.import_module("mod")
    assert inspect.getsource(module.f) == "def f():\n    return 1\n"
    assert inspect.getsource(module.C) == "class C:\n    x = 2\n"
    assert inspect.getsource(module).startswith("def f()")
    assert inspect.getsourcefile(module) == module.__file__


def test_traceback_shows_source_and_no_frame_of_ours(place: Place) -> None:
    entry = place.add({"outer.py": "import inner\n", "inner.py": "def f():\n    raise ValueError('boo')\nf()\n"})
    with pytest.raises(ValueError, match="boo") as caught:
        importlib.import_module("outer")
    text = "".join(traceback.format_exception(caught.value))
    assert f"File \"{entry}/inner.py\", line 2, in f\n    raise ValueError('boo')\n" in text
    assert "archimport" not in text.replace(entry, "")


def test_traceback_after_chdir(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.add({"mod.py": "def f():\n    raise ValueError('boo')\n"})
    module = importlib.import_module("mod")
    monkeypatch.chdir("/")
    with pytest.raises(ValueError, match="boo") as caught:
        module.f()
    assert "raise ValueError('boo')" in "".join(traceback.format_exception(caught.value))


def test_warning_shows_its_line(place: Place) -> None:
    place.add({"mod.py": "import warnings\ndef f():\n    warnings.warn('careful')  # here\n"})
    module = importlib.import_module("mod")
    linecache.checkcache()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        module.f()
    assert "# here" in warnings.formatwarning("careful", UserWarning, seen[0].filename, seen[0].lineno)


@pytest.mark.skipif(
    sys.version_info < (3, 14, 10) or (3, 15) <= sys.version_info < (3, 15, 2),
    reason="linecache asks finders from Python 3.14.10 and 3.15.2",
)
def test_lines_are_found_by_the_name_of_the_file(place: Place) -> None:
    source = b"# coding: latin-1\nx = '\xe9'\n"
    place.add({"mod.py": source, "pkg": {"__init__.py": source, "deep": {"__init__.py": source, "mod.py": source}}})
    for name in ("mod", "pkg.deep.mod", "pkg", "pkg.deep"):
        file = importlib.import_module(name).__file__
        importlib.invalidate_caches()
        for _ in range(2):
            linecache.clearcache()
            if not place.is_directory:
                place.mounted.refresh()
            assert linecache.getline(file, 2) == "x = 'é'\n"
            linecache.checkcache()
            assert linecache.getlines(file)[1:] == ["x = 'é'\n"]
        assert linecache.getlines(f"{os.path.dirname(file)}/none.py") == []


def test_data_from_the_finder(store_place: Place) -> None:
    entry = store_place.add({"mod.py": "x = 1\n", "pkg": {"__init__.py": "", "data.bin": b"\0"}})
    module = importlib.import_module("pkg")
    for finder in map(pkgutil.get_importer, (entry, *module.__path__)):
        for spelling in (f"{entry}/mod.py", f"{entry}/pkg/../mod.py", f"{entry}//mod.py", "mod.py"):
            assert finder.get_data(spelling) == b"x = 1\n"
        assert finder.get_data(f"{entry}/pkg/data.bin") == b"\0"
        for nothing in (f"{entry}/none.py", entry, f"{entry}/pkg", "/etc/passwd", f"{entry}/../x", f"{entry}x/mod.py"):
            with pytest.raises(OSError):
                finder.get_data(nothing)


def test_unreadable_data_from_the_finder(store_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who asks for a line expects another error."""
    entry = store_place.add({"mod.py": ""})

    def read(_: object) -> bytes:
        raise archimport.IntegrityError("damaged")

    monkeypatch.setattr(store_place.mounted.store, "read", read)
    with pytest.raises(OSError, match="damaged"):
        pkgutil.get_importer(entry).get_data(f"{entry}/mod.py")


def test_source_of_a_function_whose_module_is_gone(place: Place) -> None:
    place.add({"mod.py": "def f():\n    return 1\n"})
    function = importlib.import_module("mod").f
    del sys.modules["mod"]
    assert inspect.getsource(function) == "def f():\n    return 1\n"


def test_doctests_run(place: Place) -> None:
    place.add({"mod.py": 'def f():\n    """\n    >>> f()\n    1\n    """\n    return 1\n'})
    assert doctest.testmod(importlib.import_module("mod")) == (0, 1)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("# coding: latin-1\nx = 'é'\n".encode("latin-1"), id="latin-1"),
        pytest.param("# coding: shift-jis\nx = 'あ'\n".encode("shift-jis"), id="shift-jis"),
        pytest.param(b"\xef\xbb\xbfx = '\xc3\xa9'\n", id="bom"),
        pytest.param(b"x = 1\r\ny = 2\r\n", id="crlf"),
        pytest.param(b"x = 1\ry = 2", id="cr"),
        pytest.param(b"x = 1", id="no-newline-at-the-end"),
        pytest.param(b"", id="empty"),
    ],
)
def test_encodings(place: Place, source: bytes, tmp_path: Path) -> None:
    place.add({"mod.py": source})
    module = importlib.import_module("mod")
    file = tmp_path / "same.py"
    file.write_bytes(source)
    spec = importlib.util.spec_from_file_location("same", file)
    assert spec is not None and spec.loader is not None
    same = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(same)
    assert getattr(module, "x", None) == getattr(same, "x", None)
    assert module.__loader__.get_source("mod") == spec.loader.get_source("same")


@pytest.mark.parametrize(
    "source", [b"x = '\0'\n", b"# coding: nonsense\n", b"x = '\xff'\n"], ids=["nul", "coding", "utf-8"]
)
def test_source_that_cannot_be_decoded(place: Place, source: bytes) -> None:
    place.add({"mod.py": source})
    with pytest.raises((SyntaxError, ValueError)):
        importlib.import_module("mod")


def test_run_module(place: Place) -> None:
    entry = place.add(
        {"mod.py": "who = __name__, __file__, __spec__.name\n", "pkg": {"__main__.py": "who = __package__\n"}}
    )
    assert runpy.run_module("mod", run_name="__main__")["who"] == ("__main__", f"{entry}/mod.py", "mod")
    assert runpy.run_module("pkg", run_name="__main__")["who"] == "pkg"


def test_run_path(place: Place) -> None:
    entry = place.add({"__main__.py": "import helper\nvalue = helper.value\n", "helper.py": "value = 7\n"})
    assert runpy.run_path(entry)["value"] == 7


@pytest.mark.parametrize("name", ["inner.whl", "script.py"])
@pytest.mark.parametrize("position", [0, 99])
def test_file_on_the_path_is_no_program(place: Place, name: str, position: int, tmp_path: Path) -> None:
    entry = place.add({"tools": {name: "value = 1\n"}})
    sys.path.insert(position, f"{entry}/tools/{name}")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ImportError, match="can't find '__main__' module"):
        runpy.run_path(str(empty))


def test_run_path_of_a_script(place: Place) -> None:
    """Not of the `__main__` that lies at the root."""
    entry = place.add({"__main__.py": "what = 'root'", "tools": {"script.py": "what = __name__, __file__"}})
    found = runpy.run_path(f"{entry}/tools/script.py", run_name="tool")
    assert found["what"] == ("tool", f"{entry}/tools/script.py")
    assert runpy.run_path(f"{entry}/tools/script.py")["what"][0] == "<run_path>"


def test_traceback_of_a_failed_import_shows_source_each_time(place: Place) -> None:
    place.add({"pkg": {"__init__.py": "from . import gone\n"}})
    try:
        importlib.import_module("pkg")
    except ImportError:
        assert all("from . import gone" in traceback.format_exc() for _ in range(3))


def test_loader_is_every_abstract_loader(store_place: Place) -> None:
    store_place.add({"mod.py": ""})
    loader = importlib.import_module("mod").__loader__
    for name in ("ResourceLoader", "InspectLoader", "ExecutionLoader", "SourceLoader"):
        if hasattr(importlib.abc, name):
            assert isinstance(loader, getattr(importlib.abc, name))
    assert not isinstance(loader, importlib.machinery.SourceFileLoader)
    assert loader.__class__ is type(loader)


def test_get_data_takes_every_path_built_from_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.add({"pkg": {"__init__.py": "", "data.txt": "hello", "sub": {"x.bin": b"\0"}}})
    module = importlib.import_module("pkg")
    get_data = module.__loader__.get_data
    here = os.path.dirname(module.__file__ or "")
    for path in (
        os.path.join(here, "data.txt"),
        os.path.join(here, "sub", "..", "data.txt"),
        os.path.abspath(os.path.join(here, "data.txt")),
        str(Path(here, "data.txt")),
        str(Path(here).resolve() / "data.txt"),
        f"{here}//data.txt",
    ):
        assert get_data(path) == b"hello", path
    for missing in (os.path.join(here, "absent"), here, os.path.join(here, "sub")):
        with pytest.raises(OSError):
            get_data(missing)


def test_get_data_stays_inside(store_place: Place, tmp_path: Path) -> None:
    entry = store_place.add({"pkg": {"__init__.py": ""}})
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    get_data = importlib.import_module("pkg").__loader__.get_data
    for path in (str(outside), f"{entry}/../secret.txt", "../secret.txt"):
        with pytest.raises(FileNotFoundError):
            get_data(path)


@pytest.mark.parametrize("file", ["mod.py", "mod.pyc"])
def test_names_may_be_left_out(place: Place, file: str, tmp_path: Path) -> None:
    """As with loaders of files, where they are of use (`load_module` went with Python 3.15)."""
    code = compile("value = 1\n", "mod.py", "exec")
    pyc = importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)
    place.add({file: pyc if file.endswith("c") else "value = 1\n"})
    loader = importlib.util.find_spec("mod").loader
    for method in ("get_filename", "get_resource_reader", "load_module"):
        if not (method == "load_module" and sys.version_info >= (3, 15)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                assert (
                    repr(getattr(loader, method)()).partition(" object")[0]
                    == repr(getattr(loader, method)("mod")).partition(" object")[0]
                )
            with pytest.raises(ImportError, match="cannot handle other"):
                getattr(loader, method)("other")
    assert hasattr(loader, "load_module") is (sys.version_info < (3, 15))
