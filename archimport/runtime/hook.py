"""Everything that changes `sys`: the path hook, the object on `sys.meta_path`, and entries of `sys.path`."""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock, get_ident

from archimport.runtime import namespace
from archimport.runtime.finder import StoreFinder
from archimport.runtime.metadata import MetadataFinder
from archimport.runtime.registry import registry
from archimport.runtime.schemes import schemes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archimport.runtime.store import Store

_opening: dict[int, list[str]] = {}
#: How often each entry is mounted, and the string on `sys.path` whose place it took.
_mounts: dict[str, tuple[int, str | None]] = {}
_mounting = allocate_lock()


def install() -> None:
    """Put the path hook first on `sys.path_hooks`, and the metadata finder first on `sys.meta_path`; idempotent."""
    if path_hook not in sys.path_hooks:
        sys.path_hooks.insert(0, path_hook)
        for entry, finder in tuple(sys.path_importer_cache.items()):
            if finder is None or type(finder).__name__ == "zipimporter":  # perhaps ours now: a bundle ends in a zip
                del sys.path_importer_cache[entry]
    if metadata_finder not in sys.meta_path:
        sys.meta_path.insert(0, metadata_finder)
        namespace.teach(_finder_of)


def uninstall() -> None:
    """Take away what `install` put on `sys`; modules that are loaded keep working."""
    if path_hook in sys.path_hooks:
        sys.path_hooks.remove(path_hook)
    if metadata_finder in sys.meta_path:
        sys.meta_path.remove(metadata_finder)
    metadata_finder.unteach()
    namespace.unteach()
    for entry, finder in tuple(sys.path_importer_cache.items()):
        if isinstance(finder, StoreFinder):
            del sys.path_importer_cache[entry]


def path_hook(entry: str) -> StoreFinder:
    """Give the finder of a path entry that is ours; ImportError for "not mine", as importlib asks of hooks.

    An entry that is ours and cannot be opened raises its ArchimportError, here and at every later import.
    """
    found = (registry.locate(entry) or _open(entry)) if entry else None
    if found is None:
        if get_ident() in _opening:
            _opening[get_ident()].append(entry)
        else:
            registry.raise_failure(entry)
        raise ImportError("not a path entry of a store", path=entry)
    store, folder = found
    there = store.lookup(folder)
    if there is None or not there.is_dir:
        raise ImportError("no such folder in the store", path=entry)
    return StoreFinder(store, folder, entry)


def _open(entry: str) -> tuple[Store, str] | None:
    """Open the store that a path entry names; None if it is not ours, or if this thread is opening one already.

    Even to recognise an entry may import, and an import calls the hook.
    """
    if get_ident() in _opening:
        return None
    with Alone():
        request = schemes.recognise(entry, bare=True)
        return (registry.open(request), request.folder) if request else None


class Alone:
    """While a thread is in here, the hook refuses it every path entry that is ours and not open yet.

    What was refused then leaves the machinery's cache, where it is nobody's or zipimport's, to be asked for again.
    """

    def __enter__(self) -> None:
        self._is_outermost = get_ident() not in _opening
        _opening.setdefault(get_ident(), [])

    def __exit__(self, *exc_info: object) -> None:
        if self._is_outermost:
            for entry in _opening.pop(get_ident()):
                sys.path_importer_cache.pop(entry, None)


def _finder_of(entry: str) -> StoreFinder | None:
    """Give our finder of a path entry, if it is ours."""
    finder: object = sys.path_importer_cache.get(entry)
    if finder is None:
        try:
            finder = path_hook(entry)
        except ImportError:
            return None
    return finder if isinstance(finder, StoreFinder) else None


def _look_again() -> None:
    schemes.invalidate()
    registry.invalidate()


metadata_finder = MetadataFinder(_look_again, _finder_of)


def register_scheme(scheme: str, opener: Callable[..., Store]) -> None:
    """Let path entries that begin with `scheme:` be opened by `opener(path_entry, **options)`, which gives a Store."""
    schemes.register(scheme, opener)


def put_on_path(entry: str, position: int) -> None:
    """Count a mount of an entry, and put it on `sys.path`, in the place of an equal string that is there."""
    with _mounting:
        count, replaced = _mounts.get(entry, (0, None))
        if entry not in sys.path:
            sys.path.insert(position, entry)
        elif not count:
            at = sys.path.index(entry)
            replaced, sys.path[at] = sys.path[at], entry
        _mounts[entry] = count + 1, replaced


def take_off_path(entry: str) -> None:
    """Count a mount less, and with the last one take the entry off `sys.path`, or put back what it had replaced."""
    with _mounting:
        count, replaced = _mounts.pop(entry)
        if count > 1:
            _mounts[entry] = count - 1, replaced
        elif entry in sys.path:
            at = sys.path.index(entry)
            sys.path[at : at + 1] = [] if replaced is None else [replaced]


def discard_unmounted(store: Store) -> None:
    """Let go of a store that has no mounted path entry."""
    if store.location not in {found[0].location for found in map(registry.locate, tuple(_mounts)) if found}:
        registry.discard(store)
        forget_finders(store.location)


def lead_path(entry: str, path: list[str]) -> None:
    """Let `sys.path` be `entry`, that of the running bundle, and then `path`."""
    forget_finders(entry)
    sys.path[:] = [entry, *path]


def drop_replaced_modules(store: Store) -> None:
    """Forget modules that the store has and that something else was loaded for: a `.pth` file runs before any app."""
    finder = StoreFinder(store, "", store.location)
    for name, module in tuple(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
        is_library = os.path.dirname(origin.removesuffix("__init__.py").rstrip("/\\")) in sys.path
        if "." in name or not os.path.isabs(origin) or is_library or origin.startswith(f"{store.location}{os.sep}"):
            continue
        if finder.find_spec(name) is not None:
            for loaded in tuple(sys.modules):
                if loaded == name or loaded.startswith(f"{name}."):
                    del sys.modules[loaded]


def forget_finders(location: str) -> None:
    """Drop the finders at and under a location, whoever made them: zipimport may have been first."""
    for entry in tuple(sys.path_importer_cache):
        path = os.path.realpath(entry) if isinstance(entry, str) else ""
        if path == location or path.startswith(f"{location}{os.sep}"):
            sys.path_importer_cache.pop(entry, None)
    metadata_finder.forget()


def _after_fork() -> None:
    """Take new locks and forget what other threads were doing: they are not in this process."""
    global _mounting  # noqa: PLW0603 - a lock cannot be reset
    _mounting = allocate_lock()
    for thread in _opening.keys() - {get_ident()}:
        del _opening[thread]
    registry.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
