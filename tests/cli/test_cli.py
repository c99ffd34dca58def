"""The command line, as a user calls it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from builders import build_bundle, build_zip
from click.testing import CliRunner
from trees import flatten, write_tree

import archimport as library
from archimport.cli import cli
from archimport.cli.store import split_release
from archimport.runtime.errors import PackError

SWAPPED = "error: the first argument is no database (write archimport publish URL PATH ...)\n"
ROOT = str(Path(library.__file__).parents[1])
TREE = {
    "app.py": "import sys\ndef main():\n    print('app', sys.argv)\n    return 4\n",
    "__main__.py": "import sys\nprint('main', __name__, sys.argv[1:])\nsys.exit(6)\n",
    "pkg": {"__init__.py": "x = 1\n", "data.bin": b"\0\xff\n", "__main__.py": "print('pkg as', __name__)\n"},
    "program.py": "import sys\nprint(sys.argv)\n",
}


def archimport(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archimport", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(params=["zip", "bundle"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"zip": build_zip, "bundle": build_bundle}[request.param](TREE, tmp_path / "store")


def test_ls(store: str) -> None:
    expected = sorted(flatten(TREE))
    assert archimport("ls", store).stdout.split() == expected
    assert archimport("ls", f"{store}/pkg").stdout.split() == [name for name in expected if name.startswith("pkg/")]
    listed = json.loads(archimport("ls", "--json", store).stdout)
    assert [(row["path"], row["size"]) for row in listed] == [(name, len(flatten(TREE)[name])) for name in expected]
    assert "       3  pkg/data.bin" in archimport("ls", "-l", store).stdout


def test_info(store: str) -> None:
    facts = json.loads(archimport("info", "--json", store).stdout)
    assert facts["location"] == store
    assert facts["members"] == len(flatten(TREE))
    text = archimport("info", store).stdout
    assert f"location     {store}\n" in text


def test_cat(store: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "archimport", "cat", store, "pkg/data.bin"], capture_output=True, check=True
    )
    assert done.stdout == b"\0\xff\n"
    failed = archimport("cat", store, "absent")
    assert failed.returncode == 1
    assert (
        failed.stderr == f"archimport: error: no such member: 'absent': '{store}' (archimport ls shows what there is)\n"
    )
    assert archimport("cat", store, "pkg").returncode == 1
    assert archimport("cat", store, "../x").returncode == 1


def test_extract(store: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = archimport("extract", store, "-o", out)
    assert done.stdout == f"{len(flatten(TREE))} files in {out}\n"
    assert {
        file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()
    } == flatten(TREE)
    again = archimport("extract", store, "-o", out)
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    part = archimport("extract", f"{store}/pkg", tmp_path / "part")
    assert part.returncode == 0
    assert (tmp_path / "part" / "__init__.py").exists()


@pytest.mark.parametrize("name", ["con", "a/aux.txt", "x.", "a:b", "sp ", 'q"', "Up.py"])
def test_extract_refuses_names_that_are_no_files_everywhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("up.py", b"")
        archive.writestr(name, b"")
    done = archimport("extract", path, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_verify(store: str) -> None:
    done = archimport("verify", store, store)
    assert done.returncode == 0
    assert done.stdout.count(": ok, ") == 2
    assert list(json.loads(archimport("verify", "--json", store).stdout)) == [store]
    data = bytearray(Path(store).read_bytes())
    data[-30] ^= 1
    Path(store).write_bytes(data)
    failed = archimport("verify", store)
    assert failed.returncode == 1
    assert failed.stderr.startswith("archimport: error: ")
    assert failed.stderr.count("\n") == 1


def test_run(store: str) -> None:
    done = archimport("run", store, "one", "--two", "-m")
    assert (done.stdout, done.returncode) == ("main __main__ ['one', '--two', '-m']\n", 6), done.stderr
    module = archimport("run", store, "-m", "pkg", "x")
    assert (module.stdout, module.returncode) == ("pkg as __main__\n", 0), module.stderr
    code = archimport("run", store, "-c", "import sys, pkg; print(pkg.x, sys.argv); sys.exit(7)", "y")
    assert (code.stdout, code.returncode) == ("1 ['-c', 'y']\n", 7), code.stderr
    program = archimport("run", store, "-m", "program", "x")
    assert program.stdout == f"['{store}/program.py', 'x']\n", program.stderr
    assert archimport("run", store, "-m", "absent").returncode == 1
    assert archimport("run", store, "-m").returncode == 2


def test_run_in_a_folder_with_hostile_files(store: str, tmp_path: Path) -> None:
    evil = write_tree(
        {f"{name}.py": "raise SystemExit('evil')\n" for name in ("typing", "contextlib", "app", "runpy")},
        tmp_path / "evil",
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "archimport", "run", store, "-m", "pkg"],
        capture_output=True,
        text=True,
        check=False,
        cwd=evil,
    )
    assert (done.stdout, done.stderr) == ("pkg as __main__\n", "")


def test_run_passes_flags_many_arguments_and_a_clean_main(store: str) -> None:
    code = "import sys; print(sys.flags.optimize, len(sys.argv), sorted(name for name in globals() if name[0] != '_'))"
    command = [sys.executable, "-O", "-m", "archimport", "run", store, "-c", code, *map(str, range(20_000))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "1 20001 ['sys']\n", done.stderr


def test_run_says_what_is_wrong_in_one_line(store: str) -> None:
    for arguments in (["-m", "absent"], ["-m", "app.absent"]):
        done = archimport("run", store, *arguments)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1, done.stderr
    data = bytearray(Path(store).read_bytes())
    data[data.index(b"__main__.py") + 20 if store.endswith("zip") else 300] ^= 1
    Path(store).write_bytes(data)
    damaged = archimport("run", store)
    assert damaged.returncode == 1
    assert "Traceback" not in damaged.stderr


def test_folder_inside_a_store(store: str) -> None:
    assert archimport("run", f"{store}/pkg").stdout == "pkg as __main__\n"
    for command in (["ls"], ["info"], ["run"], ["extract", "-o", "/nonexistent/x"]):
        for inside in ("typo", "app.py"):
            done = archimport(command[0], f"{store}/{inside}", *command[1:])
            assert done.returncode == 1
            assert "no such folder in the store" in done.stderr


@pytest.mark.parametrize("name", ["lib@1.zip", "lib@v1.zip"])
def test_names_of_files_with_an_at(tmp_path: Path, name: str) -> None:
    Path(build_zip(TREE, tmp_path / "store")).rename(tmp_path / name)
    assert "app.py" in archimport("ls", f"zip://{tmp_path / name}").stdout.split()
    root = write_tree({"m.py": ""}, tmp_path / "root")
    done = archimport("publish", f"sqlite:///{tmp_path / 'new@v1.db'}", root)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new@v1.db").exists()
    assert "m.py" in archimport("ls", f"sqlite:///{tmp_path / 'new@v1.db'}@main").stdout.split()


@pytest.mark.parametrize(
    ("source", "database", "name"),
    [
        ("x.db@dev", "x.db", "dev"),
        ("there@dev", "there", "dev"),
        ("there@v1.zip", "there", "v1.zip"),
        ("gone@v1.zip", "gone@v1.zip", ""),
        ("folder@v1.db", "folder@v1.db", ""),
        ("dir@v1/x.db", "dir@v1/x.db", ""),
        ("sqlite:///dir@v1/x.db@dev", "sqlite:///dir@v1/x.db", "dev"),
        ("sqlite:///with%20space@dev", "sqlite:///with%20space", "dev"),
        ("sqlite+pysqlite:///new@v1.db", "sqlite+pysqlite:///new@v1.db", ""),
        ("sqlite:///x.db?path=@1", "sqlite:///x.db?path=", "1"),
        ("sqlite:///x.db?channel=dev", "sqlite:///x.db?channel=dev", ""),
        ("postgresql+psycopg://u@h/db@dev", "postgresql+psycopg://u@h/db", "dev"),
        ("postgresql+psycopg://u@h", "postgresql+psycopg://u@h", ""),
        ("sql:name@dev", "sql:name", "dev"),
        ("zip:///a@b.zip", "zip:///a@b.zip", ""),
    ],
)
def test_what_an_at_means(
    source: str, database: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tree({"there": "", "with space": "", "folder": {"x": ""}}, tmp_path)
    assert split_release(source) == (
        database,
        {"channel": name} if name and name != "1" else {"release": "1"} if name else {},
    )


def test_run_of_a_store_by_others(store: str, tmp_path: Path) -> None:
    """Its location is no name by which it could be opened."""
    plugin = """
