"""`archimport.pack`: inputs, outputs, what runs, and what is refused."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from trees import write_tree

import archimport
from archimport.bundle.store import BundleStore
from archimport.pack import resolve
from archimport.pack.build import Packed, pack
from archimport.pack.collect import clean_site
from archimport.pack.support import supported_pythons
from archimport.pack.target import THIS_PYTHON, Target, find_interpreter
from archimport.zip import ZipStore

OTHER_PYTHONS = [python for python in ("3.11", "3.12", "3.13") if python != THIS_PYTHON and find_interpreter(python)]


def run(*command: object, python: str = sys.executable, **options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | options
    return subprocess.run([python, *map(str, command)], capture_output=True, text=True, check=False, env=environment)


def contents(path: Path) -> dict[str, bytes]:
    store = (BundleStore if path.suffix == ".arc" else ZipStore)(str(path))
    return {entry.path: store.read(entry) for entry in store.walk()}


@pytest.mark.parametrize("suffix", [".arc", ".zip"])
def test_plain_folder_is_a_root(tmp_path: Path, folder: Path, suffix: str) -> None:
    out = tmp_path / f"x{suffix}"
    packed = archimport.pack([folder], out)
    assert packed.unpacked == packed.source_only == []
    tag = f"cpython-{THIS_PYTHON.replace('.', '')}"
    names = {"greet/__init__.py", "greet/__main__.py", "greet/cli.py", "greet/word.txt"}
    names |= {f"greet/__pycache__/{stem}.{tag}.pyc" for stem in ("__init__", "__main__", "cli")}
    assert set(contents(out)) == names


@pytest.mark.parametrize("suffix", [".arc", ".zip"])
def test_function_entry(tmp_path: Path, project: Path, suffix: str) -> None:
    out = tmp_path / f"x{suffix}"
    packed = pack([project], out, script="greet")
    assert packed.entry == "greet.cli:main"
    for command in ([out, "a", "b"], ["-I", "-S", out, "a", "b"]):
        done = run(*command)
        assert (done.stdout, done.stderr, done.returncode) == ("hello a b\n", "", 3)
    direct = subprocess.run([out, "c"], capture_output=True, text=True, check=False)
    assert (direct.stdout, direct.returncode) == ("hello c\n", 3)


@pytest.mark.parametrize("suffix", [".arc", ".zip"])
@pytest.mark.parametrize(
    ("entry", "printed"),
    [("greet", "as main __main__ greet.__main__\n"), ("greet.cli:App.run", "dotted\n")],
    ids=["module", "dotted"],
)
def test_other_entries(tmp_path: Path, folder: Path, suffix: str, entry: str, printed: str) -> None:
    out = tmp_path / f"x{suffix}"
    pack([folder], out, entry=entry)
    assert run(out).stdout == printed


@pytest.mark.parametrize("suffix", [".arc", ".zip"])
def test_main_at_the_root(tmp_path: Path, suffix: str) -> None:
    root = write_tree(
        {"__main__.py": "import helper, sys\nprint(helper.x, __name__, sys.argv[1:])\n", "helper.py": "x = 1\n"},
        tmp_path / "r",
    )
    out = tmp_path / f"x{suffix}"
    assert pack([root], out).entry == "__main__"
    assert run(out, "arg").stdout == "1 __main__ ['arg']\n"


def test_project_keeps_its_metadata_and_nothing_of_this_machine(tmp_path: Path, project: Path) -> None:
    out = tmp_path / "x.arc"
    pack([project], out)
    found = contents(out)
    assert "greet-2.5.dist-info/METADATA" in found
    assert not [name for name in found if name.endswith(("direct_url.json", "INSTALLER", "REQUESTED"))]
    assert not [name for name in found if name.startswith("bin/")]
    assert all(str(tmp_path).encode() not in data and str(project).encode() not in data for data in found.values())
    with archimport.mount(out):
        assert importlib.metadata.version("greet") == "2.5"
        files = importlib.metadata.files("greet")
        assert files and all(file.locate().exists() for file in files)
        assert {str(file) for file in files} == {name for name in found if "__pycache__" not in name}


def test_wheel(tmp_path: Path, project: Path) -> None:
    done = run("-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, project)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    out = tmp_path / "x.arc"
    assert pack([wheel], out, script="greet").entry == "greet.cli:main"
    assert run(out).stdout == "hello\n"


@pytest.fixture(params=["pip", "uv"])
def resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let one resolver be the one that is there."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if request.param == "uv" and uv is None:
        pytest.skip("needs uv (pip install uv)")
    monkeypatch.setattr(
        resolve,
        "shutil",
        SimpleNamespace(which=lambda name: uv if request.param == "uv" else None, rmtree=shutil.rmtree),
    )
    return str(request.param)


def test_each_resolver_gives_the_same(tmp_path: Path, project: Path, resolver: str) -> None:
    packed = pack([project, "click"], tmp_path / "x.arc", script="greet")
    found = contents(tmp_path / "x.arc")
    assert THIS_PYTHON in packed.pythons
    assert {"greet/cli.py", "greet-2.5.dist-info/METADATA", "click/core.py"} <= set(found)
    assert [name for name in found if name.startswith(("bin/", "."))] == [".archimport/order"]
    record = found["greet-2.5.dist-info/RECORD"].decode()
    assert {row.partition(",")[0] for row in record.splitlines()} == {
        name for name in found if name.startswith("greet") and "__pycache__" not in name
    }


def test_each_resolver_says_what_is_wrong(tmp_path: Path, resolver: str) -> None:
    with pytest.raises(
        archimport.PackError, match=r"cannot resolve the requirements: .*archimport-does-not-exist"
    ) as caught:
        pack(["archimport-does-not-exist-xyz"], tmp_path / "x.arc")
    assert "\n" not in str(caught.value)
    broken = write_tree({"pyproject.toml": "[project]\nname = 'broken'\n"}, tmp_path / "broken")
    with pytest.raises(archimport.PackError, match="cannot build") as caught:
        pack([broken], tmp_path / "x.arc")
    assert "\n" not in str(caught.value)


def test_requirement_file(tmp_path: Path, project: Path) -> None:
    listing = tmp_path / "reqs.txt"
    listing.write_text(f"{project}\n")
    pack([], tmp_path / "x.arc", requirements=[listing])
    assert "greet/cli.py" in contents(tmp_path / "x.arc")


def test_what_an_earlier_build_left_is_not_packed(tmp_path: Path, resolver: str) -> None:
    stale = {"build": {"lib": {"pkg": {"gone.py": "x = 1\n"}}}}
    setup = "from setuptools import setup\nsetup(name='pkg', version='1', packages=['pkg'])\n"
    root = write_tree({"setup.py": setup, "pkg": {"__init__.py": ""}, **stale}, tmp_path / "root")
    pack([root], tmp_path / "x.arc")
    assert [name for name in contents(tmp_path / "x.arc") if name.endswith(".py")] == ["pkg/__init__.py"]
    assert [file.name for file in (root / "build").rglob("*.py")] == ["gone.py"]


def test_builds_do_not_mix(tmp_path: Path, resolver: str) -> None:
    roots = []
    for name in ("alpha", "beta"):
        setup = f"from setuptools import setup\nsetup(name='{name}', version='1', packages=['{name}'])\n"
        roots.append(write_tree({"setup.py": setup, name: {"__init__.py": ""}}, tmp_path / "100% $HOME ~" / name))
    wheels = resolve.build_projects(roots, tmp_path / "wheels")
    found = [[name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")] for wheel in wheels]
    assert found == [["alpha/__init__.py"], ["beta/__init__.py"]]
    assert not [path for root in roots for path in root.iterdir() if path.name.startswith(("build", ".archimport"))]


def test_editable_requirement_is_refused(tmp_path: Path, project: Path, resolver: str) -> None:
    listing = tmp_path / "reqs.txt"
    listing.write_text(f"-e {project}\n")
    with pytest.raises(archimport.PackError, match=r"is to be installed as editable \(leave out its line -e"):
        pack([], tmp_path / "x.arc", requirements=[listing])


def test_module_of_the_name_of_the_runtime_is_refused(tmp_path: Path) -> None:
    root = write_tree({"archimport.py": "mine = 1\n"}, tmp_path / "root")
    with pytest.raises(archimport.PackError, match="a module 'archimport' of their own"):
        pack([root], tmp_path / "x.arc")


@pytest.mark.parametrize("suffix", [".zip", ".db"])
def test_output_is_no_input_of_itself_through_a_link(tmp_path: Path, suffix: str) -> None:
    root = write_tree({"m.py": "x = 1\n"}, tmp_path / "real")
    link = tmp_path / "link"
    link.symlink_to(root)
    for folder, out in ((root, link / f"x{suffix}"), (link, root / f"x{suffix}"), (link, link / f"x{suffix}")):
        pack([folder], out)
        pack([folder], out)
        with archimport.mount(out) as mounted:
            assert [entry.path for entry in mounted.store.walk() if "__pycache__" not in entry.path] == ["m.py"]


def test_output_that_is_a_link_in_its_input_is_no_input(tmp_path: Path) -> None:
    root = write_tree({"m.py": "x = 1\n"}, tmp_path / "root")
    (root / "x.zip").symlink_to(root / "y.zip")
    (root / "y.zip").touch()
    for _ in range(2):
        pack([root], root / "x.zip")
        assert {name for name in contents(root / "y.zip") if "__pycache__" not in name} == {"m.py"}


def test_two_folders(tmp_path: Path, folder: Path) -> None:
    other = write_tree({"other.py": "x = 1\n", "greet": {"word.txt": "hello"}}, tmp_path / "other")
    pack([folder, other], tmp_path / "x.arc")
    assert {"other.py", "greet/cli.py"} <= set(contents(tmp_path / "x.arc"))
    (other / "greet" / "word.txt").write_text("differs")
    with pytest.raises(archimport.PackError, match="'greet/word.txt' comes from two places"):
        pack([folder, other], tmp_path / "x.arc")


def test_what_is_no_content_is_skipped(tmp_path: Path) -> None:
    root = write_tree(
        {
            "m.py": "",
            "__pycache__": {"m.cpython-311.pyc": b"x"},
            ".git": {"config": ""},
        },
        tmp_path / "r",
    )
    (root / ".#m.py").symlink_to("user@host.1:2")  # what Emacs notes of a file that is being edited
    pack([root], tmp_path / "x.arc")
    assert {name for name in contents(tmp_path / "x.arc") if "__pycache__" not in name} == {"m.py"}


def test_links(tmp_path: Path) -> None:
    root = write_tree({"m.py": "x = 1\n"}, tmp_path / "r")
    (root / "inside.py").symlink_to("m.py")
    pack([root], tmp_path / "x.arc")
    assert contents(tmp_path / "x.arc")["inside.py"] == b"x = 1\n"
    (tmp_path / "outside.py").touch()
    for target, message in (
        (tmp_path / "outside.py", "leads out"),
        ("away.py", "leads nowhere"),
        ("absent", "leads nowhere"),
        (".", "link to a folder"),
    ):
        (root / "away.py").symlink_to(target)
        with pytest.raises(archimport.PackError, match=message):
            pack([root], tmp_path / "x.arc")
        (root / "away.py").unlink()


@pytest.mark.parametrize("suffix", [".arc", ".zip"])
@pytest.mark.parametrize("name", [b"a\\b.txt", b"new\nline.py", b"latin\xe9.py", b"latin\xe9.txt"])
def test_names_that_no_store_takes(tmp_path: Path, suffix: str, name: bytes) -> None:
    root = os.fsencode(tmp_path / "r")
    os.mkdir(root)
    with open(os.path.join(root, name), "wb"):
        pass
    with pytest.raises(archimport.PackError, match="cannot pack"):
        pack([tmp_path / "r"], tmp_path / f"x{suffix}")
    assert not (tmp_path / f"x{suffix}").exists()


def test_folders_that_go_too_deep(tmp_path: Path) -> None:
    deepest = tmp_path / "r" / "/".join("d" * 140)
    deepest.mkdir(parents=True)
    (deepest / "m.py").touch()
    with pytest.raises(archimport.PackError, match="deeper"):
        pack([tmp_path / "r"], tmp_path / "x.arc")


@pytest.mark.parametrize("suffix", [".arc", ".zip"])
def test_file_and_folder_of_one_name(tmp_path: Path, suffix: str) -> None:
    one, two = write_tree({"pkg": ""}, tmp_path / "1"), write_tree({"pkg": {"m.py": ""}}, tmp_path / "2")
    with pytest.raises(archimport.FormatError, match="pkg"):
        pack([one, two], tmp_path / f"x{suffix}")


def test_metadata_from_before_the_standards(tmp_path: Path) -> None:
    old = "Metadata-Version: 2.1\nName: old\nVersion: 1\nRequires-Python: >=3.6.*\nRequires-Dist: foo (>=1.0.*); extra == 'x'\n"
    root = write_tree({"old-1.dist-info": {"METADATA": old, "RECORD": ""}, "old.py": ""}, tmp_path / "r")
    assert supported_pythons(root, [], THIS_PYTHON) == [THIS_PYTHON]


@pytest.mark.parametrize(
    "source",
    [
        "import sys; sys.stdout.buffer.write(b'\\xff'); sys.stderr.write('noise')",
        "import sys\nclass Lazy:\n    def __getattr__(self, name): raise RuntimeError(name)\nsys.modules['lazy'] = Lazy()",
        "import sys; assert sys.stdin.read() == ''",
        "import subprocess; open('left', 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))",
    ],
    ids=["noise", "strange-module", "reads-stdin", "leaves-a-process"],
)
def test_entry_modules_that_do_strange_things(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_tree({"app.py": f"{source}\ndef main():\n    pass\n"}, tmp_path / "r")
    assert pack([root], tmp_path / "x.arc", entry="app:main").entry == "app:main"
    if (tmp_path / "left").exists():
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)  # it was not waited for: it is still there


@pytest.mark.parametrize("source", ["import sys; sys.exit(3)", "import os; os._exit(4)", "raise KeyboardInterrupt"])
def test_entry_modules_that_end(tmp_path: Path, source: str) -> None:
    root = write_tree({"app.py": f"{source}\ndef main():\n    pass\n"}, tmp_path / "r")
    with pytest.raises(archimport.PackError, match="entry point 'app:main'"):
        pack([root], tmp_path / "x.arc", entry="app:main")


def test_package_named_as_the_folder_of_scripts(tmp_path: Path) -> None:
    site = tmp_path / "site"
    record = "../../bin/tool,,\nbin/__init__.py,,\nm.py,,\nx-1.dist-info/RECORD,,\n"
    write_tree({"bin": {"__init__.py": "", "tool": ""}, "x-1.dist-info": {"RECORD": record}, "m.py": ""}, site)
    clean_site(site)
    assert (site / "bin" / "__init__.py").exists()
    assert (site / "x-1.dist-info" / "RECORD").read_text() == "bin/__init__.py,,\nm.py,,\nx-1.dist-info/RECORD,,\n"


def test_source_that_does_not_compile_is_packed_as_it_is(tmp_path: Path) -> None:
    root = write_tree({"bad.py": "print 'python 2'\n", "nul.py": b"\0", "good.py": ""}, tmp_path / "r")
    pack([root], tmp_path / "x.arc")
    found = contents(tmp_path / "x.arc")
    assert found["bad.py"] == b"print 'python 2'\n"
    assert [name for name in found if name.endswith(".pyc")] == [
        f"__pycache__/good.cpython-{THIS_PYTHON.replace('.', '')}.pyc"
    ]


def test_same_inputs_same_bytes(tmp_path: Path, folder: Path, project: Path) -> None:
    for suffix in (".arc", ".zip"):
        outs = []
        for number in range(2):
            out = tmp_path / f"{number}{suffix}"
            source = write_tree({"copy.py": "x = {1, 2, 'three'}\n"}, tmp_path / f"somewhere{number}")
            pack([project, source], out, script="greet")
            outs.append(out.read_bytes())
        assert outs[0] == outs[1]


def order_of(bundle: Path, *names: str) -> list[str]:
    """Give names of modules in the order in which their bytecode lies in a bundle."""
    store = BundleStore(str(bundle))
    tag = f"cpython-{THIS_PYTHON.replace('.', '')}"
    entries = {name: store.lookup(f"__pycache__/{name}.{tag}.pyc") for name in names}
    return sorted(names, key=lambda name: (entries[name].handle.block, entries[name].handle.offset))


def test_startup_members_come_first(tmp_path: Path) -> None:
    """What the entry point's module imports; what a run does; and the same again from what was recorded."""
    tree = {f"m{number:02}.py": f"x = {number}\n" for number in range(30)}
    tree["app.py"] = "import sys, m20, m10\ndef main():\n    import m25\n    sys.exit(__import__(sys.argv[1]).x)\n"
    root = write_tree(tree, tmp_path / "r")
    options = {"entry": "app:main", "codec": "stored"}
    pack([root], tmp_path / "x.arc", **options)
    assert order_of(tmp_path / "x.arc", "m00", "m10", "m20", "app") == ["app", "m20", "m10", "m00"]
    pack([root], tmp_path / "run.arc", profile="m07 'more than one'", **options)
    ordered = order_of(tmp_path / "run.arc", "m00", "m07", "m10", "m20", "m25", "app")
    assert ordered == ["app", "m20", "m10", "m25", "m07", "m00"]
    store = BundleStore(str(tmp_path / "run.arc"))
    recorded = tmp_path / "order"
    recorded.write_bytes(store.read(store.lookup(".archimport/order")) + b"gone.py\n")
    pack([root], tmp_path / "again.arc", order=recorded, **options)
    assert (tmp_path / "again.arc").read_bytes() == (tmp_path / "run.arc").read_bytes()


