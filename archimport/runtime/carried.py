"""The runtime that a bundle carries for this Python: code of all its modules, in one table that was read at once.

`pack` leaves out what a start does not need: docstrings, columns, and annotations. What each start loads comes first in
the table and as code, in an order in which no module waits for a later one (`pack/compile_child.py` makes it); the rest
is marshalled once more.
"""

# No `__future__` here: where there is no table, `sys.path` is not yet the interpreter's own when this is compiled.
import _imp
import marshal
import os  # frozen into the interpreter, or loaded already: no path is searched for it
import sys
from _frozen_importlib import ModuleSpec, _load  # type: ignore[attr-defined]  # typeshed does not know it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

    Table = dict[str, tuple[bool, bytes | CodeType]]


class CarriedRuntime:
    """Find and load the modules of a table: full name to whether it is a package, and its code.

    `archive` is the zip in which their sources are.
    """

    def __init__(self, archive: str, table: "Table") -> None:
        self._archive = archive
        self._table = table

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Give the spec of a module of the table."""
        if fullname not in self._table:
            return None
        is_package, _ = self._table[fullname]
        spec = ModuleSpec(fullname, self, origin=self._file(fullname), is_package=is_package)  # type: ignore[arg-type]  # it is one
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(self._file(fullname)))
        return spec

    def _file(self, fullname: str) -> str:
        is_package, _ = self._table[fullname]
        return f"{self._archive}/{fullname.replace('.', '/')}{'/__init__.py' if is_package else '.py'}"

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the machinery."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module's code, which names where its source is."""
        _, code = self._table[module.__name__]
        if isinstance(code, bytes):
            code = marshal.loads(code)
        module.__file__ = file = self._file(module.__name__)
        _imp._fix_co_filename(code, file)  # type: ignore[attr-defined]  # typeshed does not know it
        exec(code, module.__dict__)

    def load_first(self) -> None:
        """Load what each start needs, sooner than imports would find it."""
        for name, (_, code) in self._table.items():
            if not isinstance(code, bytes) and name not in sys.modules:
                module = _load(self.find_spec(name))
                parent, _, child = name.rpartition(".")
                if parent:
                    setattr(sys.modules[parent], child, module)


def run(archive: str, table: "Table") -> None:
    """Run the app of the bundle that was started."""
    path, before = sys.path[1:], {*sys.modules}
    sys.path[1:] = standard_library(path)  # the runtime is searched for nowhere else, whatever the environment says
    _drop_other_runtime()
    runtime = CarriedRuntime(archive, table)
    sys.meta_path.insert(0, runtime)
    runtime.load_first()
    from archimport.runtime.app import run_bundle

    run_bundle(archive, path, before)


def standard_library(path: list[str]) -> list[str]:
    """Give what of a path is the interpreter's own."""
    library = os.path.dirname(os.__file__)
    dynamic = os.path.join(sys.base_exec_prefix, sys.platlibdir, os.path.basename(library), "lib-dynload")
    archive = os.path.join(os.path.dirname(library), f"python{sys.version_info.major}{sys.version_info.minor}.zip")
    own = {library, archive, dynamic, os.path.join(library, "lib-dynload"), os.path.join(sys.base_prefix, "DLLs")}
    return [entry for entry in path if entry in own]


def install_hook(archive: str, table: "Table") -> None:
    """Install the hook of the runtime that a bundle carries."""
    sys.meta_path.insert(0, CarriedRuntime(archive, table))
    from archimport.runtime.hook import install

    install()


def _drop_other_runtime() -> None:
    """Forget the archimport of the environment, if that has installed its hook: the bundle's own is to run."""
    hook = sys.modules.get("archimport.runtime.hook")
    if hook is not None:
        hook.uninstall()
    for name in [name for name in list(sys.modules) if name.partition(".")[0] == "archimport"]:
        del sys.modules[name]
