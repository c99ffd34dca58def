"""Packages that find files by their place: which are found out, and what they are when they run."""

from __future__ import annotations

import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import build_zip
from trees import Tree, write_tree

import archimport
from archimport.bundle.store import BundleStore
from archimport.pack.build import pack
from archimport.pack.collect import collect
from archimport.pack.judge import Unpacking, judge
from archimport.pack.owners import owners_of
from archimport.pack.scan import scan
from archimport.runtime import extract, scratch
from archimport.runtime.digest import digest
from archimport.runtime.extract import package_in_cache
from archimport.runtime.unit import plan_of, unit_named

ROOT = str(Path(archimport.__file__).parents[1])
TREE: Tree = {
    "opens": {
        "__init__.py": "import os\nTEXT = open(os.path.join(os.path.dirname(__file__), 'data.txt')).read()\n",
        "data.txt": "by path",
        "sub": {"__init__.py": "x = 1\n", "mod.py": "from importlib.resources import files\n"},
    },
    "single.py": "import pathlib\nHERE = pathlib.Path(__file__)\n",
    "plain": {"__init__.py": "y = 2\n", "word.txt": "word"},
    "space": {"inner": {"__init__.py": "PLACE = __file__\n"}},
}
SUFFIXES = ["arc", "zip", "db"]


def run(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-c", f"import sys; sys.path.append({ROOT!r})\n{code}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**kept, **environment}, timeout=60)


@pytest.fixture(params=SUFFIXES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    out = tmp_path / f"x.{request.param}"
    packed = pack([write_tree(TREE, tmp_path / "root")], out)
    assert packed.unpacked == ["opens", "space/inner", "the root"]
    return out


CODE = """
import archimport, json, sys
archimport.mount(sys.argv[1])
import opens, opens.sub.mod, single, plain, space.inner
from importlib.resources import files
print(json.dumps([
    opens.TEXT, opens.__file__, opens.__path__[0], opens.sub.__file__, str(single.HERE), plain.__file__, space.inner.PLACE,
    files("opens").joinpath("data.txt").read_text(), files("plain").joinpath("word.txt").read_text(),
    opens.__spec__.origin, type(opens.__loader__).__mro__[2].__name__, opens.__cached__ if hasattr(opens, "__cached__") else "",
]))
"""


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in folder.rglob("*")}


def test_what_opens_files_is_unpacked_and_the_rest_is_not(store: Path) -> None:
    cache = Path(os.environ["XDG_CACHE_HOME"], "archimport")
    done = run(CODE, store)
    assert done.returncode == 0, done.stderr
    text, file, place, sub, single, plain, inner, read, word, origin, loader, _ = json.loads(done.stdout)
    assert (text, read, word) == ("by path", "by path", "word")
    unit = Path(file).parents[1]
    assert unit.parent == cache / "files"
    assert (file, origin, place) == (f"{unit}/opens/__init__.py", file, f"{unit}/opens")
    assert sub == f"{unit}/opens/sub/__init__.py"
    assert Path(single).is_relative_to(cache) and Path(inner).is_relative_to(cache)
    assert plain == f"{store}/plain/__init__.py"
    assert loader == "SourceFileLoader"
    before = files_below(cache)
    assert run(CODE, store).stdout == done.stdout
    assert files_below(cache) == before


def test_file_that_was_lost_comes_back(store: Path) -> None:
    done = run(CODE, store)
    (Path(json.loads(done.stdout)[1]).with_name("data.txt")).unlink()
    again = run(CODE, store)
    assert (again.stdout, again.stderr) == (done.stdout, "")


@pytest.mark.parametrize("has_cache", [True, False], ids=["cache", "no cache"])
def test_current_directory_that_was_deleted(store: Path, has_cache: bool, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "nothing").touch()
    environment = {} if has_cache else {"XDG_CACHE_HOME": str(tmp_path / "nothing")}
    leave = f"import os\nos.chdir({str(tmp_path / 'gone')!r})\nos.rmdir(os.getcwd())\n"
    done = run(leave + CODE, store, **environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0] == "by path"