@pytest.mark.parametrize("entry", ["app", "__main__"])
def test_profile_of_a_module(tmp_path: Path, entry: str) -> None:
    source = "if __name__ == '__main__':\n    import sys, m2\n    __import__(sys.argv[1])\n"
    tree = {"m1.py": "", "m2.py": "x = 2\n", "m3.py": "x = 3\n", "app.py": source, "__main__.py": source}
    pack([write_tree(tree, tmp_path / "r")], tmp_path / "x.arc", entry=entry, profile="m3", codec="stored")
    assert order_of(tmp_path / "x.arc", "m1", "m2", "m3")[:2] == ["m2", "m3"]


def test_profiles_that_do_not_work(tmp_path: Path) -> None:
    root = write_tree({"app.py": "def main():\n    raise ValueError('no such argument')\n"}, tmp_path / "r")
    with pytest.raises(archimport.PackError, match="ValueError: no such argument"):
        pack([root], tmp_path / "x.arc", entry="app:main", profile="")
    with pytest.raises(archimport.PackError, match="No closing quotation"):
        pack([root], tmp_path / "x.arc", entry="app:main", profile="'")
    with pytest.raises(archimport.PackError, match="both a profile and an order"):
        pack([root], tmp_path / "x.arc", entry="app:main", profile="", order=tmp_path / "o")
    with pytest.raises(archimport.PackError, match="No such file"):
        pack([root], tmp_path / "x.arc", entry="app:main", order=tmp_path / "o")
    for order, entry in ((b"other.py\n", "app:main"), (b"\xff", "app:main"), (b"app.py\n", None)):
        (tmp_path / "o").write_bytes(order)
        with pytest.raises(archimport.PackError, match="lists nothing that a start here imports"):
            pack([root], tmp_path / "x.arc", entry=entry, order=tmp_path / "o")