import archimport
class Other(archimport.Store):
    location = "/virtual/other"
    def __init__(self):
        self.index = archimport.MemberIndex([archimport.Entry("__main__.py", size=0)])
    def lookup(self, path): return self.index.lookup(path)
    def list(self, folder): return self.index.list(folder)
    def read(self, entry): return b"print('other')"
def opener(entry): return Other()
"""
    info = {"METADATA": "Name: other\nVersion: 1\n", "entry_points.txt": "[archimport.stores]\nother = other:opener\n"}
    root = write_tree({"other.py": plugin, "other-1.dist-info": info}, tmp_path / "plugin")
    done = archimport("run", "other:x", env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), ROOT])})
    assert (done.stdout, done.returncode) == ("other\n", 0), done.stderr


def test_full_terminal(store: str) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "archimport", "ls", store]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "archimport: error: No space left on device\n"


@pytest.mark.parametrize(
    "command",
    [
        "pack ROOT -o OUT.arc",
        "pack ROOT -o OUT.zip",
        "publish OUT.db ROOT",
        "extract STORE -o OUT",
        "pack ROOT -o OUT.arc --json",
        "publish OUT.db ROOT --json",
        "rollback OLD.db 1 --json",
        "gc OLD.db --json",
        "upgrade OLD.db",
    ],
)
@pytest.mark.parametrize("reader", ["full", "gone"])
def test_what_is_done_is_done_though_nobody_reads_it(command: str, reader: str, store: str, tmp_path: Path) -> None:
    root, out = write_tree({"m.py": ""}, tmp_path / "root"), str(tmp_path / "out")
    words = command.replace("ROOT", str(root)).replace("OUT", out).replace("STORE", store)
    words = words.replace("OLD", f"{tmp_path}/old").split()
    if "OLD" in command:
        assert archimport("publish", tmp_path / "old.db", root).returncode == 0
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe, open("/dev/full", "w") as full:
        stdout = full if reader == "full" else pipe
        program = [sys.executable, "-m", "archimport", *words]
        done = subprocess.run(program, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_no_terminal_shows(encoding: str, tmp_path: Path) -> None:
    built = build_bundle({"データ": {"é.py": ""}}, tmp_path / "x")
    file = os.path.join(os.fsencode(tmp_path), b"bad\xff.arc")
    os.rename(built, file)
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    for command in ([b"ls"], [b"info"], [b"verify"], [b"why", "データ.é".encode()], [b"cat", b"\xff"], [b"diff", file]):
        program = [sys.executable.encode(), b"-m", b"archimport", command[0], file, *command[1:]]
        done = subprocess.run(program, capture_output=True, check=False, env=environment)
        assert b"Traceback" not in done.stderr
        assert done.returncode == int(command[0] == b"cat")


@pytest.mark.parametrize(
    "arguments",
    [
        [b"ls", b"sqlite:///x.db?path=\xff"],
        [b"ls", b"sqlite:///x.db?channel=\xff"],
        [b"ls", b"postgresql+psycopg://127.0.0.1/\xff"],
        [b"ls", b"sql:\xff"],
        [b"why", b"STORE", b"m\xff"],
        [b"run", b"STORE", b"-c", b"print(1) # \xff"],
        [b"pack", b"\xff", b"-o", b"x.arc"],
        [b"pack", b".", b"-o", b"x.arc", b"-e", b"m\xff"],
        [b"publish", b"x.db", b".", b"-m", b"\xff"],
        [b"publish", b"x.db", b".", b"--channel", b"\xff"],
    ],
)
def test_arguments_that_are_no_text(arguments: list[bytes], tmp_path: Path) -> None:
    store = os.fsencode(build_zip(TREE, tmp_path / "store"))
    words = [word.replace(b"STORE", store) for word in arguments]
    program = [sys.executable.encode(), b"-m", b"archimport", *words]
    done = subprocess.run(program, capture_output=True, check=False, cwd=write_tree({"m.py": ""}, tmp_path / "here"))
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done.stderr


def test_extract_where_the_locale_has_no_such_name(tmp_path: Path) -> None:
    built = build_zip({"é.py": ""}, tmp_path / "x")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = archimport("extract", built, "-o", tmp_path / "out", env=environment)
    assert (done.returncode, done.stderr.count("\n")) in ((0, 0), (1, 1)), done.stderr  # Python 3.15 is UTF-8 anyway
    assert "Traceback" not in done.stderr


def test_run_an_app_that_has_none(tmp_path: Path) -> None:
    done = archimport("run", build_bundle({"x.py": ""}, tmp_path / "x"))
    assert done.returncode == 1
    assert "has no app" in done.stderr
    assert "-m" in done.stderr


def test_pack_and_run(tmp_path: Path) -> None:
    root = write_tree({"app.py": TREE["app.py"]}, tmp_path / "root")
    out = tmp_path / "out.arc"
    done = archimport("pack", root, "-o", out, "-e", "app:main")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith(f"{out}: bundle of 3 members, 0.")
    assert done.stdout.endswith(", starts at app:main\n")
    ran = archimport("run", out, "a", "-b")
    assert (ran.stdout, ran.returncode) == (f"app ['{out}', 'a', '-b']\n", 4)
    facts = json.loads(archimport("pack", root, "-o", out, "--json").stdout)
    assert facts["kind"] == "bundle"
    assert facts["entry"] is None


def test_pack_warns_of_pythons_without_a_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PackError("no network")

    monkeypatch.setattr("archimport.pack.decoder.install", fail)
    other = "3.12" if sys.version_info[:2] == (3, 11) else "3.11"
    out, root = str(tmp_path / "out.arc"), str(write_tree({"m.py": ""}, tmp_path / "root"))
    done = CliRunner().invoke(cli, ["pack", root, "-o", out, "--codec", "zstd", "--python", other, "--python", "3.14"])
    assert f"warning: reads zstd only where backports.zstd is installed: Python {other}\n" in done.output
    assert archimport("verify", out).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "Usage"),
        (["nonsense"], 2, "No such command"),
        (["ls"], 2, "Missing argument"),
        (["pack", "click"], 2, "Missing option"),
        (["extract", "x.arc"], 2, "name the folder"),
        (["ls", "absent.zip"], 1, "cannot read 'absent.zip': No such file"),
        (["ls", "/"], 1, "is a folder"),
        (["ls", "nonsense://x"], 1, "unknown scheme 'nonsense'"),
        (["ls", "postgres://x/y"], 1, "unknown scheme 'postgres' (write postgresql+psycopg://)"),
        (["publish", "postgres://x/y", "."], 1, "unknown scheme 'postgres' (write postgresql+psycopg://)"),
        (["log", "postgres+psycopg2://x/y"], 1, "unknown scheme 'postgres+psycopg2' (write postgresql+psycopg://)"),
        (["run", "postgresql+psycopg3://x/y"], 1, "'postgresql+psycopg3' (write postgresql+psycopg://)"),
        (["publish", "mysql2://x/y", "."], 1, "unknown scheme 'mysql2' (write mysql+pymysql://)"),
        (["ls", "sqlite3:///x.db"], 1, "unknown scheme 'sqlite3' (write sqlite://)"),
        (["ls", "sqlserver://x/y"], 1, "unknown scheme 'sqlserver' (write mssql+pyodbc://)"),
        (["ls", "postgres://bob:hunter2@h/db"], 1, "password"),
        (["log", "postgresql+psycopg2cffi://127.0.0.1/y"], 1, "install it, or write postgresql+psycopg:// in the URL"),
        (["log", "mysql+cymysql://127.0.0.1/y"], 1, "install it, or write mysql+pymysql:// in the URL"),
        (["publish", ".", "p.db"], 1, SWAPPED),
        (["publish", ".", "p.db@dev"], 1, SWAPPED),
        (["publish", "."], 1, SWAPPED),
        (["publish", "click", "sqlite:////x/p.db"], 1, SWAPPED),
        (["publish", ".", "postgresql+psycopg://bob:hunter2@h/db"], 1, SWAPPED),
        (["publish", "x @ https://bob:hunter2@h/x-1-py3-none-any.whl", "p.db"], 1, SWAPPED),
        (["publish", ".", "sql:prod"], 1, SWAPPED),
        (["publish", "p.db"], 1, "nothing to pack"),
        (["ls", "/dev/null"], 1, "not a regular file"),
        (["ls", ""], 1, "error"),
        (["ls", "a\0b"], 1, "error"),
        (["verify", __file__], 1, "neither a bundle, a zip nor"),
        (["info", "postgresql://bob:hunter2@h/db"], 1, "password"),
        (["run", "absent.arc"], 1, "No such file"),
        (["pack", "-o", "x.arc"], 1, "nothing to pack"),
        (["pack", ".", "-o", "x.db@dev"], 1, "pack writes no release or channel by name"),
        (["publish", "x.db@1", "."], 1, "a release cannot be chosen here"),
        (["publish", "x.db@dev", ".", "--channel", "prod"], 1, "both name a channel"),
        (["pack", ".", "-o", "x.tar"], 1, "cannot tell what to write"),
        (["pack", os.path.dirname(__file__), "-o", "/proc/x.arc"], 1, "cannot write"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], status: int, message: str, tmp_path: Path) -> None:
    if any("\0" in argument for argument in arguments):
        pytest.skip("no process can be given a NUL")
    done = archimport(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    if status == 1:
        assert done.stderr.count("\n") == 1


def test_verify_goes_on_after_a_damaged_store(tmp_path: Path) -> None:
    good, bad = build_zip({"m.py": ""}, tmp_path / "good"), tmp_path / "bad.arc"
    data = bytearray(Path(build_bundle({"m.py": "x = 1\n"}, tmp_path / "x")).read_bytes())
    data[260] ^= 1
    bad.write_bytes(data)
    done = archimport("verify", bad, good)
    assert (done.returncode, done.stdout) == (1, f"{good}: ok, 1 files\n")
    assert done.stderr.startswith("archimport: error: ")
    assert str(bad) in done.stderr


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_pack_leaves_nothing(tmp_path: Path, sent: signal.Signals, status: int) -> None:
    ready = tmp_path / "ready"
    root = write_tree(
        {"app.py": f"import time\nopen({str(ready)!r}, 'w').close()\ntime.sleep(60)\n"}, tmp_path / "root"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "archimport", "pack", str(root), "-o", str(tmp_path / "x.arc"), "-e", "app:main"]
    before = signal.signal(sent, lambda *_: None)  # what a shell lets jobs in the background ignore, they pass on
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(scratch)})
    signal.signal(sent, before)
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(sent)
    _, said = child.communicate(timeout=300)
    assert child.returncode == status
    assert said.strip() in ("archimport: error: interrupted", "")
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "x.arc").exists()


def test_debug_shows_the_traceback() -> None:
    done = archimport("--debug", "ls", "absent.zip")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_unreadable_file(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = tmp_path / "x.zip"
    path.touch(mode=0)
    done = archimport("ls", path)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


def test_reader_that_goes_away(tmp_path: Path) -> None:
    store = build_zip({f"m{number}.py": "" for number in range(20_000)}, tmp_path / "x")
    child = subprocess.Popen(
        [sys.executable, "-m", "archimport", "ls", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == ""
    child.stderr.close()
    child.wait(200)


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    root = write_tree({"m.py": "x = 1\n"}, tmp_path / "root")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "archimport", "pack", str(root), "-o", str(tmp_path / "x.arc"), "-e", "m"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and select.select([master], [], [], 60)[0]:
        try:
            seen += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    assert child.wait(60) == 0
    assert b"writing" in seen


def test_help_lists_every_command() -> None:
    text = archimport("--help").stdout
    for name in ("pack", "run", "ls", "info", "cat", "extract", "verify"):
        assert f"  {name}" in text
        assert archimport(name, "--help").returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="a shell closes streams")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_streams_may_be_closed(closed: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "m.py").write_text("x = 1\n")
    command = f"{sys.executable} -m archimport pack src -o x.arc {closed}"
    assert subprocess.run(command, shell=True, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    assert (tmp_path / "x.arc").exists()
