"""Cyclic garbage collection where it is of no use: while a program is imported, and when it ends."""

from __future__ import annotations

import atexit
import gc
import sys
from _frozen_importlib_external import EXTENSION_SUFFIXES
from _io import BytesIO, StringIO
from itertools import islice

from archimport.runtime.file import ContainerFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

_Module = type(sys)
#: How many more objects than were freed may be made before there is a collection all the same.
_HELD = 250_000
#: Python 3.12 has frozen some itself; more are a program's, and stay frozen.
_FROZEN_BY_PYTHON = 1000
#: How many objects are looked at in one go.
_AT_ONCE = 100_000
#: Kinds with a finalizer that does nothing which the end of the process does not do.
_HARMLESS = {BytesIO, StringIO, ContainerFile}
#: Extension modules of the standard library with objects that write when they are freed, and have no finalizer.
_WRITE_WHEN_FREED = ("_dbm", "_gdbm", "_sqlite3")


class HeldBack:
    """A context in which there are hardly any collections; a program that sets them up itself there has its way.

    What was made in it is as old as what was there before, as if collections had found it alive.
    """

    def __enter__(self) -> None:
        """Hold back."""
        self._before = gc.get_threshold()
        self._held = (_HELD, *self._before[1:]) if 0 < self._before[0] < _HELD else self._before
        self._frozen = gc.get_freeze_count()
        gc.set_threshold(*self._held)

    def __exit__(self, *exc_info: object) -> None:
        """Go on as before."""
        if gc.get_threshold() != self._held or self._held == self._before:
            return
        if gc.get_freeze_count() == self._frozen < _FROZEN_BY_PYTHON:
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        gc.set_threshold(*self._before)


def spare_last_collections() -> None:
    """Have the program end without collecting, unless something that is left then could notice."""
    frozen = gc.get_freeze_count()

    def end() -> None:
        try:
            if gc.get_freeze_count() <= frozen and not (_is_watched() or _has_unknown_types() or _has_finalizers()):
                gc.freeze()
        except Exception:  # noqa: BLE001 - classes that are not hashable, or an audit hook that forbids to look
            return

    atexit.register(end)  # what is registered first is called last


def _is_watched() -> bool:
    return bool(gc.callbacks or gc.get_debug() or sys.warnoptions or sys.flags.dev_mode)


def _has_unknown_types() -> bool:
    """Whether extension modules are loaded whose objects may do anything when they are freed."""
    return any(name in sys.modules for name in _WRITE_WHEN_FREED) or any(map(_is_extension_of_others, _loaded()))


def _loaded() -> Iterator[tuple[str, ModuleType]]:
    for name, module in list(sys.modules.items()):
        if isinstance(name, str) and issubclass(type(module), _Module):
            yield name, module


def _is_extension_of_others(loaded: tuple[str, ModuleType]) -> bool:
    name, module = loaded
    if name.partition(".")[0] in sys.stdlib_module_names:
        return False
    file = _Module.__getattribute__(module, "__dict__").get("__file__")  # it may be lazy: it stays so
    return isinstance(file, str) and file.endswith(tuple(EXTENSION_SUFFIXES))


def _has_finalizers() -> bool:
    """Whether objects are left that do something before they are freed, other than the standard streams."""
    if any(_defines(meta, "__hash__", "__eq__") for meta in _metaclasses()):
        return True  # sets of such classes would ask them
    found = 0
    objects = iter(gc.get_objects())
    while kinds := list(map(type, islice(objects, _AT_ONCE))):  # the one walk over so much memory
        found += _count_final(kinds)
    return found != _count_final(list(map(type, filter(gc.is_tracked, _streams()))))


def _metaclasses() -> Iterator[type]:
    waiting: list[type] = [type]
    while waiting:
        yield waiting[-1]
        waiting += type.__subclasses__(waiting.pop())


def _count_final(kinds: list[type]) -> int:
    """Count kinds whose objects may do something when they, or what they lend their memory to (PEP 688), are freed."""
    final = {kind for kind in set(kinds) - _HARMLESS if _defines(kind, "__del__", "__release_buffer__")}
    return len(list(filter(final.__contains__, kinds)))


def _defines(kind: type, *names: str) -> bool:
    return any(name in _names_of(base) for base in _bases_of(kind) if base is not object for name in names)


def _streams() -> Iterable[object]:
    """Give the standard streams that the interpreter itself flushes when it ends, and what they are made of."""
    flushed = [sys.stdout] * (sys.stdout is sys.__stdout__) + [sys.stderr] * (sys.stderr is sys.__stderr__)
    texts = [sys.__stdin__, *flushed]
    buffers = [getattr(text, "buffer", None) for text in texts]
    parts = [*texts, *buffers, *(getattr(buffer, "raw", None) for buffer in buffers)]
    return {id(part): part for part in parts}.values()


_bases_of = type.__dict__["__mro__"].__get__
_names_of = type.__dict__["__dict__"].__get__