@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_bundle_runs_on_another_python(tmp_path: Path, folder: Path, python: str) -> None:
    out = tmp_path / "x.arc"
    packed = pack([folder], out, entry="greet.cli:App.run")
    assert python in packed.pythons
    assert run("-I", "-S", out, python=str(find_interpreter(python))).stdout == "dotted\n"


@pytest.mark.skipif(not OTHER_PYTHONS, reason="no other Python here")
def test_bytecode_for_each_target(tmp_path: Path, project: Path) -> None:
    other = OTHER_PYTHONS[0]
    out = tmp_path / "x.arc"
    packed = pack([project], out, script="greet", python=[THIS_PYTHON, other])
    assert packed.pythons == sorted([THIS_PYTHON, other])
    names = set(contents(out))
    for python in packed.pythons:
        assert f"greet/__pycache__/cli.cpython-{python.replace('.', '')}.pyc" in names
        assert run("-I", "-S", out, python=str(find_interpreter(python))).stdout == "hello\n"


@pytest.mark.skipif(not OTHER_PYTHONS, reason="no other Python here")
def test_python_that_is_not_supported(tmp_path: Path, folder: Path) -> None:
    other = OTHER_PYTHONS[0]
    out = tmp_path / "x.arc"
    pack([folder], out, entry="greet", python=[other])
    done = run(out)
    assert done.returncode == 1
    assert done.stderr == (
        f"x.arc: error: '{out}' supports Python {other}, not {THIS_PYTHON} on {sys.platform}_{os.uname().machine} "
        "(run it with one of these, or pack it for this one)\n"
    )
    with pytest.raises(archimport.ConfigError, match="supports Python"):
        archimport.mount(out)


