"""Extension modules: the machine's loader takes files alone, so they become some, in the cache or in memory."""

from __future__ import annotations

import _imp
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import EXTENSION_SUFFIXES

from archimport.runtime.loader import LOADERS, StoreLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from archimport.runtime.loader import Loaders


class ExtensionLoader(StoreLoader):
    """Load one extension module of a store (PEP 489); `__file__` and `spec.origin` name the member."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Load the library, and what it needs; ImportError that names the member if it cannot be loaded."""
        from archimport.runtime.places import library_path  # deferred: most programs that look for such find none
        from archimport.runtime.unit import plan_of, unit_of_library

        sys.audit("archimport.load", spec.name, self.store.location, self.entry.path)
        path = library_path(unit_of_library(self.store, self.entry.path), self.entry.path)
        real = ModuleSpec(spec.name, spec.loader, origin=path)
        try:
            module: ModuleType = _imp.create_dynamic(real)
        except ImportError as exc:
            hint = "" if plan_of(self.store).libraries else "; what it needs is found by archimport pack"
            raise ImportError(f"{exc.msg} ({self.path}{hint})", name=spec.name, path=self.path) from None
        if isinstance(module, _Module):  # what else an extension makes itself may not take it
            module.__file__ = self.path
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run what the module does when it is imported."""
        _imp.exec_dynamic(module)

    def is_package(self, fullname: str) -> bool:
        """Whether the module is the `__init__` of a package."""
        self._check_name(fullname)
        return self.entry.path.rpartition("/")[2].partition(".")[0] == "__init__" != fullname.rpartition(".")[2]

    def get_source(self, fullname: str) -> None:
        """Give None: there is no source."""
        self._check_name(fullname)

    def find_code(self) -> None:  # type: ignore[override]  # ditto
        """Give None: there is no code."""

    def get_code(self, fullname: str) -> None:  # type: ignore[override]  # as ExtensionFileLoader has it
        """Give None: there is no code."""
        self._check_name(fullname)


_Module = type(sys)

#: Which loader serves which suffix, in the order of FileFinder.
ALL_LOADERS: Loaders = (*((suffix, ExtensionLoader) for suffix in EXTENSION_SUFFIXES), *LOADERS)
