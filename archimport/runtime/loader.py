"""The loaders: what importlib asks of a loader, derived from three methods against the store.

`StoreLoader` takes its base where zipimport takes it, from the import machinery itself, since `importlib.abc` would
load some seventy modules before Python 3.14.
"""

from __future__ import annotations

import sys
from _frozen_importlib_external import (
    BYTECODE_SUFFIXES,
    SOURCE_SUFFIXES,
    SourcelessFileLoader,
    SourceLoader,
    decode_source,
)

from archimport.runtime import bytecode
from archimport.runtime.errors import ArchimportError, ConfigError
from archimport.runtime.lines import tell_linecache
from archimport.runtime.location import member_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType

    from archimport.runtime.resources import StoreReader
    from archimport.runtime.store import Entry, Store

    Loaders = tuple[tuple[str, type["StoreLoader"]], ...]


class StoreLoader(SourceLoader):
    """Load one source module of a store (PEP 302, PEP 451; importlib.abc.SourceLoader).

    `name` is the module's full name, `path` its `__file__`. Methods that take a name raise ImportError for another one.
    What the store raises (ArchimportError) passes through: an outage is no missing module.
    """

    def __init__(self, name: str, path: str, store: Store, entry: Entry) -> None:
        self.name = name
        self.path = path
        self.store = store
        self.entry = entry

    @property
    def __class__(self) -> type[StoreLoader]:
        """The type. `isinstance` looks here before it asks an abstract class, which must know of this class by then."""
        _register_with_abc()
        return type(self)

    @__class__.setter
    def __class__(self, kind: type[StoreLoader]) -> None:
        object.__dict__["__class__"].__set__(self, kind)

    def __reduce__(self) -> tuple[Callable[[type, str, str], object], tuple[type, str, str]]:
        """Pickle as a name and a place, which another process looks for in its own stores."""
        return _loader_at, (type(self), self.name, self.path)

    def __eq__(self, other: object) -> bool:
        """Equal loaders load the same module from the same place; specs compare their loaders."""
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash what makes loaders equal."""
        return hash(self._key())

    def __repr__(self) -> str:
        """Name the module and where it comes from."""
        return f"<{type(self).__name__} {self.name!r} at {self.path!r}>"

    def _key(self) -> tuple[str, str]:
        return self.name, self.path

    def _check_name(self, name: str | None) -> None:
        if name not in (None, self.name, "__main__"):
            raise ImportError(f"loader for {self.name} cannot handle {name}", name=name, path=self.path)

    def get_data(self, path: str) -> bytes:
        """Give the bytes of a member; FileNotFoundError or IsADirectoryError as `open` would raise (PEP 302).

        `path` is anything that a program builds from `__file__` with `os.path`, or relative to the store's root.
        """
        return self.store.read(file_at(path, self.store))

    def path_stats(self, path: str) -> dict[str, int]:
        """Give `mtime` and `size` of a member; FileNotFoundError if there is none."""
        entry = file_at(path, self.store)
        return {"mtime": entry.mtime, "size": entry.size}

    def path_mtime(self, path: str) -> int:
        """Give `mtime` alone, as importlib did before Python 3.3."""
        return self.path_stats(path)["mtime"]

    def set_data(self, path: str, data: bytes) -> None:
        """Write a member into a writable store; where that fails nothing is written and nothing is raised.

        importlib asks for the silence: bytecode that cannot be kept must not fail an import.
        """
        member = member_of(path, self.store.location)
        if member and self.store.writable:
            try:
                self.store.write(member, bytes(data))
            except (ArchimportError, OSError):
                return

    def get_filename(self, fullname: str | None = None) -> str:
        """Give the module's `__file__`."""
        self._check_name(fullname)
        return self.path

    def get_source(self, fullname: str) -> str | None:
        """Give the decoded source (PEP 263), newlines translated."""
        self._check_name(fullname)
        return decode_source(self._read_source())

    def get_code(self, fullname: str) -> CodeType:
        """Give the module's code, for what will execute it: auditors and `linecache` are told."""
        self._check_name(fullname)
        tell_linecache(self)
        _register_with_abc()
        sys.audit("archimport.load", fullname, self.store.location, self.entry.path)
        return self.find_code()

    def find_code(self) -> CodeType:
        """Give the module's code: bound bytecode if it is fresh, else through the user's cache, else compiled."""
        return self._bound_code() or self._compiled_code()

    if hasattr(SourceLoader, "load_module"):  # which went with Python 3.15

        def load_module(self, fullname: str | None = None) -> ModuleType:
            """Import the module as programs did before PEP 451; the name may be left out, as with loaders of files."""
            self._check_name(fullname)
            return super().load_module(fullname or self.name)

    def get_resource_reader(self, fullname: str | None = None) -> StoreReader:
        """Return the reader of the directory that the module lies in (importlib.resources)."""
        from archimport.runtime.resources import StoreReader  # deferred: loads importlib.resources

        self._check_name(fullname)
        return StoreReader(self.store, self.entry.path.rpartition("/")[0])

    def _is_transformer(self) -> bool:
        """Whether a subclass, instance or patch reads or compiles in its own way: no other code is its code then."""
        return self._reads_itself() or _function(self.source_to_code) is not _COMPILING

    def _reads_itself(self) -> bool:
        return _function(self.get_data) is not _READING

    def _read_source(self) -> bytes:
        return self.get_data(self.path) if self._reads_itself() else self.store.read(self.entry)

    def _bound_code(self) -> CodeType | None:
        member = bytecode.cached_member(self.entry.path)
        cached = self.store.lookup(member) if member and not self._is_transformer() else None
        if cached is None or cached.is_dir or cached.problem is not None:
            return None
        try:
            pyc = self.store.read(cached)
        except ConfigError:  # compressed with what this interpreter has no decoder of
            return None
        fresh = bytecode.is_fresh(pyc, self._read_source)
        return bytecode.unmarshal(pyc, self.path) if fresh else None

    def _compiled_code(self) -> CodeType:
        source = self._read_source()
        if self._is_transformer():
            return self._compile(source)
        if not (self.store.writable and self.store.keeps_bytecode):
            return bytecode.compile_through_cache(source, self.path, lambda: self._compile(source))
        code = self._compile(source)
        member = bytecode.cached_member(self.entry.path)
        if member and not sys.dont_write_bytecode:
            self.set_data(member, bytecode.hashed_pyc(code, source, checked=True))
        return code

    def _compile(self, source: bytes) -> CodeType:
        if sys.version_info >= (3, 15):  # gh-141968 gave source_to_code the module's name
            return self.source_to_code(source, self.path, self.name)
        return self.source_to_code(source, self.path)


