"""The `__main__` of a parent process in its multiprocessing children, where that is a module of a store.

A child of spawn or forkserver runs its parent's main module again, as `__mp_main__`, so that functions of it can be
unpickled; but for modules named `__main__`, which it takes for the script of a folder or of an archive.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.runtime.store import Store


def main_of(store: Store | None) -> str | None:
    """Give the full name of the module that runs as `__main__`, if it is one of this store that children pass over."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None or store is None or getattr(spec.loader, "store", None) is not store:
        return None
    name: str = spec.name
    return name if name.rpartition(".")[2] == "__main__" else None


def promise_main(name: str) -> None:
    """Let the child's `__main__` run that module once something of it is asked for: its imports need the whole path."""
    main = sys.modules["__main__"]

    def find(attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        main.__dict__.pop("__getattr__", None)
        return getattr(_run(name), attribute)

    main.__dict__["__getattr__"] = find


def _run(name: str) -> object:
    from _frozen_importlib_external import PathFinder
    from importlib.util import find_spec, module_from_spec

    spec = find_spec(name) if "." in name else PathFinder.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module {name!r}, which is the main one of the parent process", name=name)
    module = module_from_spec(spec)
    module.__name__ = "__mp_main__"
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    exec(spec.loader.get_code(name), module.__dict__)  # type: ignore[attr-defined]  # a loader of ours
    return module
