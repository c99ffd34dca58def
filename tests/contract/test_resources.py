"""Resources, metadata and listings of every store are those of a folder."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import pkgutil
import stat
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest
from conftest import Place
from trees import Tree, write_tree

import archimport

PACKAGE = {
    "pkg": {
        "__init__.py": "",
        "data.txt": "grüße\r\n",
        "data.bin": b"\0\xff",
        "sub": {"deep.txt": "deep", "more": {"x.txt": "x"}},
        "child": {"__init__.py": "", "own.txt": "own"},
    }
}
DIST = {
    "demo_dist-1.2.dist-info": {
        "METADATA": "Metadata-Version: 2.1\nName: Demo.Dist\nVersion: 1.2\nRequires-Dist: click>=8\n",
        "RECORD": "demo_mod.py,,\ndemo_dist-1.2.dist-info/METADATA,,\ndemo_dist-1.2.dist-info/RECORD,,\n",
        "entry_points.txt": "[console_scripts]\ndemo = demo_mod:main\n\n[demo.group]\nplug = demo_mod\n",
    },
    "demo_mod.py": "def main():\n    return 5\n",
}


def test_read(place: Place) -> None:
    place.add(PACKAGE)
    root = files("pkg")
    assert root.joinpath("data.txt").read_text(encoding="utf-8") == "grüße\n"
    assert (root / "data.bin").read_bytes() == b"\0\xff"
    assert root.joinpath("sub", "deep.txt").read_text(encoding="utf-8") == "deep"
    assert root.joinpath("sub/more/x.txt").read_text(encoding="utf-8") == "x"
    with root.joinpath("data.txt").open(encoding="utf-8") as stream:
        assert stream.read() == "grüße\n"
    with root.joinpath("data.bin").open("rb") as binary:
        assert binary.read(1) == b"\0"
    assert files("pkg.child").joinpath("own.txt").read_text(encoding="utf-8") == "own"


def test_tree(place: Place) -> None:
    place.add(PACKAGE)
    root = files("pkg")
    seen = {child.name: child.is_dir() for child in root.iterdir() if child.name != "__pycache__"}
    assert seen == {"__init__.py": False, "data.bin": False, "data.txt": False, "sub": True, "child": True}
    assert root.is_dir() and not root.is_file()
    missing = root.joinpath("absent", "more.txt")
    assert not missing.is_file() and not missing.is_dir()
    with pytest.raises(FileNotFoundError):
        missing.read_bytes()
    with pytest.raises((IsADirectoryError, PermissionError)):
        root.joinpath("sub").read_bytes()


def test_as_file(place: Place) -> None:
    place.add(PACKAGE)
    with as_file(files("pkg").joinpath("data.bin")) as path:
        assert path.read_bytes() == b"\0\xff"
        assert path.name == "data.bin"
    with as_file(files("pkg").joinpath("sub")) as folder:
        assert folder.name == "sub"
        assert (folder / "more" / "x.txt").read_text() == "x"


def test_paths_of_a_store(store_place: Place) -> None:
    entry = store_place.add(PACKAGE)
    path = files("pkg").joinpath("sub", "deep.txt")
    real = PurePosixPath(str(path))
    assert str(path) == f"{entry}/pkg/sub/deep.txt"
    assert (path.name, path.stem, path.suffix) == (real.name, real.stem, real.suffix)
    assert str(path.parent) == f"{entry}/pkg/sub"
    assert path.parent <= path and path >= path.parent and path > path.parent
    assert path == files("pkg") / "sub" / "deep.txt" and len({path, files("pkg") / "sub/deep.txt"}) == 1
    for outside in (path.joinpath("../../../../etc/passwd"), path / "/etc/passwd"):
        assert not (outside.exists() or outside.is_file() or outside.is_dir())
        with pytest.raises(FileNotFoundError):
            outside.read_bytes()
    assert path / f"{entry}/pkg/data.bin" == files("pkg") / "data.bin"
    assert [str(path / "/etc"), str(path / "/etc" / "passwd")] == ["/etc", "/etc/passwd"]
    folder, name = os.path.split(entry)
    outside = files("pkg") / ".." / ".."
    assert (str(outside), outside / name / "pkg" / "data.bin") == (folder, files("pkg") / "data.bin")
    for wrong in (None, 5, b"data.bin"):
        with pytest.raises(TypeError):
            path.joinpath(wrong)
    with pytest.raises(TypeError):
        assert path < str(path)
    assert path.relative_to(f"{entry}/pkg") == PurePosixPath("sub/deep.txt")
    with pytest.raises(ValueError, match="encoding"):
        path.open("rb", encoding="utf-8")
    with pytest.raises(ValueError, match="reading only"):
        path.open("w")


LISTED = {
    "listed": {
        "__init__.py": "",
        ".hidden.txt": "",
        "A.TXT": "",
        "a": {"b": {"a": {"deep.tar.gz": ""}, "y.txt": ""}, "x.txt": "x"},
        "b[1].txt": "",
        "z.txt": "",
    }
}
PATTERNS = [
    "*", "*.txt", "*.TXT", "?", "??", "[ab]", "[!a]*", "[", "b[[]1].txt", "b[1].txt", ".*", "a", "a/", "a/b/y.txt",
    "z.txt/", "*/", "*/*", "a/*/y.*", "./*", "a//*", "nope", "nope/*", "z.txt/*", "**/", "**/*", "**/*.txt", "**/a",
    "**/a/*", "a/**/", "a/**/*.gz", "**/b/**/*.txt", "**/*/", "**/**/a/*",
]  # fmt: skip
#: Patterns that match directories alone before Python 3.13, or are refused there.
NEWER_PATTERNS = ["**", "a/**", "**/a/**", "**/**", "a**", "***", "**/a**"]


def found_by(path: Path, method: str, pattern: str) -> list[str]:
    """Give what a method finds, from the path on."""
    found = sorted(str(child)[len(str(path)) :] for child in getattr(path, method)(pattern))
    return [name for name in found if "__pycache__" not in name]


@pytest.mark.parametrize("method", ["glob", "rglob"])
def test_patterns(store_place: Place, tmp_path: Path, method: str) -> None:
    oracle = write_tree(LISTED, tmp_path / "directory") / "listed"
    store_place.add(LISTED)
    patterns = PATTERNS + (NEWER_PATTERNS if sys.version_info >= (3, 13) else [])
    for pattern in (*patterns, Path("a", "*")):
        expected = set(found_by(oracle, method, str(pattern)))  # pathlib finds some twice
        assert found_by(files("listed"), method, pattern) == sorted(expected), pattern
    for nowhere in ("nope", "z.txt"):
        assert not [*getattr(files("listed") / nowhere, method)("**/*")]


def test_patterns_of_python_3_13(store_place: Place) -> None:
    store_place.add(LISTED)
    everything = {"/.hidden.txt", "/A.TXT", "/__init__.py", "/a", "/a/b", "/a/b/a", "/a/b/a/deep.tar.gz", "/a/b/y.txt",
                  "/a/x.txt", "/b[1].txt", "/z.txt"}  # fmt: skip
    assert set(found_by(files("listed"), "glob", "**")) == everything | {""}
    assert set(found_by(files("listed"), "glob", "a/**")) == {name for name in everything if name.startswith("/a")}
    assert set(found_by(files("listed"), "rglob", "a**")) == {"/a", "/a/b/a"}
    assert set(found_by(files("listed"), "rglob", "")) == {"", "/a", "/a/b", "/a/b/a"}


@pytest.mark.parametrize("method", ["glob", "rglob"])
def test_patterns_that_are_refused(place: Place, method: str) -> None:
    place.add(LISTED)
    root = files("listed")
    with pytest.raises(NotImplementedError, match="relative"):
        [*getattr(root, method)("/x")]
    with pytest.raises(ValueError, match=r"(?i)pattern"):
        [*root.glob("")]
    if not place.is_directory:
        with pytest.raises(TypeError):
            getattr(root, method)(None)


@pytest.mark.parametrize("name", ["a/b/a/deep.tar.gz", "a", ".hidden.txt", "A.TXT", "b[1].txt", "none.", "a..b", "."])
def test_parts_of_a_path(store_place: Place, tmp_path: Path, name: str) -> None:
    entry = store_place.add(LISTED)
    path, real = files("listed") / name, Path(entry, "listed", name)
    for part in ("name", "stem", "suffix", "suffixes"):
        assert getattr(path, part) == getattr(real, part), part
    for pattern in ("*.gz", "a/*", "*/b/a/*", "*.txt", "?", str(real), f"{entry}/*/a", "/*"):
        assert path.match(pattern) == real.match(pattern), pattern
    assert [str(parent) for parent in (path.parent, *path.parents)] == [*map(str, (real.parent, *real.parents))]
    assert path.parent == path.parents[0] and path.filename == real
    assert (path.parent / path.name).exists() == path.exists()
    assert not path.is_symlink()


def test_stat_of_a_resource(place: Place) -> None:
    place.add(LISTED)
    root = files("listed")
    whole, empty = (root / "a" / "x.txt").stat(), (root / "z.txt").stat()
    assert (whole.st_size, empty.st_size) == (1, 0)
    assert stat.S_ISREG(whole.st_mode) and stat.S_ISDIR((root / "a").stat().st_mode)
    assert whole.st_mode & 0o444 == 0o444 and (root / "a").stat().st_mode & 0o555 == 0o555
    assert whole.st_mtime_ns // 10**9 == int(whole.st_mtime) == whole[stat.ST_MTIME]
    with pytest.raises(FileNotFoundError):
        (root / "nope").stat()


def test_old_functions(place: Place) -> None:
    place.add(PACKAGE)
    module = importlib.import_module("pkg")
    assert pkgutil.get_data("pkg", "sub/deep.txt") == b"deep"
    with pytest.raises(OSError):
        pkgutil.get_data("pkg", "absent")
    reader = module.__loader__.get_resource_reader("pkg")
    assert reader.files().joinpath("data.bin").read_bytes() == b"\0\xff"


def test_module_as_anchor(place: Place) -> None:
    if sys.version_info < (3, 12):
        pytest.skip("files() takes modules from Python 3.12")
    place.add({"lone.py": "", "lone.txt": "beside"})
    assert files("lone").joinpath("lone.txt").read_text(encoding="utf-8") == "beside"


def test_iter_modules(place: Place) -> None:
    entry = place.add(
        {
            "b.py": "",
            "a": {"__init__.py": ""},
            "space": {"x.py": ""},
            "c.pyc": b"",
            "b.pyc": b"",
            "__main__.py": "",
            "data.txt": "",
            "not.a.module.py": "",
            "__pycache__": {"z.cpython-311.pyc": b""},
        }
    )
    found = [(info.name, info.ispkg) for info in pkgutil.iter_modules([entry], "p.")]
    assert found == [("p.__main__", False), ("p.a", True), ("p.b", False), ("p.c", False)]


def test_walk_packages(place: Place) -> None:
    entry = place.add({"walked": {"__init__.py": "", "m.py": "", "sub": {"__init__.py": "", "n.py": ""}}})
    assert {info.name for info in pkgutil.walk_packages([entry])} == {
        "walked", "walked.m", "walked.sub", "walked.sub.n",
    }  # fmt: skip


def test_discover(place: Place) -> None:
    finder = pkgutil.get_importer(
        place.add({"b.py": "", "a": {"__init__.py": ""}, "space": {"x.py": ""}, "data.txt": ""})
    )
    if sys.version_info < (3, 15) and place.is_directory:
        pytest.skip("finders discover from Python 3.15")
    found = {spec.name: spec.loader is not None for spec in finder.discover()}
    assert found == {"a": True, "b": True, "space": False}
    parent = importlib.util.find_spec("a")
    inside = pkgutil.get_importer(parent.submodule_search_locations[0]).discover(parent)
    assert [spec.name for spec in inside] == ["a.__init__"]
    with pytest.raises(ValueError, match="not a package"):
        list(finder.discover(importlib.util.find_spec("b")))


def test_distribution(place: Place) -> None:
    place.add(DIST)
    assert metadata.version("demo-dist") == "1.2"
    assert metadata.metadata("DEMO_dist")["Name"] == "Demo.Dist"
    assert metadata.requires("demo.dist") == ["click>=8"]
    listed = metadata.files("demo-dist")
    assert listed is not None
    assert [str(file) for file in listed] == [
        "demo_mod.py",
        "demo_dist-1.2.dist-info/METADATA",
        "demo_dist-1.2.dist-info/RECORD",
    ]
    assert listed[0].read_text() == "def main():\n    return 5\n"
    (point,) = metadata.entry_points(group="demo.group")
    assert point.load() is importlib.import_module("demo_mod")
    assert metadata.packages_distributions()["demo_mod"] == ["Demo.Dist"]
    assert sum(dist.metadata["Name"] == "Demo.Dist" for dist in metadata.distributions()) == 1
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("demo")


def test_distributions_of_a_path(place: Place) -> None:
    entry = place.add(DIST)
    assert [dist.version for dist in metadata.distributions(path=[entry])] == ["1.2"]
    assert list(metadata.distributions(path=["/nowhere"])) == []


def test_as_file_path_is_real(store_place: Place) -> None:
    store_place.add(PACKAGE)
    with as_file(files("pkg") / "data.bin") as path:
        assert isinstance(path, Path) and path.exists()
    assert not path.exists()
    with pytest.raises(FileNotFoundError), as_file(files("pkg") / "absent"):
        pass


INFO = "Metadata-Version: 2.1\nName: odd\nVersion: 0.1\n"
RECORD = """foo.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,6
"odd,name.txt",,
gone.py,,
../outside.txt,,
pkg/deep.txt,,
odd-0.1.dist-info/RECORD,,
"""
INSTALLED = "../foo.py\n../pkg/deep.txt\n../odd,name.txt\nPKG-INFO\n../gone.py\n"
#: How distributions describe themselves, old and new, whole and not.
LAYOUTS: dict[str, Tree] = {
    "record": {"odd-0.1.dist-info": {"METADATA": INFO + "Requires-Dist: click>=8\n", "RECORD": RECORD}},
    "no-record": {"odd-0.1.dist-info": {"METADATA": INFO, "top_level.txt": "foo\n"}},
    "empty-record": {"odd-0.1.dist-info": {"METADATA": INFO, "RECORD": ""}},
    "entry-points": {
        "odd-0.1.dist-info": {"METADATA": INFO, "entry_points.txt": "[demo]\na = foo:x\nb = foo:y [extra]\n"}
    },
    "editable": {
        "odd-0.1.dist-info": {
            "METADATA": INFO,
            "direct_url.json": '{"url": "file:///src", "dir_info": {"editable": true}}',
        }
    },
    "installed-files": {"odd-0.1.egg-info": {"PKG-INFO": INFO, "installed-files.txt": INSTALLED}},
    "installed-outside": {
        "odd-0.1.egg-info": {"PKG-INFO": INFO, "installed-files.txt": "../foo.py\n../../../bin/odd\n"}
    },
    "sources": {
        "odd-0.1.egg-info": {
            "PKG-INFO": INFO,
            "SOURCES.txt": "setup.py\nfoo.py\npkg/deep.txt\n",
            "requires.txt": "click>=8\n\n[extra]\nrich\n",
            "top_level.txt": "foo\n",
        }
    },
    "nothing-but-info": {"odd.egg-info": {"PKG-INFO": INFO}},
    "single-file": {"odd-0.1-py3.11.egg-info": INFO + "Requires: click\n"},
    "no-metadata": {"odd-0.1.dist-info": {"RECORD": RECORD}},
    "nameless": {"odd-0.1.dist-info": {"METADATA": "Metadata-Version: 2.1\n", "RECORD": RECORD}},
    "latin-1": {"odd-0.1.dist-info": {"METADATA": INFO.encode() + b"Author: Andr\xe9\n", "RECORD": RECORD}},
}


def look_at_distribution(reader: ModuleType, entry: str) -> dict[str, object]:
    """Give all that a distribution tells of itself, without the path entry that it lies in."""
    (dist,) = reader.distributions(path=[entry])

    def look(answer: Callable[[], object]) -> object:
        try:
            return answer()
        except Exception as exc:  # noqa: BLE001 - that of a directory is right
            return type(exc).__name__

    listed = look(lambda: [*dist.files]) if look(lambda: dist.files) is not None else None
    return {
        "names": [look(lambda name=name: getattr(dist, name)) for name in ("name", "version", "requires")],
        "points": look(lambda: sorted((point.name, point.value, point.group) for point in dist.entry_points)),
        "texts": [look(lambda name=name: dist.read_text(name)) for name in ("RECORD", "PKG-INFO", "none", ".", "a/b")],
        "origin": look(lambda: getattr(dist, "origin", None) and dist.origin.url),
        "files": listed if not isinstance(listed, list) else [
            (str(file), file.hash and (file.hash.mode, file.hash.value), file.size,
             look(file.read_text), look(file.read_binary), os.path.relpath(str(file.locate()), entry))
            for file in listed
        ],
        "place": os.path.relpath(dist.locate_file("pkg/deep.txt"), entry),
        "packages": look(lambda: {key: value for key, value in reader.packages_distributions().items() if "odd" in value}),
    }  # fmt: skip


@pytest.fixture(params=["importlib.metadata", "importlib_metadata"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the standard library's reader of metadata, and the backport, which takes that one's place."""
    monkeypatch.setattr(PathFinder, "find_distributions", vars(PathFinder)["find_distributions"])
    return importlib.import_module(request.param)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_metadata(store_place: Place, tmp_path: Path, layout: str, reader: ModuleType) -> None:
    tree = {**LAYOUTS[layout], "foo.py": "x = y\n", "odd,name.txt": "", "pkg": {"deep.txt": "é"}}
    path = sys.path[:]
    directory = str(write_tree(tree, tmp_path / "directory"))
    sys.path.insert(0, directory)
    expected = look_at_distribution(reader, directory)
    sys.path[:] = path
    assert look_at_distribution(reader, store_place.add(tree)) == expected