def test_stores_share_what_is_the_same(tmp_path: Path) -> None:
    root = write_tree(TREE, tmp_path / "root")
    outs = [tmp_path / f"x.{suffix}" for suffix in SUFFIXES]
    for out in outs:
        pack([root], out)
    assert len({run(CODE, out).stdout.replace(out.suffix, "") for out in outs}) == 1
    units = [path for path in Path(os.environ["XDG_CACHE_HOME"], "archimport", "files").iterdir() if path.is_dir()]
    assert len(units) == 3


def test_killed_while_it_unpacks(tmp_path: Path) -> None:
    """At each thing that it asks of the system in turn; what it left is used and completed by the next start."""
    out = tmp_path / "x.arc"
    pack([write_tree({"opens": TREE["opens"]}, tmp_path / "root")], out)
    dying = """
import os, signal, sys
left = [int(sys.argv[2])]
def audit(event, arguments):
    if event in ("os.mkdir", "os.rename") or (event == "open" and "/files/" in str(arguments[0])):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
import archimport
archimport.mount(sys.argv[1])
import opens.sub.mod
"""
    check = "import archimport, sys; archimport.mount(sys.argv[1]); import opens.sub.mod; print(opens.TEXT)"
    cache = Path(os.environ["XDG_CACHE_HOME"], "archimport")
    for moment in range(80):
        shutil.rmtree(cache, ignore_errors=True)
        status = run(dying, out, moment).returncode
        again = run(check, out)
        assert again.stdout == "by path\n", again.stderr
        command = [sys.executable, "-m", "archimport", "cache", "verify"]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert 15 < moment < 79


BOOT = Path("/proc/sys/kernel/random/boot_id")


@pytest.mark.skipif(not BOOT.exists(), reason="nothing tells one start of this machine from another")
def test_power_that_fails(tmp_path: Path) -> None:
    """What was not on the disk is found out by the first start after it, and no other reads the files again.

    Where the file system kept the size of a file, nothing else shows what it lost.
    """
    out = tmp_path / "x.arc"
    pack([write_tree({"opens": TREE["opens"]}, tmp_path / "root")], out)
    code = "import archimport, sys; archimport.mount(sys.argv[1]); import opens; print(opens.TEXT)"
    assert run(code, out).stdout == "by path\n"
    (note,) = Path(os.environ["XDG_CACHE_HOME"], "archimport", "files").glob("*.complete")
    data = note.with_suffix("") / "opens" / "data.txt"
    assert note.read_text() == f"{BOOT.read_text().strip()}\tboot\n-\twhole\n"
    data.write_bytes(bytes(7))
    assert run(code, out).stdout == "\0" * 7 + "\n"
    note.write_text("the-one-before\tboot\n-\twhole\n")
    assert run(code, out).stdout == "by path\n"
    assert note.read_text() == "-\twhole\n"
    data.write_bytes(bytes(7))
    assert run(code, out).stdout == "\0" * 7 + "\n"


def test_verified_cache_is_not_read_again_on_other_machines(tmp_path: Path) -> None:
    out = tmp_path / "x.arc"
    pack([write_tree({"opens": TREE["opens"]}, tmp_path / "root")], out)
    run("import archimport, sys; archimport.mount(sys.argv[1]); import opens", out)
    (note,) = Path(os.environ["XDG_CACHE_HOME"], "archimport", "files").glob("*.complete")
    subprocess.run([sys.executable, "-m", "archimport", "cache", "verify"], check=True, capture_output=True)
    assert note.read_text() == "-\twhole\n"


def test_files_are_synced_where_nothing_tells_a_start_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.arc"
    pack([write_tree({"opens": TREE["opens"]}, tmp_path / "root")], out)
    store = BundleStore(str(out))
    (name,) = plan_of(store).unpacked.values()
    synced = []
    monkeypatch.setattr(extract.os, "sync", lambda: synced.append(1))
    package_in_cache(unit_named(store, name), lambda *_: None)
    (note,) = Path(os.environ["XDG_CACHE_HOME"], "archimport", "files").glob("*.complete")
    note.write_text("some\tboot\n-\twhole\n")
    monkeypatch.setattr(extract, "_boot", lambda: "")
    package_in_cache(unit_named(store, name), lambda *_: None)
    assert (note.read_text(), synced) == ("-\twhole\n", [1])