def test_target_without_an_interpreter(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archimport.pack.app.targets_of", lambda *asked: [Target(THIS_PYTHON, None)])
    out = tmp_path / "x.arc"
    packed = pack([folder], out, entry="greet.cli:main")
    assert packed.source_only == [THIS_PYTHON]
    assert run("-I", "-S", out).stdout == "hello\n"


def test_app_is_isolated_unless_packed_open(tmp_path: Path) -> None:
    evil = write_tree({"json.py": "print('evil')\n", "extra.py": "print('extra')\n"}, tmp_path / "evil")
    code = "import json\ntry:\n    import extra\nexcept ImportError:\n    print('alone')\n"
    root = write_tree({"app.py": code}, tmp_path / "r")
    pack([root], tmp_path / "closed.arc", entry="app")
    pack([root], tmp_path / "open.arc", entry="app", open=True)
    (tmp_path / "json.py").write_text("print('evil')\n")
    for flags in (["-S"], ["-I"]):
        assert run(*flags, tmp_path / "closed.arc", PYTHONPATH=str(evil)).stdout == "alone\n"
    assert run("-S", tmp_path / "open.arc", PYTHONPATH=str(evil)).stdout == "evil\nextra\n"
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(evil)}
    assert (
        subprocess.run([tmp_path / "open.arc"], capture_output=True, check=True, env=environment).stdout == b"alone\n"
    )