def test_metadata_of_an_egg(place: Place, reader: ModuleType) -> None:
    entry = place.add({"odd-0.1.egg": {"EGG-INFO": {"PKG-INFO": INFO, "SOURCES.txt": "foo.py\n"}, "foo.py": ""}})
    (dist,) = reader.distributions(path=[f"{entry}/odd-0.1.egg"])
    assert (dist.name, dist.version, [*map(str, dist.files)]) == ("odd", "0.1", ["foo.py"])


def test_paths_of_metadata_are_paths(place: Place) -> None:
    """`os.path` takes what `locate_file` returns; where that is no file, opening it is an OSError."""
    entry = place.add(DIST)
    located = metadata.distribution("demo-dist").locate_file("none.py")
    assert os.fspath(located) == f"{entry}/none.py"
    assert type(pickle.loads(pickle.dumps(located))) is type(located)
    with pytest.raises(OSError):
        Path(located).read_bytes()


def test_pickles(place: Place) -> None:
    """Paths, loaders and specs come back as they were: from a place, not from what a store holds open."""
    place.add(PACKAGE)
    module = importlib.import_module("pkg")
    for value in (files("pkg"), files("pkg") / "sub" / "deep.txt", module.__loader__, module.__spec__):
        for again in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
            assert again == value
    assert pickle.loads(pickle.dumps(files("pkg") / "data.bin")).read_bytes() == b"\0\xff"
    assert pickle.loads(pickle.dumps(module.__loader__)).get_code("pkg")


