"""The path hook, and the object on `sys.meta_path`: what the import machinery asks."""

from __future__ import annotations

import os
import sys

from archimport.runtime import namespace
from archimport.runtime.early import TooEarlyError
from archimport.runtime.errors import ArchimportError
from archimport.runtime.finder import ScriptFinder, StoreFinder
from archimport.runtime.lock import Lock
from archimport.runtime.metadata import MetadataFinder
from archimport.runtime.opening import Alone, is_being_opened, is_waited_for, open_entry
from archimport.runtime.registry import registry
from archimport.runtime.schemes import schemes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from archimport.runtime.store import Store

_installing = Lock()


def install() -> None:
    """Put the path hook first on `sys.path_hooks`, and the metadata finder first on `sys.meta_path`; idempotent."""
    with _installing:
        if path_hook not in sys.path_hooks:
            sys.path_hooks.insert(0, path_hook)
            for entry, finder in list(sys.path_importer_cache.items()):
                if finder is None or type(finder).__name__ == "zipimporter":  # perhaps ours now: a bundle ends in a zip
                    sys.path_importer_cache.pop(entry, None)
        if metadata_finder not in sys.meta_path:
            sys.meta_path.insert(0, metadata_finder)
            metadata_finder.patch_loaded()
            namespace.teach(_finder_of)


def uninstall() -> None:
    """Take away what `install` put on `sys`; modules that are loaded keep working.

    The lists are replaced: from one that shrinks, a thread that imports would pass over somebody else's finder.
    """
    with _installing:
        sys.path_hooks = [hook for hook in sys.path_hooks if hook is not path_hook]
        sys.meta_path = [finder for finder in sys.meta_path if finder is not metadata_finder]
        metadata_finder.restore()
        namespace.unteach()
        for entry, finder in list(sys.path_importer_cache.items()):
            if isinstance(finder, StoreFinder):
                sys.path_importer_cache.pop(entry, None)


def path_hook(entry: str) -> StoreFinder | ScriptFinder | Postponed:
    """Give the finder of a path entry that is ours; ImportError for "not mine", as importlib asks of hooks.

    An entry that is ours and cannot be opened raises its ArchimportError, here and at every later import.
    """
    if is_being_opened(entry) and not os.path.isdir(entry):
        return Postponed(entry)
    try:
        found = (registry.locate(entry) or open_entry(entry)) if entry else None
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
    keep_finder(store)
    if not there.is_dir:
        return ScriptFinder(store, there, entry)
    return StoreFinder(store, folder, entry)


def keep_finder(store: Store) -> None:
    """Have a finder at the location of an open store: `linecache` asks what it finds there, and makes none."""
    is_missing = store.location not in sys.path_importer_cache and path_hook in sys.path_hooks
    if is_missing and registry.holds(store):
        sys.path_importer_cache[store.location] = StoreFinder(store, "", store.location)


class Postponed:
    """The finder of a path entry that cannot be opened yet: by this thread, or because what opens it is incomplete.

    Each lookup tries again, and the finder that comes of it takes this one's place.
    """

    def __init__(self, entry: str) -> None:
        self.path = entry

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Ask the finder that the entry has by now: ours if it can be opened, else that of another hook."""
        if is_waited_for(self.path):
            with Alone():  # our hook would wait, too
                finder = self._finder()
        else:
            finder = self._finder()
        return None if finder is None else finder.find_spec(fullname, target)  # type: ignore[attr-defined]  # as finders

    def _finder(self) -> object:
        finders = _finders(self.path)
        finder = next(finders, None)
        if not isinstance(finder, Postponed):  # nobody's too, which is not asked for again
            sys.path_importer_cache[self.path] = finder  # type: ignore[assignment]  # whatever a hook returned
            return finder
        return next((other for other in finders if not isinstance(other, Postponed)), None)


def _finders(entry: str) -> Iterator[object]:
    """Return the finder of each hook that takes an entry: ours may be any of them, since others wrap hooks."""
    for hook in sys.path_hooks:
        try:
            yield hook(entry)
        except ImportError:  # not this one's
            continue


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