def test_unpacking_reads_each_block_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files() -> Tree:
        sources = {f"{n}.py": f"TEXT = '{os.urandom(10_000).hex()}'\n" for n in ("a", "b", "c", "x", "y", "z")}
        return {"__init__.py": "", **sources, **{f"{n:02}.txt": os.urandom(10_000).hex() for n in range(9)}}

    package = files() | {f"s{n}": files() for n in range(4)}
    package["__init__.py"] = "import os\nTEXT = open(os.path.join(os.path.dirname(__file__), '00.txt')).read()\n"
    out = tmp_path / "x.arc"
    pack([write_tree({"opens": package}, tmp_path / "root")], out)
    store = BundleStore(str(out))
    (name,) = set(plan_of(store).unpacked.values())
    unit = unit_named(store, name)
    blocks = {store.lookup(path).handle.block for path in unit.files}
    read = []
    load = BundleStore._load_block
    monkeypatch.setattr(BundleStore, "_load_block", lambda *at: read.append(at[1]) or load(*at))
    package_in_cache(unit, lambda *_: None)
    assert len(blocks) > 10
    assert sorted(number for number in read if number in blocks) == sorted(blocks)


def test_programs_stay_programs(tmp_path: Path) -> None:
    source = "import os, subprocess\nsubprocess.run([os.path.join(os.path.dirname(__file__), 'say.sh')], check=True)\n"
    root = write_tree({"says": {"__init__.py": source, "say.sh": "#!/bin/sh\necho said\n"}}, tmp_path / "root")
    (root / "says" / "say.sh").chmod(0o755)
    pack([root], tmp_path / "x.arc")
    done = run("import archimport; archimport.mount(sys.argv[1]); import says", tmp_path / "x.arc")
    assert (done.stdout, done.returncode) == ("said\n", 0), done.stderr


def test_list_of_a_unit_that_is_no_text(tmp_path: Path) -> None:
    text = b"\xff\xfe"
    name = digest(text).hex()
    tree = {"opens": {"__init__.py": ""}, ".archimport": {"plan": f"unpacked\topens\t{name}\n", "unit": {name: text}}}
    with (
        archimport.mount(build_zip(tree, tmp_path / "x")),
        pytest.raises(archimport.FormatError, match="list of a unit"),
    ):
        importlib.import_module("opens")


def test_folder_that_is_swept_before_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another process does, which also sweeps what this one is about to look at."""
    made: list[str] = []

    def mkdtemp(prefix: str) -> str:
        made.append(str(tmp_path / f"{prefix}{len(made)}"))
        if len(made) > 1:
            os.mkdir(made[-1])
        return made[-1]

    monkeypatch.setattr(scratch, "_folders", [])
    monkeypatch.setattr(scratch, "tempfile", SimpleNamespace(mkdtemp=mkdtemp))
    os.mkfifo(tmp_path / f"{scratch._PREFIX}pipe")  # to open it would be to wait
    monkeypatch.setattr(scratch.os, "listdir", lambda parent: [f"{scratch._PREFIX}{name}" for name in ("gone", "pipe")])
    assert scratch.scratch_folder("unit") == f"{made[1]}/unit"


def test_without_a_cache_it_is_unpacked_for_this_process(store: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "cache").touch()
    done = run(CODE, store, XDG_CACHE_HOME=str(tmp_path / "cache"), TMPDIR=str(scratch))
    assert done.returncode == 0, done.stderr
    text, file, *_ = json.loads(done.stdout)
    assert text == "by path" and Path(file).is_relative_to(scratch)
    assert list(scratch.iterdir()) == []


def test_disk_that_is_full(store: Path, tmp_path: Path) -> None:
    """What does not fit into the cache goes elsewhere, though its place was planned."""
    code = f"""