def test_distributions_come_in_the_order_of_the_path(store_place: Place, tmp_path: Path) -> None:
    older = {"demo_dist-0.9.dist-info": {"METADATA": "Metadata-Version: 2.1\nName: Demo.Dist\nVersion: 0.9\n"}}
    store_place.add(DIST)
    sys.path.insert(0, str(write_tree(older, tmp_path / "before")))
    assert metadata.version("demo-dist") == "0.9"
    sys.path.append(sys.path.pop(0))
    assert metadata.version("demo-dist") == "1.2"


def test_distribution_in_a_folder_of_a_store(store_place: Place) -> None:
    entry = store_place.add({"vendored": DIST})
    assert [dist.version for dist in metadata.distributions(path=[f"{entry}/vendored"])] == ["1.2"]


def test_uninstall_leaves_metadata_as_it_was(store_place: Place) -> None:
    original = metadata.FastPath.children
    entry = store_place.add(DIST)
    assert metadata.version("demo-dist") == "1.2"
    archimport.uninstall()
    assert metadata.FastPath.children is original
    assert archimport.runtime.hook.path_hook not in sys.path_hooks
    assert not [finder for finder in sys.path_importer_cache.values() if type(finder).__name__ == "StoreFinder"], entry


PORTION_ONE = {"space": {"one.txt": "1", "both.txt": "first", "sub": {"a.txt": "a"}, "clash": {"x.txt": "x"}}}
PORTION_TWO = {"space": {"two.txt": "2", "both.txt": "second", "sub": {"b.txt": "b"}, "clash": "a file"}}