def file_at(path: str, store: Store) -> Entry:
    """Return the file that any spelling of a path names in a store; FileNotFoundError or IsADirectoryError if none."""
    member = member_of(str(path), store.location)
    entry = None if member is None else store.lookup(member)
    if entry is None:
        raise FileNotFoundError(2, "no such member", path)
    if entry.is_dir:
        raise IsADirectoryError(21, "is a directory", path)
    return entry


def _function(method: object) -> object:
    return getattr(method, "__func__", method)


#: What reads and compiles, before anybody changes it.
_READING, _COMPILING = StoreLoader.get_data, StoreLoader.source_to_code


def _loader_at(kind: type[StoreLoader], name: str, place: str) -> StoreLoader:
    """Give the loader of the member at a place in an open store; StoreUnavailable if there is no such store."""
    from archimport.runtime.registry import store_at
    from archimport.runtime.store import Entry

    store, path = store_at(place)
    return kind(name, place, store, store.lookup(path) or Entry(path))


class BytecodeStoreLoader(StoreLoader):
    """Load one module that has no source: a `.pyc` where the `.py` would lie."""

    def get_source(self, fullname: str) -> None:
        """Give None: there is no source."""
        self._check_name(fullname)

    def find_code(self) -> CodeType:
        """Give the module's code; ImportError, EOFError or ValueError as for files, if that cannot be."""
        return SourcelessFileLoader.get_code(self, self.name)  # type: ignore[arg-type,return-value]  # asks our methods


#: Which loader serves which suffix, in the order of FileFinder.
LOADERS: Loaders = (
    *((suffix, StoreLoader) for suffix in SOURCE_SUFFIXES),
    *((suffix, BytecodeStoreLoader) for suffix in BYTECODE_SUFFIXES),
)


def _register_with_abc() -> None:
    """Make this a subclass of `importlib.abc.SourceLoader`, once something has loaded that module."""
    abstract = getattr(sys.modules.get("importlib.abc"), "SourceLoader", None)  # it may be being imported
    if abstract is not None and not issubclass(StoreLoader, abstract):
        abstract.register(StoreLoader)
