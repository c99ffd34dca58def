"""Everything that changes `sys`: the path hook, the object on `sys.meta_path`, and entries of `sys.path`."""

from __future__ import annotations

import _imp
import os
import sys
from _thread import LockType, allocate_lock, get_ident

from archimport.runtime import namespace
from archimport.runtime.early import TooEarlyError
from archimport.runtime.errors import ArchimportError
from archimport.runtime.finder import ScriptFinder, StoreFinder
from archimport.runtime.lock import Lock
from archimport.runtime.metadata import MetadataFinder
from archimport.runtime.registry import registry
from archimport.runtime.schemes import schemes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from archimport.runtime.store import Store

#: The threads that are opening a store, and the entries that hooks are opening.
_opening: set[int] = set()
_turns: dict[str, LockType] = {}
#: In seconds: how long a thread waits for another one that is opening an entry; it may be one that this one waits for.
_PATIENCE = 5.0
#: How often each entry is mounted, and the string on `sys.path` whose place it took.
_mounts: dict[str, tuple[int, str | None]] = {}
_changing = Lock()


def install() -> None:
    """Put the path hook first on `sys.path_hooks`, and the metadata finder first on `sys.meta_path`; idempotent."""
    with _changing:
        if path_hook not in sys.path_hooks:
            sys.path_hooks.insert(0, path_hook)
            for entry, finder in list(sys.path_importer_cache.items()):
                if finder is None or type(finder).__name__ == "zipimporter":  # perhaps ours now: a bundle ends in a zip
                    sys.path_importer_cache.pop(entry, None)
        if metadata_finder not in sys.meta_path:
            sys.meta_path.insert(0, metadata_finder)
            namespace.teach(_finder_of)


def uninstall() -> None:
    """Take away what `install` put on `sys`; modules that are loaded keep working.

    The lists are replaced: from one that shrinks, a thread that imports would pass over somebody else's finder.
    """
    with _changing:
        sys.path_hooks = [hook for hook in sys.path_hooks if hook is not path_hook]
        sys.meta_path = [finder for finder in sys.meta_path if finder is not metadata_finder]
        metadata_finder.unteach()
        namespace.unteach()
        for entry, finder in list(sys.path_importer_cache.items()):
            if isinstance(finder, StoreFinder):
                sys.path_importer_cache.pop(entry, None)


def path_hook(entry: str) -> StoreFinder | ScriptFinder | Postponed:
    """Give the finder of a path entry that is ours; ImportError for "not mine", as importlib asks of hooks.

    An entry that is ours and cannot be opened raises its ArchimportError, here and at every later import.
    """
    if _is_being_opened(entry) and not os.path.isdir(entry):
        return Postponed(entry)
    try:
        found = (registry.locate(entry) or _open(entry)) if entry else None
        if found is None:
            registry.raise_failure(entry)
    except TooEarlyError:
        return Postponed(entry)
    except ArchimportError as exc:
        raise exc from None  # importlib is handling a KeyError that quotes the entry, and what is secret in it
    if found is None:
        raise ImportError("not a path entry of a store", path=entry)
    store, folder = found
    there = store.lookup(folder)
    if there is None:
        raise ImportError("no such folder in the store", path=entry)
    if not there.is_dir:
        return ScriptFinder(store, there)
    return StoreFinder(store, folder, entry)


def _is_being_opened(entry: str) -> bool:
    """Whether this thread is opening what may be this store: even to recognise an entry may import."""
    return get_ident() in _opening and registry.locate(entry) is None


def _open(entry: str) -> tuple[Store, str] | None:
    """Open the store that a path entry names; None if it is not ours. TooEarlyError if that cannot be now."""
    if get_ident() in _opening:
        return None
    turn = _turns.setdefault(entry, allocate_lock())
    with Alone(), _Unlocked():
        if not turn.acquire(timeout=_PATIENCE):
            raise TooEarlyError("the store is being opened by another thread", store=entry)
        try:
            request = schemes.recognise(entry, bare=True)
            return (registry.open(request), request.folder) if request else None
        finally:
            turn.release()
            _turns.pop(entry, None)


class Alone:
    """While a thread is in here, the hook postpones for it every path entry that may be ours and is not open yet."""

    def __enter__(self) -> None:
        self._is_outermost = get_ident() not in _opening
        _opening.add(get_ident())

    def __exit__(self, *exc_info: object) -> None:
        if self._is_outermost:
            _opening.discard(get_ident())


