"""What an app is shipped as today, and by archimport: each builder gives what starts the app, and the file it is in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benches.measure import Command, clean

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
_STARTER = (
    "import sys\nsys.path.append({folder!r})\nfrom {module} import main\nsys.argv[0] = {script!r}\nsys.exit(main())\n"
)


class Project(NamedTuple):
    """An app: its project's folder, its console script, the module of its function `main`, and where to build it.

    `python` is an interpreter that has nothing installed.
    """

    folder: Path
    script: str
    module: str
    base: Path
    python: str


class Built(NamedTuple):
    """What starts an app, and the file or folder that is shipped."""

    command: Command
    file: Path


def do(*command: object, **environment: str) -> None:
    """Run a step of building; RuntimeError with its output if it fails."""
    arguments = [str(part) for part in command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=clean(**environment))
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def bare_python(folder: Path) -> str:
    """Give an interpreter, in an environment of its own, that has nothing installed."""
    python = folder / "bin" / "python"
    if not python.exists():
        do(getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--without-pip", folder)
    return str(python)


def install(python: str, folder: Path, *what: object) -> None:
    """Install requirements or projects for an interpreter into a folder, bytecode with them."""
    command = (sys.executable, "-m", "uv", "pip", "install", "-q", "--compile-bytecode", "--python", python)
    do(*command, "--target", folder, *what)


def installed(project: Project) -> Path:
    """Give a folder with the app and all that it requires."""
    folder = project.base / "folder"
    if not folder.exists():
        install(project.python, folder, project.folder)
    return folder


def tool_in(name: str, *requirements: str) -> Path:
    """Give the program of a tool, installed in an environment of its own beside all builds."""
    folder = Path(os.environ["BENCH_TOOLS"]) / name
    if not folder.exists():
        do(sys.executable, "-m", "venv", folder)
        do(folder / "bin" / "pip", "install", "-q", name, *requirements)
    return folder / "bin"


def venv(project: Project) -> Built:
    """Install into a virtual environment: the console script there."""
    folder = project.base / "venv"
    do(project.python, "-m", "venv", folder)
    do(folder / "bin" / "pip", "install", "-q", project.folder)
    return Built(Command([str(folder / "bin" / project.script)]), folder)


def folder(project: Project) -> Built:
    """Start from a plain folder."""
    place = installed(project)
    starter = project.base / "start.py"
    starter.write_text(_STARTER.format(folder=str(place), module=project.module, script=project.script))
    return Built(Command([project.python, "-I", str(starter)]), place)


#: Writes the code of what an app imports of its own folder, by name: where its submodules are, its file, its code.
_RECORDER = """
import marshal, sys
folder, out, module = sys.argv[1:]
sys.path.append(folder)
sys.argv[1:] = []
try:
    __import__(module, fromlist=["main"]).main()
except SystemExit:
    pass
table = {}
for name, loaded in list(sys.modules.items()):
    spec = getattr(loaded, "__spec__", None)
    if spec is not None and (spec.origin or "").startswith(folder) and hasattr(spec.loader, "get_code"):
        code = spec.loader.get_code(spec.name)
        if code is not None:
            table[name] = spec.submodule_search_locations, spec.origin, marshal.dumps(code)
open(out, "wb").write(marshal.dumps(table))
"""
#: Starts an app with that code: nothing is searched for, read, checked or decompressed.
_FROM_MEMORY = """
import marshal, sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import SourceFileLoader
table = marshal.loads(open({table!r}, "rb").read())
class Memory(SourceFileLoader):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in table:
            spec = ModuleSpec(name, cls(name, table[name][1]), origin=table[name][1])
            spec.submodule_search_locations, spec.has_location, spec.cached = table[name][0], True, ""
            return spec
    def exec_module(self, module):
        exec(marshal.loads(table[module.__name__][2]), module.__dict__)
sys.meta_path.insert(0, Memory)
"""


#: Goes further: garbage is never looked for, neither on the way nor at the end.
_UNCOLLECTED = "import atexit, gc\ngc.disable()\natexit.register(gc.freeze)\n"


def in_memory(project: Project, first: str = "") -> Built:
    """Start with the code of the app's modules in memory: the floor for whatever finds and reads modules."""
    place, table, starter = installed(project), project.base / "table", project.base / f"memory{len(first)}.py"
    do(project.python, "-I", "-c", _RECORDER, place, table, project.module)
    start = _STARTER.format(folder=str(place), module=project.module, script=project.script)
    starter.write_text(first + _FROM_MEMORY.format(table=str(table)) + start)
    return Built(Command([project.python, "-I", str(starter)]), table)