def test_modules_loaded_before_the_app_do_not_replace_its_own(tmp_path: Path) -> None:
    """What a `.pth` file imports is loaded before any line of a bundle runs."""
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "helper.py").write_text("who = 'outside'\n")
    (site / "other.py").write_text("who = 'outside'\n")
    (site / "x.pth").write_text("import helper, other\n")
    app = "import helper, sys\nprint(helper.who, 'json' in sys.modules or 'no json')\n"
    root = write_tree({"app.py": app, "helper": {"__init__.py": "who = 'inside'\n"}}, tmp_path / "r")
    pack([root], tmp_path / "x.arc", entry="app")
    pack([root], tmp_path / "open.arc", entry="app", open=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    assert run("-I", tmp_path / "x.arc", python=python).stdout.startswith("inside ")
    assert run("-I", tmp_path / "open.arc", python=python).stdout.startswith("outside ")


def test_output_is_no_input(tmp_path: Path) -> None:
    root = write_tree({"m.py": ""}, tmp_path / "r")
    sizes = {pack([root], root / "self.arc").members for _ in range(3)}
    assert sizes == {2}


def test_order_of_targets_does_not_matter(tmp_path: Path, folder: Path) -> None:
    pack([folder], tmp_path / "1.arc", python=["3.11", "3.12", "3.11"])
    pack([folder], tmp_path / "2.arc", python=["3.12", "3.11"])
    assert (tmp_path / "1.arc").read_bytes() == (tmp_path / "2.arc").read_bytes()


def test_uncaught_error_shows_source(tmp_path: Path) -> None:
    root = write_tree({"app.py": "def main():\n    broken = 1 / 0  # look here\n"}, tmp_path / "r")
    pack([root], tmp_path / "x.arc", entry="app:main")
    done = run("-I", "-S", tmp_path / "x.arc")
    assert done.returncode == 1
    assert "# look here" in done.stderr
    assert f'File "{tmp_path}/x.arc/app.py", line 2, in main' in done.stderr


def test_damaged_bundle_says_so_in_one_line(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "x.arc"
    pack([folder], out, entry="greet")
    data = bytearray(out.read_bytes())
    data[300] ^= 1
    out.write_bytes(data)
    done = run("-I", "-S", out)
    assert done.returncode == 1
    assert done.stderr.startswith("x.arc: error: block is damaged: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (["archimport-does-not-exist-xyz"], {}, "cannot resolve the requirements: "),
        (["./absent"], {}, "no such file or folder: './absent'"),
        (["absent.whl"], {}, "no such file or folder"),
        (["!!"], {}, "not a requirement, file or folder: '!!'"),
        ([], {}, "nothing to pack"),
        ([], {"requirements": ["absent.txt"]}, "no such requirements file"),
        (["FOLDER"], {"entry": "absent:main"}, "No module named 'absent'"),
        (["FOLDER"], {"entry": "absent"}, "No module named 'absent'"),
        (["FOLDER"], {"entry": "greet.cli:absent"}, "has no attribute 'absent'"),
        (["FOLDER"], {"entry": "greet:__name__"}, "not callable"),
        (["FOLDER"], {"entry": "not an entry"}, "not an entry point: 'not an entry'"),
        (["FOLDER"], {"entry": "greet:"}, "not an entry point"),
        (["FOLDER"], {"script": "absent"}, "no console script 'absent'.*there are: none"),
        (["FOLDER"], {"script": "a", "entry": "b"}, "both an entry point and a console script"),
        (["FOLDER"], {"python": ["2.7"]}, "unknown Python '2.7'"),
        ([""], {}, "an input is empty"),
        ([__file__], {}, "neither a wheel, a project nor a folder"),
        (["FOLDER"], {"entry": ""}, "not an entry point: ''"),
        (["x" * 300], {}, "PackError|cannot"),
        (["click @ nonsense://x"], {}, "cannot resolve"),
    ],
)
def test_what_does_not_work_out(
    tmp_path: Path, folder: Path, inputs: list[str], options: dict[str, object], message: str
) -> None:
    out = tmp_path / "x.arc"
    out.write_bytes(b"old")
    with pytest.raises(archimport.PackError, match=message):
        pack([str(folder) if item == "FOLDER" else item for item in inputs], out, **options)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["x.tar", "x", "absent/x.arc", "folder.arc"])