def look_at_namespace() -> dict[str, object]:
    """Give all that is seen of the resources of the namespace package."""
    root = files("space")
    return {
        "names": sorted(child.name for child in root.iterdir()),
        "sub": sorted(child.name for child in (root / "sub").iterdir()),
        "both": root.joinpath("both.txt").read_text(encoding="utf-8"),
        "deep": root.joinpath("sub", "b.txt").read_bytes(),
        "missing": root.joinpath("absent.txt").is_file(),
        "kinds": (root.is_dir(), root.is_file(), root.joinpath("sub").is_dir(), root.joinpath("clash").is_dir()),
    }


EXPECTED_NAMESPACE = {
    "names": ["both.txt", "clash", "one.txt", "sub", "two.txt"],
    "sub": ["a.txt", "b.txt"],
    "both": "first",
    "deep": b"b",
    "missing": False,
    "kinds": (True, False, True, True),
}


def test_namespace_resources_of_two_stores(store_place: Place) -> None:
    store_place.add(PORTION_ONE)
    store_place.add(PORTION_TWO, position=1)
    assert look_at_namespace() == EXPECTED_NAMESPACE


@pytest.mark.parametrize("folder_first", [True, False])
def test_patterns_in_a_namespace(store_place: Place, tmp_path: Path, folder_first: bool) -> None:
    in_folder, in_store = (PORTION_ONE, PORTION_TWO) if folder_first else (PORTION_TWO, PORTION_ONE)
    store_place.add(in_store)
    sys.path.insert(0 if folder_first else 1, str(write_tree(in_folder, tmp_path / "folder")))
    root, merged = files("space"), files("space") / "sub"
    assert [child.name for child in root.glob("*.txt")] == ["both.txt", "one.txt", "two.txt"]
    assert [child.name for child in root.glob("*/")] == ["clash", "sub"]
    assert [child.name for child in root.rglob("[ab].txt")] == ["a.txt", "b.txt"]
    assert [child.name for child in root.glob("sub/**")] == ["sub", "a.txt", "b.txt"]
    assert next(root.glob("both.txt")).read_text(encoding="utf-8") == "first"
    assert (merged.stem, merged.suffix, merged.suffixes) == ("sub", "", [])
    assert merged.exists() and stat.S_ISDIR(merged.stat().st_mode) and not merged.is_symlink()