def uncollected(project: Project) -> Built:
    """Start with code in memory that leaves its garbage: the floor for what spares collections, too."""
    return in_memory(project, _UNCOLLECTED)


def bundle(project: Project) -> Built:
    """Pack with archimport."""
    file, cache = project.base / "app.arc", project.base / "archimport-cache"
    do(
        sys.executable,
        "-m",
        "archimport",
        "pack",
        project.folder,
        "-c",
        project.script,
        "-o",
        file,
        PYTHONPATH=str(ROOT),
    )
    return Built(Command([project.python, "-I", str(file)], {"XDG_CACHE_HOME": str(cache)}, [cache]), file)


def shiv(project: Project) -> Built:
    """Pack with shiv, which unpacks at the first run."""
    file, cache = project.base / "app.pyz", project.base / "shiv-root"
    do(tool_in("shiv") / "shiv", "-q", "-c", project.script, "-o", file, project.folder)
    return Built(Command([project.python, str(file)], {"SHIV_ROOT": str(cache)}, [cache]), file)


def pex(project: Project, *options: str) -> Built:
    """Pack with pex."""
    name = "-".join(["app", *(option.strip("-") for option in options)])
    file, cache = project.base / f"{name}.pex", project.base / f"{name}-pex-root"
    do(tool_in("pex") / "pex", project.folder, "-c", project.script, "-o", file, *options)
    return Built(Command([project.python, str(file)], {"PEX_ROOT": str(cache)}, [cache]), file)


def pex_venv(project: Project) -> Built:
    """Pack with pex, which makes a virtual environment at the first run."""
    return pex(project, "--venv")


def pyinstaller(project: Project, kind: str) -> Built:
    """Freeze with PyInstaller, which needs the app installed beside it."""
    environment = tool_in("pyinstaller")
    do(environment / "pip", "install", "-q", project.folder)
    entry = project.base / "entry.py"
    entry.write_text(f"import sys\nfrom {project.module} import main\nsys.exit(main())\n")
    top = project.module.partition(".")[0]
    wanted = ["--collect-all", top, "--copy-metadata", "httpx", "--collect-submodules", "rich"]
    where = ["--distpath", project.base / kind, "--workpath", project.base / "work", "--specpath", project.base]
    do(environment / "pyinstaller", "--log-level", "ERROR", f"--{kind}", "--name", "app", *wanted, *where, entry)
    place = project.base / kind / "app"
    return Built(Command([str(place if kind == "onefile" else place / "app")]), place)


def onefile(project: Project) -> Built:
    """Freeze into one file."""
    return pyinstaller(project, "onefile")


def onedir(project: Project) -> Built:
    """Freeze into a folder."""
    return pyinstaller(project, "onedir")


def zipapp(project: Project, *, bytecode: bool = False) -> Built:
    """Zip the folder, compressed, as `zipapp -c` does."""
    tree = project.base / f"zipapp-{bytecode}"
    shutil.copytree(installed(project), tree, ignore=shutil.ignore_patterns("__pycache__", "bin"))
    (tree / "__main__.py").write_text(f"import sys\nfrom {project.module} import main\nsys.exit(main())\n")
    if bytecode:  # where zipimport looks for it
        do(project.python, "-m", "compileall", "-q", "-b", tree)
    file = project.base / f"{tree.name}.pyz"
    do(project.python, "-m", "zipapp", "-c", "-o", file, tree)
    return Built(Command([project.python, "-I", str(file)]), file)


def zipapp_bytecode(project: Project) -> Built:
    """Zip the folder with bytecode."""
    return zipapp(project, bytecode=True)


RIVALS: dict[str, Callable[[Project], Built]] = {
    "venv": venv,
    "folder": folder,
    "code in memory": in_memory,
    "code in memory, uncollected": uncollected,
    "archimport": bundle,
    "shiv": shiv,
    "pex": pex,
    "pex --venv": pex_venv,
    "PyInstaller onefile": onefile,
    "PyInstaller onedir": onedir,
    "zipapp": zipapp,
    "zipapp of bytecode": zipapp_bytecode,
}
