"""The path entry finder: specs from what a store holds (PEP 302, PEP 420, PEP 451)."""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES

from archimport.runtime.bytecode import cached_member
from archimport.runtime.errors import ArchimportError
from archimport.runtime.loader import LOADERS, StoreLoader, file_at
from archimport.runtime.names import join
from archimport.runtime.native import ALL_LOADERS
from archimport.runtime.unit import plan_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, ModuleType

    from archimport.runtime.store import Entry, Store

#: By which suffix a file is a module, longest first, as `inspect.getmodulename` takes them.
_MODULE_SUFFIXES = sorted((*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES), key=len, reverse=True)


class StoreFinder:
    """Find modules in one directory of a store. To find them it asks `lookup` and `list`, and reads no member.

    `path` is the path entry that it was made for. What has to be real files is found as such, if it `unpacks`.
    """

    def __init__(self, store: Store, folder: str, path: str, *, unpacks: bool = True) -> None:
        self.store = store
        self.folder = folder
        self.path = path
        self._loaders = ALL_LOADERS if store.may_have_libraries else LOADERS
        self._unpacks = unpacks
        self._unpacked = plan_of(store).unpacked if unpacks else {}

    def __repr__(self) -> str:
        """Name the path entry."""
        return f"StoreFinder({self.path!r})"

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Give the spec of a module, of a package, or of a portion of a namespace package; None if not here.

        Package before module, module before portion; suffixes in FileFinder's order.
        """
        tail = fullname.rpartition(".")[2]
        if not tail or "/" in tail:  # no module's name, but a path in the store
            return None
        if fullname == "__main__" and self.store.starts_itself and _is_program(self.path):
            from zipimport import zipimporter  # part of the interpreter

            return zipimporter(self.store.location).find_spec(fullname)
        path = join(self.folder, tail)
        lookup = self.store.lookup
        folder = lookup(path)
        is_folder = folder is not None and folder.is_dir
        if is_folder:
            for suffix, loader in self._loaders:
                entry = lookup(f"{path}/__init__{suffix}")
                if entry is not None and not entry.is_dir:
                    return self._spec(fullname, entry, loader, path)
        for suffix, loader in self._loaders:
            entry = lookup(path + suffix)
            if entry is not None and not entry.is_dir:
                return self._spec(fullname, entry, loader, None)
        if is_folder:
            portion = ModuleSpec(fullname, None, is_package=True)
            portion.submodule_search_locations = [f"{self.store.location}/{path}"]
            return portion
        if folder is not None and folder.problem is not None:  # a link to a package, perhaps
            self.store.read(folder)  # raises that: what the next path entry has is another one
        return None

    def _spec(self, fullname: str, entry: Entry, loader: type[StoreLoader], package: str | None) -> ModuleSpec:
        unit = self._unpacked.get(package or entry.path)
        if unit is not None:
            from archimport.runtime.unpacked import unpacked_spec  # deferred: most programs unpack nothing

            return unpacked_spec(fullname, loader, self.store, unit, entry)
        origin = f"{self.store.location}/{entry.path}"
        spec = ModuleSpec(
            fullname,
            loader(fullname, origin, self.store, entry),  # type: ignore[arg-type]  # a virtual subclass
            origin=origin,
            loader_state=entry,
        )
        if package is not None:
            spec.submodule_search_locations = [f"{self.store.location}/{package}"]
        spec.has_location = True
        if loader is StoreLoader and sys.pycache_prefix is None:  # sooner than importlib would find it
            cached = cached_member(entry.path)
            spec.cached = f"{self.store.location}/{cached}" if cached else None
        return spec

    def get_data(self, path: str) -> bytes:
        """Return the bytes of any member of the store; OSError if there is none, or if it cannot be read.

        `linecache` asks so from Python 3.14.10 and 3.15.2 on, where nobody has to hear of another error.
        """
        try:
            return self.store.read(file_at(path, self.store))
        except ArchimportError as exc:
            raise OSError(5, str(exc), path) from exc

    def invalidate_caches(self) -> None:
        """Let the store look again at what may have changed."""
        self.store.invalidate()
        self._unpacked = plan_of(self.store).unpacked if self._unpacks else {}

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """Give `(prefix + name, is package)` of each module here, sorted by name (pkgutil)."""
        seen = {"__init__"}
        for name in self.store.list(self.folder):
            module, is_package = self._module_name(name)
            if module and module not in seen:
                seen.add(module)
                yield prefix + module, is_package

    def _module_name(self, name: str) -> tuple[str | None, bool]:
        entry = self.store.lookup(join(self.folder, name))
        if entry is not None and entry.is_dir:
            is_package = "." not in name and self._is_package(entry.path)
            return (name if is_package else None), is_package
        stem = next((name[: -len(suffix)] for suffix in _MODULE_SUFFIXES if name.endswith(suffix)), "")
        return (stem if "." not in stem else None), False

    def _is_package(self, folder: str) -> bool:
        return any(self.store.lookup(f"{folder}/__init__{suffix}") for suffix in _MODULE_SUFFIXES)

    def discover(self, parent: ModuleSpec | None = None) -> Iterator[ModuleSpec]:
        """Give the specs of all modules here, namespace portions included (Python 3.15).

        ValueError if `parent` is the spec of something that has no submodules.
        """
        if parent is not None and parent.submodule_search_locations is None:
            raise ValueError(f"{parent} is not a package module")
        prefix = f"{parent.name}." if parent is not None else ""
        for name in dict.fromkeys(self._children()):
            spec = self.find_spec(prefix + name)
            if spec is not None:
                yield spec

    def _children(self) -> Iterator[str]:
        """Give what may be modules here, as FileFinder does: `__init__` too."""
        for name in self.store.list(self.folder):
            entry = self.store.lookup(join(self.folder, name))
            if entry is not None and entry.is_dir:
                yield from () if "." in name or name == "__pycache__" else (name,)
            else:
                yield from (name.removesuffix(suffix) for suffix, _ in self._loaders if name.endswith(suffix))


class ScriptFinder:
    """Find one source of a store as `__main__`, and nothing else: what `runpy.run_path` is given may be a file.

    `path` is the path entry that it was made for. Elsewhere on the path a file has no modules, as one of a directory.
    """

    def __init__(self, store: Store, entry: Entry, path: str) -> None:
        self.store = store
        self.entry = entry
        self.path = path

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of the source, if it is asked for as `__main__` and is what `run_path` has put first."""
        if fullname != "__main__" or sys.path[:1] != [self.path]:
            return None
        origin = f"{self.store.location}/{self.entry.path}"
        loader = StoreLoader(fullname, origin, self.store, self.entry)
        spec = ModuleSpec(fullname, loader, origin=origin)  # type: ignore[arg-type]  # a virtual subclass
        spec.has_location = True
        return spec


def _is_program(path: str) -> bool:
    """Whether the interpreter was started with this path and asks for what it is to run: `python app.arc`."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "_run_module_as_main":  # of runpy
        frame = frame.f_back
    # It sets that once it has found what to run.
    return frame is not None and "main_globals" not in frame.f_locals and path == sys.path[0]
