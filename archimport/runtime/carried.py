"""The runtime that a bundle carries for this Python: code of all its modules, in one table that was read at once.

`pack` leaves out what a start does not need: docstrings, columns, and the import that says how annotations are meant.
"""

from __future__ import annotations

import _imp
import marshal
import os  # frozen into the interpreter, or loaded already: no path is searched for it
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    Table = dict[str, tuple[bool, bytes]]


class CarriedRuntime:
    """Find and load the modules of a table: full name to whether it is a package, and its marshalled code.

    `archive` is the zip in which their sources are.
    """

    def __init__(self, archive: str, table: Table) -> None:
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

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, which names where its source is."""
        _, marshalled = self._table[module.__name__]
        code = marshal.loads(marshalled)
        module.__file__ = file = self._file(module.__name__)
        _imp._fix_co_filename(code, file)  # type: ignore[attr-defined]  # typeshed does not know it
        exec(code, module.__dict__)


def run(archive: str, table: Table, path: list[str]) -> None:
    """Run the app of the bundle that was started; `path` is what `sys.path` had behind it."""
    _drop_other_runtime()
    start(archive, table, "app").run_bundle(archive, path)


def start(archive: str, table: Table, name: str) -> ModuleType:
    """Give the module `name` of the runtime that a bundle carries."""
    sys.meta_path.insert(0, CarriedRuntime(archive, table))

    module: ModuleType = __import__(f"archimport.runtime.{name}", fromlist=[name])
    return module


def _drop_other_runtime() -> None:
    """Forget the archimport of the environment, if that has installed its hook: the bundle's own is to run."""
    hook = sys.modules.get("archimport.runtime.hook")
    if hook is not None:
        hook.uninstall()
    for name in [name for name in sys.modules if name.partition(".")[0] == "archimport"]:
        del sys.modules[name]
