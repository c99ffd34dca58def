"""Where the files of units are: in the user's cache, or where nothing stays behind."""

from __future__ import annotations

from archimport.runtime.errors import ArchimportError, ConfigError
from archimport.runtime.extract import folder_of, library_in_cache, package_in_cache
from archimport.runtime.private import UntrustedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from archimport.runtime.unit import Unit

#: Where unpacked units are in this process, or will be.
_folders: dict[str, str] = {}


def library_path(unit: Unit, path: str) -> str:
    """Give a path from which a library of a unit can be loaded; what it needs is there too.

    ConfigError, with both reasons, if neither the cache nor memory will do.
    """
    return _first(
        unit.location,
        f"the extension module {path!r} cannot be loaded",
        ("from the cache", lambda: library_in_cache(unit, path)),
        ("from memory", lambda: _scratch().library_in_memory(unit, path)),
    )


def planned_folder(name: str, location: str) -> str:
    """Give where the folder of a unit of a store is or will be; nothing is read or written for it but empty folders."""
    if name not in _folders:
        folder = _first(
            location,
            "a package cannot be unpacked",
            ("in the cache", lambda: folder_of(name)),
            ("in a temporary folder", lambda: _scratch().scratch_folder(name)),
        )
        _folders.setdefault(name, folder)
    return _folders[name]


def package_folder(unit: Unit, package: str) -> str:
    """Give the folder of a unit, all of its files in it; it may be another one than was planned.

    ConfigError, with both reasons, if they can be written neither into the cache nor into a temporary folder.
    """
    from archimport.runtime.progress import Progress  # deferred: libraries alone show none

    progress = Progress(f"unpacking {package}")
    _folders[unit.name] = _first(
        unit.location,
        f"the package {package!r} cannot be unpacked",
        ("into the cache", lambda: package_in_cache(unit, progress)),
        ("into a temporary folder", lambda: _scratch().package_in_scratch(unit, progress)),
    )
    progress.end()
    return _folders[unit.name]


def _scratch() -> ModuleType:
    from archimport.runtime import scratch  # deferred: where there is a cache it is not needed, and it imports much

    return scratch


def _first(store: str | None, failure: str, *ways: tuple[str, Callable[[], str]]) -> str:
    reasons = []
    for how, way in ways:
        try:
            return way()
        except OSError as exc:
            if isinstance(exc, ArchimportError):
                raise
            if isinstance(exc, UntrustedError):
                _warn(exc)
            reasons.append(f"not {how} ({exc.strerror or exc})")
    hint = "let the user's cache folder be writable; XDG_CACHE_HOME names another one"
    raise ConfigError(f"{failure}: {', '.join(reasons)}", store=store, hint=hint)


def _warn(refused: UntrustedError) -> None:
    """Warn once that each start extracts all again: the user can change that, and sees nothing of it otherwise."""
    import warnings  # deferred: not where all is well

    remedy = f" ({refused.remedy})" if refused.remedy else ""
    text = f"the cache is not used, each start extracts again: {refused}{remedy}"
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=1)
    except RuntimeWarning:  # `-W error` is for faults of the program
        return