@pytest.mark.parametrize("folder_first", [True, False])
def test_namespace_resources_of_a_store_and_a_folder(store_place: Place, tmp_path: Path, folder_first: bool) -> None:
    in_folder, in_store = (PORTION_ONE, PORTION_TWO) if folder_first else (PORTION_TWO, PORTION_ONE)
    store_place.add(in_store)
    sys.path.insert(0 if folder_first else 1, str(write_tree(in_folder, tmp_path / "folder")))
    assert look_at_namespace() == EXPECTED_NAMESPACE


def test_namespace_resources_of_one_portion(place: Place) -> None:
    place.add(PORTION_ONE)
    root = files("space")
    assert root.joinpath("one.txt").read_text(encoding="utf-8") == "1"
    assert {child.name for child in root.iterdir()} == {"both.txt", "clash", "one.txt", "sub"}
    with pytest.raises(FileNotFoundError):
        root.joinpath("absent.txt").read_bytes()
    with as_file(root / "one.txt") as path:
        assert path.read_text() == "1"


def test_namespace_in_folders_is_left_to_the_standard_library(tmp_path: Path) -> None:
    archimport.install()
    sys.path.insert(0, str(write_tree(PORTION_ONE, tmp_path / "folder")))
    assert type(files("space")).__module__.startswith("importlib")
