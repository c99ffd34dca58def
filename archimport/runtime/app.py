"""Run an application from a store: what `python app.arc` and `archimport run` do."""

from __future__ import annotations

import os
import sys

from archimport.runtime import mount
from archimport.runtime.entries import drop_modules_of_environment, drop_own_imports, lead_path
from archimport.runtime.errors import ArchimportError, ConfigError
from archimport.runtime.garbage import HeldBack, spare_last_collections
from archimport.runtime.names import join
from archimport.runtime.reports import hide_from_hooks_of_the_app, report_as_from_a_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import NoReturn

    from archimport.runtime.store import Store


def run_bundle(archive: str, path: list[str], before: Collection[str]) -> None:
    """Run the app of a bundle that was started as a file; never returns normally.

    `path` is what `sys.path` had behind the file: an app that was packed open gets it back. `before` are the names of
    the modules that the interpreter had loaded. A typed error is one line
    on stderr and exit status 1. The app's own errors and exit status pass through.
    """
    location = os.path.realpath(archive)
    spare_last_collections()

    def run() -> None:
        store = mount.open_bundle(location)
        entry = entry_of(store, "")
        if entry is None:
            raise ConfigError("the bundle has no entry point", store=location, hint="pack it with -e or -c")
        lead_path(mount.PathEntry(location, location, {}, store), path if sees_environment(store) else sys.path[1:])
        if not sees_environment(store):
            drop_modules_of_environment(store)
        drop_own_imports(store, "", before)
        run_entry(entry)

    exit_in_one_line(run, [location], os.path.basename(archive))


def exit_in_one_line(run: Callable[[], None], locations: Collection[str | None], program: str) -> None:
    """Call `run`, and end the program with one line if the store at one of `locations` raises a typed error."""
    try:
        run()
    except BaseException as exc:
        if isinstance(exc, ArchimportError) and exc.store in locations:
            sys.exit(f"{program}: error: {exc}")
        if not isinstance(exc, SystemExit):
            hide_from_hooks_of_the_app()
        if isinstance(exc, Exception):
            _doubt_extracted_files()
        raise


def _doubt_extracted_files() -> None:
    """Let the next start verify what lies in the cache: if that is damaged, it is why this one failed."""
    extract = sys.modules.get("archimport.runtime.extract")
    if extract is not None:
        extract.doubt()


def run_entry(entry: str) -> None:
    """Run `MODULE:FUNC` as a console script does, or `MODULE` as `python -m` does, as the real `__main__`."""
    name, _, function = entry.partition(":")
    if not function:
        run_module(name)
        return
    report_as_from_a_folder()
    with HeldBack():
        value: object = __import__(name, fromlist=("x",))
    for attribute in function.split("."):
        value = getattr(value, attribute)
    sys.exit(value())  # type: ignore[operator]  # an entry point is callable (packaging, entry points)


def run_module(name: str, *, is_program: bool = False) -> None:
    """Run a module in the dictionary of the real `__main__`, where pickle looks for its classes.

    `is_program` says that it was named by `-m`: then `sys.argv[0]` is its file.
    """
    import runpy  # deferred: a function does not need it

    report_as_from_a_folder(runpy._run_code.__code__)  # type: ignore[attr-defined]  # what `python -m` runs
    if name == "__main__":
        from _frozen_importlib_external import PathFinder

        spec = PathFinder.find_spec(name)
        if spec is None or spec.loader is None:
            _no_such_module("No module named '__main__' in the store")
        code = spec.loader.get_code(name)  # type: ignore[attr-defined]  # as loaders of source and of bytecode have it
    else:
        try:
            _, spec, code = runpy._get_module_details(name)  # type: ignore[attr-defined]  # what `python -m` does
        except ImportError as exc:
            _no_such_module(str(exc))
    if is_program:
        sys.argv[0] = spec.origin or name
    runpy._run_code(code, fresh_main(), None, "__main__", spec)  # type: ignore[attr-defined]  # ditto


def fresh_main() -> dict[str, object]:
    """Give the dictionary of `__main__` without what started the program: it is the app's."""
    namespace = sys.modules["__main__"].__dict__
    for name in [name for name in namespace if not name.startswith("__") or name in ("__file__", "__cached__")]:
        del namespace[name]
    namespace["__doc__"] = namespace["__spec__"] = None
    return namespace


def _no_such_module(reason: str) -> NoReturn:
    """End as `python -m` ends."""
    sys.exit(f"{sys.executable}: {reason}")


def entry_of(store: Store, folder: str) -> str | None:
    """Give the entry point of an app in a folder of a store: a bundle says it, elsewhere a `__main__` module is it."""
    return _meta(store).get("entry") or ("__main__" if store.lookup(join(folder, "__main__.py")) else None)


def sees_environment(store: Store) -> bool:
    """Whether the app in a store sees the environment it runs in: a bundle's does not, unless it was packed open."""
    return _meta(store).get("open", "no" if store.kind == "bundle" else "yes") == "yes"


def _meta(store: Store) -> dict[str, str]:
    meta: dict[str, str] = getattr(store, "meta", {})
    return meta