def test_outputs_that_cannot_be(tmp_path: Path, folder: Path, name: str) -> None:
    (tmp_path / "folder.arc").mkdir()
    with pytest.raises(archimport.PackError, match="cannot (tell|write)"):
        pack([folder], tmp_path / name)


def test_one_string_is_no_list_of_inputs(tmp_path: Path) -> None:
    with pytest.raises(archimport.PackError, match="not one string"):
        pack("zz", tmp_path / "x.arc")


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(archimport.PackError, match="inputs are empty"):
        pack([tmp_path / "empty"], tmp_path / "x.arc")


def test_zip_takes_no_options_of_a_bundle(tmp_path: Path, folder: Path) -> None:
    for options in ({"codec": "zstd"}, {"open": True}):
        with pytest.raises(archimport.PackError, match="are a bundle's"):
            pack([folder], tmp_path / "x.zip", **options)
    with pytest.raises(archimport.PackError, match="has no level"):
        pack([folder], tmp_path / "x.arc", codec="stored", level=3)


def test_full_disk_keeps_the_old_file(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "x.arc"
    out.write_bytes(b"old")
    code = (
        "import resource, sys, archimport\n"
        "from archimport.pack import build\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n    archimport.pack([sys.argv[1]], sys.argv[2])\n"
        "except archimport.PackError as exc:\n    print(exc)\n"
    )
    done = run("-c", code, folder, out)
    assert done.stdout == f"cannot write '{out}': File too large\n", done.stderr
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_module_and_function_have_one_name() -> None:
    import archimport.pack

    assert callable(archimport.pack)
    assert archimport.pack.build.pack is pack
    assert isinstance(pack.__annotations__["return"], str) and Packed.__doc__


def test_platforms_in_one_bundle(tmp_path: Path) -> None:
    """Each has its own wheels; what they share is there once; this interpreter sees its own."""
    machine = os.uname().machine
    this, that = (f"manylinux_2_28_{name}" for name in (machine, {"x86_64": "aarch64"}.get(machine, "x86_64")))
    packed = pack(["markupsafe"], tmp_path / "x.arc", platform=[that, this])
    assert packed.pythons == [THIS_PYTHON]
    (library,) = (name for name in contents(tmp_path / "x.arc") if name.endswith(".so"))
    assert machine in library
    done = run("-c", f"import archimport; archimport.mount({str(tmp_path / 'x.arc')!r}); import markupsafe._speedups")
    assert done.returncode == 0, done.stderr
    pack(["markupsafe"], tmp_path / "y.arc", platform=[that])
    refused = run("-c", f"import archimport; archimport.mount({str(tmp_path / 'y.arc')!r})")
    assert (
        f"supports Python {THIS_PYTHON} on linux_{that.removeprefix('manylinux_2_28_')}, not {THIS_PYTHON}"
        in refused.stderr
    )
    with pytest.raises(archimport.PackError, match=r"the targets differ in 'markupsafe.*pack a bundle"):
        pack(["markupsafe"], tmp_path / "x.zip", platform=[that, this])


@pytest.mark.parametrize("tag", ["", "linux", "manylinux", "win32_amd64", "manylinux_2_28_x86_64,macosx_11_0_arm64"])
def test_unknown_platforms(tag: str, tmp_path: Path) -> None:
    with pytest.raises(archimport.PackError, match="unknown platform"):
        pack(["markupsafe"], tmp_path / "x.arc", platform=[tag])


@pytest.mark.parametrize("tag", ["cp39-cp39-win_amd64", "cp399-cp399-manylinux_2_17_x86_64", "py2-none-any"])
def test_wheel_that_fits_no_target(tag: str, tmp_path: Path) -> None:
    wheel = tmp_path / f"acme-1.0-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("acme/__init__.py", "")
        archive.writestr("acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        archive.writestr("acme-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr("acme-1.0.dist-info/RECORD", "")
    with pytest.raises(archimport.PackError, match="cannot resolve the requirements"):
        pack([wheel], tmp_path / "x.arc")


RELOADS = """
def main():
    import archimport

    class Rules(archimport.Store):
        location = "/virtual/rules"
        source = b"x = 1\\n"

        def lookup(self, path):
            known = {"": archimport.Entry("", is_dir=True), "rule.py": archimport.Entry("rule.py", size=len(self.source))}
            return known.get(path)

        def list(self, folder):
            return ["rule.py"]

        def read(self, entry):
            return self.source

        def refresh(self):
            self.source = b"x = 22\\n"
            return type(super().refresh())({"rule.py": 1}, {"rule.py": 2})

    mounted = archimport.mount(Rules())
    import rule
    print(mounted.refresh(reload=True).changed, rule.x)
"""


def test_reload_by_the_runtime_that_a_bundle_carries(tmp_path: Path) -> None:
    pack([write_tree({"app.py": RELOADS}, tmp_path / "root")], tmp_path / "x.arc", entry="app:main")
    assert run("-I", "-S", tmp_path / "x.arc").stdout == "('rule.py',) 22\n"