class _Unlocked:
    """While a thread is in here, it does not hold the import lock, under which importlib calls hooks.

    To open a store may mean to wait for another thread to import what opens it, which needs that lock.
    """

    def __enter__(self) -> None:
        self._depth = 0
        try:
            while True:
                _imp.release_lock()
                self._depth += 1
        except RuntimeError:  # it was not this thread's
            return

    def __exit__(self, *exc_info: object) -> None:
        for _ in range(self._depth):
            _imp.acquire_lock()


class Postponed:
    """The finder of a path entry that cannot be opened yet: by this thread, or because what opens it is incomplete.

    Each lookup tries again, and the finder that comes of it takes this one's place.
    """

    def __init__(self, entry: str) -> None:
        self.path = entry

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Give what the finder gives that the entry has by now; as long as it has none of ours, another hook's."""
        finder = None if self.path in _turns else _first_finder(sys.path_hooks, self.path)
        if finder is None or isinstance(finder, Postponed):
            finder = _first_finder((hook for hook in sys.path_hooks if hook is not path_hook), self.path)
        else:
            sys.path_importer_cache[self.path] = finder  # type: ignore[assignment]  # whatever a hook gave
        return None if finder is None else finder.find_spec(fullname, target)  # type: ignore[attr-defined]


def _first_finder(hooks: Iterable[Callable[[str], object]], entry: str) -> object:
    for hook in hooks:
        try:
            return hook(entry)
        except ImportError:  # not this one's
            continue
    return None


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


def put_on_path(entry: str, position: int, store: Store) -> bool:
    """Count a mount of an entry, and put it on `sys.path`, in the place of an equal string that is there.

    False, and nothing else, if another thread unmounted the store since it was opened: then it is to be opened again.
    """
    with _changing:
        if not registry.holds(store):
            return False
        count, replaced = _mounts.get(entry, (0, None))
        if entry not in sys.path:
            sys.path.insert(position, entry)
        elif not count:
            at = sys.path.index(entry)
            replaced, sys.path[at] = sys.path[at], entry
        _mounts[entry] = count + 1, replaced
        return True


def take_off_path(entry: str, store: Store) -> None:
    """Count a mount less, and with the last one take the entry off `sys.path`, or put back what it had replaced."""
    with _changing:
        count, replaced = _mounts.pop(entry)
        if count > 1:
            _mounts[entry] = count - 1, replaced
        elif replaced is not None and entry in sys.path:
            sys.path[sys.path.index(entry)] = replaced
        elif entry in sys.path:
            sys.path.remove(entry)
    discard_unmounted(store)


def discard_unmounted(store: Store) -> None:
    """Let go of a store that has no mounted path entry."""
    with _changing:
        if store.location in {found[0].location for found in map(registry.locate, _mounts) if found}:
            return
        registry.discard(store)
    forget_finders(store.location)


def lead_path(entry: str, path: list[str]) -> None:
    """Let `sys.path` be `entry`, that of the running bundle, and then `path`."""
    forget_finders(entry)
    sys.path[:] = [entry, *path]


def drop_replaced_modules(store: Store) -> None:
    """Forget modules that the store has and that something else was loaded for: a `.pth` file runs before any app."""
    finder = StoreFinder(store, "", store.location)
    own = f"{store.location}{os.sep}"
    for name, module in list(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
        is_library = os.path.dirname(origin.removesuffix("__init__.py").rstrip("/\\")) in sys.path
        if "." in name or not os.path.isabs(origin) or is_library or os.path.realpath(origin).startswith(own):
            continue
        if finder.find_spec(name) is not None:
            for loaded in list(sys.modules):
                if loaded == name or loaded.startswith(f"{name}."):
                    del sys.modules[loaded]


def forget_finders(location: str) -> None:
    """Drop the finders at and under a location, whoever made them: zipimport may have been first."""
    for entry in list(sys.path_importer_cache):
        path = os.path.realpath(entry) if isinstance(entry, str) else ""
        if path == location or path.startswith(f"{location}{os.sep}"):
            sys.path_importer_cache.pop(entry, None)
    metadata_finder.forget()


def _after_fork() -> None:
    """Forget what other threads were doing: they are not in this process."""
    _opening.intersection_update({get_ident()})
    _turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
