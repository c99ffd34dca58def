"""The runtime that a bundle carries for this Python: code of all its modules, in one table that was read at once."""

from __future__ import annotations

import _imp
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType


class CarriedRuntime:
    """Find and load the modules of a table: full name to whether it is a package, and its code.

    `archive` is the zip in which their sources are.
    """

    def __init__(self, archive: str, table: dict[str, tuple[bool, CodeType]]) -> None:
        self._archive = archive
        self._table = table

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Give the spec of a module of the table."""
        if fullname not in self._table:
            return None
        is_package, _ = self._table[fullname]
        stem = f"{self._archive}/{fullname.replace('.', '/')}"
        origin = f"{stem}/__init__.py" if is_package else f"{stem}.py"
        spec = ModuleSpec(fullname, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]  # it is one
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(stem)
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the machinery."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, which names where its source is."""
        _, code = self._table[module.__name__]
        _imp._fix_co_filename(code, module.__file__)  # type: ignore[attr-defined]  # typeshed does not know it
        exec(code, module.__dict__)