import errno, os
import archimport.runtime.extract as extract
def full(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")
original = extract.atomic.replace_file
extract.atomic = type(extract)("atomic")
extract.atomic.replace_file = lambda path, *rest, **options: full() if "/files/" in path else original(path, *rest, **options)
{CODE}
"""
    done = run(code, store, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    text, file, place, *_, origin, _, _ = json.loads(done.stdout)
    assert text == "by path" and origin == file == f"{place}/__init__.py"
    assert Path(file).is_relative_to(tmp_path) and not Path(file).exists()


def test_nowhere_to_unpack_to(store: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    code = f"import tempfile; tempfile.tempdir = {str(tmp_path / 'cache')!r}\n{CODE}"
    done = run(code, store, XDG_CACHE_HOME=str(tmp_path / "cache"))
    last = done.stderr.splitlines()[-1]
    assert last.startswith("archimport.runtime.errors.ConfigError: a package cannot be unpacked: not in the cache (")
    assert "not in a temporary folder (Not a directory)" in last and "XDG_CACHE_HOME" in last


def test_damage_is_no_package(tmp_path: Path) -> None:
    """A member that was exchanged since the store was packed is not unpacked."""
    out = tmp_path / "x.zip"
    pack([write_tree(TREE, tmp_path / "root")], out)
    archimport.mount(out, writable=True).store.write("opens/data.txt", b"evil")
    done = run(CODE, out)
    assert "IntegrityError: member differs from its unit" in done.stderr
    assert "opens/data.txt" in done.stderr


def test_loaders_unpack_when_they_are_asked(store: Path) -> None:
    """importlib.util.find_spec is enough for reading, without an import."""
    code = """
import archimport, importlib.util, sys
archimport.mount(sys.argv[1])
loader = importlib.util.find_spec("opens").loader
print("data.txt" in loader.get_source("opens"), loader.get_code("opens").co_filename == loader.get_filename("opens"))
print(loader.get_resource_reader("opens").files().joinpath("data.txt").read_text())
"""
    assert run(code, store).stdout == "True True\nby path\n"


def test_options(tmp_path: Path) -> None:
    root = write_tree(TREE, tmp_path / "root")
    packed = pack([root], tmp_path / "x.arc", unpack=["pl*"], no_unpack=["opens", "space"])
    assert packed.unpacked == ["plain", "the root"]
    with pytest.raises(archimport.PackError, match="say one of the two"):
        pack([root], tmp_path / "x.arc", unpack=["plain"], no_unpack=["plain"])
    for option in ("unpack", "no_unpack"):
        with pytest.raises(archimport.PackError, match="nothing that is packed is called 'absent'"):
            pack([root], tmp_path / "x.arc", **{option: ["absent"]})


def test_why(tmp_path: Path) -> None:
    pack([write_tree(TREE, tmp_path / "root")], tmp_path / "x.arc")

    def why(module: str) -> dict[str, str]:
        command = [sys.executable, "-m", "archimport", "why", "--json", str(tmp_path / "x.arc"), module]
        return dict(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))

    assert why("opens.sub")["reason"] == "finds files by __file__: opens/__init__.py:2"
    assert why("opens.sub")["decision"] == "unpacked"
    assert why("plain")["reason"] == "nothing in its source finds files by path"
    assert why("space")["member"] == "space/ (namespace)"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("open(__file__)", 1),
        ("import os\nHERE = os.path.dirname(__file__)", 2),
        ("def f():\n    return list(__path__)", 2),
        ("from flask import Flask\napp = Flask(__name__)", 2),
        ("import jinja2\njinja2.PackageLoader('acme', 'views')", 2),
        ("bp = Blueprint('x', __name__, template_folder='t')", 1),
        ("import pkgutil\n__path__ = pkgutil.extend_path(__path__, __name__)", None),
        ("for m in pkgutil.iter_modules(__path__): pass", None),
        ("if __name__ == '__main__':\n    print(__file__)", None),
        ("if frame.f_code.co_filename == __file__: pass", None),
        ("# __file__ is not used", None),
        ("'__file__'", None),
        ("__file__ = 'mine'", None),
        ("print 'python 2', __file__", None),
        ("Flask('name of my own')", 1),
        ("from importlib.resources import files\nfiles(__name__)", None),
        ("import os, acme\nos.path.dirname(acme.__file__)", 2),
        ("import os, other\nos.path.dirname(other.__file__)", None),
        ("import sys\nopen(sys.modules[__name__].__file__)", 2),
        ("app = Flask(import_name=__name__, template_folder='views')", 1),
        ("app = Flask(__name__.split('.')[0])", 1),
        ("assert CDLL(__file__[:-3] + '.so').version() >= 3", 1),
        ("if __name__ != '__main__':\n    open(__file__)", 2),
        ("print('I am', __file__, f'in {__file__}')", None),
        ("print(open(__file__).read())", 1),
        ("table.add_row('this module', __file__)", None),
        ("logger.info(__file__)", None),
        ("self.info(__file__)", 1),
        ("if __name__ == 'acme.conf':\n    open(__file__)", 2),
        ("import acme\nopen(acme.__path__[0])", 2),
        ("open(f'{__file__}.txt')", 1),
        ("os.path.dirname(inspect.getfile(inspect.currentframe()))", 1),
        ("print(inspect.getfile(type(error)))", None),
        ("import os\nos.path.dirname(__spec__.origin)", 2),
        ("import os\nHERE = __spec__.parent", None),
        ("pkg_resources.resource_filename('acme', 'data')", 1),
        ("pkg_resources.resource_string('acme', 'data')", None),
    ],
)
def test_scan(source: str, found: int | None) -> None:
    finding = scan(source.encode(), ["acme"])
    assert (finding.line if finding else None) == found


@pytest.mark.parametrize(
    ("source", "height"),
    [
        ("open(__file__)", 1),
        ("os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data')", 1),
        ("Path(__file__).with_name('data')", 1),
        ("Path(__file__).resolve().parent / 'data'", 1),
        ("dirname(dirname(__file__))", 2),
        ("Path(__file__).parent.parent", 2),
        ("HERE = Path(__file__)\nopen(HERE.parent / 'data')", 1),
        ("HERE = Path(__file__).parent\nUP = HERE.parent\nopen(UP / 'data')", 2),
        ("print(os.path.exists(dirname(__file__)))", 1),
        ("Path(__file__).parents[2]", None),
        ("HERE = dirname(__file__)\nopen(join(HERE, '..', 'data'))", None),
        ("open(join(dirname(__file__), '../data'))", None),
        ("open(join(dirname(__file__), os.pardir))", None),
        ("Path(__file__).joinpath('..', 'data')", None),
        ("os.path.split(os.path.split(__file__)[0])[0]", None),
        ("__file__.rsplit('/', 2)[0]", None),
        ("__file__.replace('sub/mod.py', 'data')", None),
        ("from os.path import dirname as d\nopen(d(d(__file__)))", None),
        ("up = os.path.dirname\nopen(up(up(__file__)))", None),
        ("p = __file__\nwhile p:\n    p, _ = os.path.split(p)", None),
        ("p = __file__\nfor _ in range(3):\n    p = dirname(p)\nopen(p)", None),
        ("p = abspath(__file__)\nos.sep.join(p.split(os.sep)[:-3])", None),
        ("Path(*Path(__file__).parts[:-3])", None),
        ("def resource(name):\n    return join(dirname(__file__), name)", None),
        ("def root():\n    return dirname(__file__)", None),
        ("f'{dirname(__file__)}/x'", None),
        ("dirname(__file__)\nlist(__path__)", None),
        ("__spec__.submodule_search_locations = []", None),
    ],
)
def test_how_far_up_a_source_looks(source: str, height: int | None) -> None:
    finding = scan(source.encode())
    assert (finding.height.folders if finding and finding.height else None) == height


@pytest.mark.parametrize(
    ("other", "whole"),
    [
        ("from acme.conf import HERE\nopen(HERE + '/../data.txt')", True),
        ("import acme.conf as c\nopen(dirname(c.HERE))", True),
        ("from acme.conf import other", False),
        ("HERE = 'my own'", False),
    ],
)
def test_place_that_others_take_up(tmp_path: Path, other: str, whole: bool) -> None:
    conf = "import os\nHERE = os.path.dirname(__file__)\nDATA = open(os.path.join(HERE, 'x.txt'))\n"
    tree = {"__init__.py": "", "conf": {"__init__.py": conf, "x.txt": ""}, "other.py": other}
    files = collect([write_tree({"acme": tree}, tmp_path / "r")])
    unpacked = [decision.owner for decision in judge(owners_of(files), files, Unpacking()) if decision.unpack]
    assert unpacked == ["acme" if whole else "acme/conf"]
    for asked, found in ((Unpacking(packed=["acme/conf"]), []), (Unpacking(unpacked=["acme/conf"]), ["acme/conf"])):
        if not whole:
            assert [d.owner for d in judge(owners_of(files), files, asked) if d.unpack] == found


def test_package_that_is_unpacked_by_itself(tmp_path: Path) -> None:
    """The distribution's other packages stay packed; what is below the one that opens files is unpacked with it."""
    tree = {
        "acme": {
            "__init__.py": "",
            "plain.py": "from acme.deep.data import opened\n",
            "deep": {
                "__init__.py": "",
                "other.py": "",
                "data": {
                    "__init__.py": "from acme.deep.data import part\nopened = part.opened\n",
                    "part.py": (
                        "import os\nhere = os.path.dirname(__file__)\n"
                        "opened = open(os.path.join(here, 'inner', 'x.txt')).read()\n"
                    ),
                    "inner": {"__init__.py": "", "x.txt": "found", "mod.py": "place = __file__\n"},
                },
            },
        }
    }
    store = tmp_path / "x.arc"
    packed = pack([write_tree(tree, tmp_path / "tree")], store)
    assert packed.unpacked == ["acme/deep/data"]
    code = """
import archimport, sys
archimport.mount(sys.argv[1])
import acme.plain, acme.deep.other, acme.deep.data.inner.mod as mod
print(acme.plain.opened, mod.place[:-3], acme.deep.other.__file__)
"""
    done = run(code, store)
    opened, place, packed_file = done.stdout.split()
    assert opened == "found", done.stderr
    assert place.endswith("/acme/deep/data/inner/mod")
    assert os.path.isfile(f"{place}.py")
    assert not (Path(place).parents[2] / "other.py").exists()
    assert packed_file == f"{store}/acme/deep/other.py"


def test_folders_that_frameworks_look_into(tmp_path: Path) -> None:
    tree = {
        "site1": {"__init__.py": "", "templates": {"page.html": ""}},
        "site2": {"__init__.py": "", "pages": {"page.html": ""}},
        "site3": {"__init__.py": "", "tests": {"templates": {"page.html": ""}, "t.py": "open(__file__)"}},
        "templates": {"__init__.py": ""},
        "testing": {"__init__.py": "open(__file__)"},
    }
    root = write_tree(tree, tmp_path / "root")
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    decided = {decision.owner: decision.unpack for decision in judge(owners_of(files), files, Unpacking())}
    assert decided == {"site1": True, "site2": False, "site3": False, "templates": False, "testing": True}


def test_distributions_are_judged_as_a_whole(tmp_path: Path) -> None:
    record = "one.py,,\ntwo/__init__.py,,\nspace/part/__init__.py,,\nAcme_Tools-1.0.dist-info/RECORD,,\n"
    tree = {
        "one.py": "open(__file__)",
        "two": {"__init__.py": ""},
        "space": {"part": {"__init__.py": ""}},
        "Acme_Tools-1.0.dist-info": {
            "RECORD": record,
            "METADATA": "Metadata-Version: 2.1\nName: Acme_Tools\nVersion: 1.0\n",
        },
        "other.py": "",
    }
    packed = pack([write_tree(tree, tmp_path / "root")], tmp_path / "x.arc")
    assert packed.unpacked == ["acme-tools"]
    code = "import archimport, sys; archimport.mount(sys.argv[1]); import one, two, space.part, other, importlib.metadata as m\n"
    code += "print(len({p.split('/files/')[-1][:64] for p in (one.__file__, two.__file__, space.part.__file__)}), other.__file__, m.version('acme-tools'))"
    done = run(code, tmp_path / "x.arc")
    assert done.stdout == f"1 {tmp_path}/x.arc/other.py 1.0\n", done.stderr


def test_files_beside_a_module_at_the_root(tmp_path: Path) -> None:
    tree = {
        "app.py": "from pathlib import Path\nHERE = Path(__file__).parent\n\n\ndef main():\n    print((HERE / 'config.toml').read_text(), (HERE / 'templates' / 'i.html').read_text())\n",
        "config.toml": "config",
        "templates": {"i.html": "page"},
    }
    pack([write_tree(tree, tmp_path / "root")], tmp_path / "x.arc", entry="app:main")
    done = subprocess.run([sys.executable, tmp_path / "x.arc"], capture_output=True, text=True, check=False)
    assert done.stdout == "config page\n", done.stderr


def test_package_that_two_distributions_share(tmp_path: Path) -> None:
    tree = {
        "pkg": {"__init__.py": "open(__file__).close()\n", "plugins": {"__init__.py": "", "extra.py": "x = 1\n"}},
        "a-1.dist-info": {
            "RECORD": "pkg/__init__.py,,\npkg/plugins/__init__.py,,\n",
            "METADATA": "Name: a\nVersion: 1\n",
        },
        "b-1.dist-info": {"RECORD": "pkg/plugins/extra.py,,\n", "METADATA": "Name: b\nVersion: 1\n"},
    }
    assert pack([write_tree(tree, tmp_path / "root")], tmp_path / "x.arc").unpacked == ["a", "b"]
    done = run(
        "import archimport, sys; archimport.mount(sys.argv[1]); import pkg.plugins.extra as e; print(e.x)",
        tmp_path / "x.arc",
    )
    assert done.stdout == "1\n", done.stderr


def test_unpacked_main(tmp_path: Path) -> None:
    tree = {"__main__.py": "import os\nprint(os.path.isfile(__file__), __name__)\n"}
    pack([write_tree(tree, tmp_path / "root")], tmp_path / "x.arc")
    for command in ([tmp_path / "x.arc"], ["-m", "archimport", "run", tmp_path / "x.arc"]):
        done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
        assert done.stdout == "True __main__\n", done.stderr


def test_extract_gives_the_tree_that_was_packed(tmp_path: Path) -> None:
    """A debugger can be pointed at it, and it can be packed again."""
    root, out, tree = write_tree(TREE, tmp_path / "root"), tmp_path / "x.arc", tmp_path / "tree"
    pack([root], out)
    subprocess.run(
        [sys.executable, "-m", "archimport", "extract", str(out), str(tree)], check=True, capture_output=True
    )
    found = {
        path.relative_to(tree).as_posix()
        for path in tree.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    (tree / ".archimport").mkdir()
    (tree / ".archimport" / "plan").write_text("of another store")
    pack([tree], tmp_path / "y.arc")
    assert (tmp_path / "y.arc").read_bytes() == out.read_bytes()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_for_terminals(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from archimport.runtime import progress

    now, said = [0.0], io.StringIO()
    said.isatty = lambda: is_terminal  # type: ignore[method-assign]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", said)
    line = progress.Progress("unpacking acme")
    for done in range(3):
        line(done, 3)
        now[0] += 0.8
    line.end()
    assert said.getvalue() == ("\r\033[Kunpacking acme: 2 of 3 files\r\033[K" if is_terminal else "")


OPENS = {
    "__init__.py": "import pathlib\nTEXT = pathlib.Path(__file__).with_name('data.txt').read_text()\n",
    "data.txt": "1",
}


def publish(database: Path, base: Path, tree: Tree) -> None:
    archimport.sql.publish(database, [write_tree(tree, base)])


def test_reload_of_what_is_unpacked(tmp_path: Path) -> None:
    """With its other files, and in the order of import; what a new release does not touch stays."""
    old = {**OPENS, "sub": {"__init__.py": "from opens import TEXT\nSEEN = TEXT\n"}}
    rest = {"user.py": "from opens.sub import SEEN\n", "single.py": TREE["single.py"]}
    publish(tmp_path / "x.db", tmp_path / "old", {"opens": old, **rest})
    mounted = archimport.mount(tmp_path / "x.db")
    user, single = importlib.import_module("user"), importlib.import_module("single")
    opens, sub = sys.modules["opens"], sys.modules["opens.sub"]
    file, here = opens.__file__, single.HERE
    publish(tmp_path / "x.db", tmp_path / "new", {"opens": {**old, "data.txt": "2"}, **rest})
    assert "opens/data.txt" in mounted.refresh(reload=True).changed
    assert (opens.TEXT, sub.SEEN, user.SEEN) == ("2", "2", "2")
    assert opens.__file__ != file
    assert sub.__file__ == f"{os.path.dirname(str(opens.__file__))}/sub/__init__.py"
    assert single.HERE is here


def test_reload_of_what_an_unpacked_package_imports_itself(tmp_path: Path) -> None:
    """It is finished, and stands in `sys.modules`, before the package is."""
    init = f"from opens.sub.leaf import VALUE\n{OPENS['__init__.py']}"
    for value in ("1", "2"):
        opens = {"__init__.py": init, "data.txt": value, "sub": {"__init__.py": "", "leaf.py": f"VALUE = {value}\n"}}
        publish(tmp_path / "x.db", tmp_path / value, {"opens": opens})
        if value == "1":
            mounted = archimport.mount(tmp_path / "x.db")
            package = importlib.import_module("opens")
    mounted.refresh(reload=True)
    assert (package.TEXT, package.VALUE, package.sub.leaf.VALUE) == ("2", 2, 2)
    assert package.sub.leaf.__file__ == f"{package.__path__[0]}/sub/leaf.py"


def test_reload_of_what_is_unpacked_that_fails(tmp_path: Path) -> None:
    publish(tmp_path / "x.db", tmp_path / "old", {"opens": {**OPENS, "sub.py": ""}})
    mounted = archimport.mount(tmp_path / "x.db")
    sub = importlib.import_module("opens.sub")
    package = sys.modules["opens"]
    before = [dict(vars(module)) for module in (package, sub)]
    bad = {**OPENS, "fresh.py": "", "sub.py": "import opens.fresh\nraise RuntimeError\n"}
    publish(tmp_path / "x.db", tmp_path / "new", {"opens": bad})
    with pytest.raises(RuntimeError):
        mounted.refresh(reload=True)
    assert [vars(module) for module in (package, sub)] == before
    assert "opens.fresh" not in sys.modules
    publish(tmp_path / "x.db", tmp_path / "good", {"opens": {**bad, "sub.py": "from opens import fresh\n"}})
    mounted.refresh(reload=True)
    assert sub.fresh.__file__ == f"{package.__path__[0]}/fresh.py"


def test_reload_of_what_is_unpacked_no_more(tmp_path: Path) -> None:
    publish(tmp_path / "x.db", tmp_path / "old", {"opens": {**OPENS, "sub.py": "x = 1\n"}})
    mounted = archimport.mount(tmp_path / "x.db")
    sub = importlib.import_module("opens.sub")
    publish(tmp_path / "x.db", tmp_path / "new", {"opens": {"__init__.py": "", "sub.py": "x = 2\n"}})
    mounted.refresh(reload=True)
    assert (sub.x, sub.__file__) == (2, f"{tmp_path / 'x.db'}/opens/sub.py")


def test_reload_of_what_is_unpacked_now(tmp_path: Path) -> None:
    publish(
        tmp_path / "x.db", tmp_path / "old", {"opens": {"__init__.py": "", "sub.py": "TEXT = ''\n", "data.txt": "1"}}
    )
    mounted = archimport.mount(tmp_path / "x.db")
    sub = importlib.import_module("opens.sub")
    new = {"__init__.py": "", "sub.py": OPENS["__init__.py"], "data.txt": "1"}
    publish(tmp_path / "x.db", tmp_path / "new", {"opens": new})
    mounted.refresh(reload=True)
    assert sub.TEXT == "1"
    assert sub.__file__ == f"{sys.modules['opens'].__path__[0]}/sub.py"
