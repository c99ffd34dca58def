"""Cyclic garbage collection where it is of no use: while a program is imported, and when it ends."""

from __future__ import annotations

import atexit
import gc
import sys
from _frozen_importlib_external import EXTENSION_SUFFIXES
from _io import BufferedRandom, BufferedReader, BufferedWriter, BytesIO, FileIO, StringIO, TextIOWrapper
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
#: How many objects are looked at in one go: the standard streams lie in one or two of these.
_AT_ONCE = 1024
#: Kinds of files, by identity: classes of a program may say that they equal these.
_BUFFERED = frozenset(map(id, (BufferedRandom, BufferedReader, BufferedWriter)))
_OPENED = _BUFFERED | {id(TextIOWrapper), id(FileIO)}
_IN_MEMORY = frozenset(map(id, (BytesIO, StringIO)))
#: Modules with kinds of classes that have a hash of their own, which asks nobody: `typing` has one from Python 3.14 on.
_HASH_HARMLESSLY = ("typing", "typing_extensions")
#: Packages whose extension modules have no object that does more than give memory back when it is freed at the end,
#: and has no finalizer, as those that mypyc makes. Not numpy, scipy, PIL, lxml and cffi, where some write or call back.
_ONLY_GIVE_BACK = frozenset(
    """
    aiohttp bcrypt bitarray charset_normalizer frozenlist greenlet httptools jiter kiwisolver markupsafe msgpack
    multidict orjson propcache psutil pydantic_core rapidfuzz regex rpds simplejson sqlalchemy tornado ujson websockets
    wrapt yaml yarl zope
    """.split()  # noqa: SIM905 - a table, not a line each
)
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
    """Have the program end without freeing what is left, unless something of it could notice."""
    frozen = gc.get_freeze_count()

    def end() -> None:
        if sys._getframe().f_back is not None:  # the program calls what is registered, and goes on
            return
        try:
            if gc.get_freeze_count() > frozen or _is_watched() or _has_unknown_types():
                return
            left = gc.get_objects()
            if not _has_finalizers(left):
                left.append(left)  # a cycle: what is in it outlives the interpreter
                gc.freeze()
        except Exception:  # noqa: BLE001 - an audit hook forbids to look
            return

    atexit.register(end)  # what is registered first is called last


def _is_watched() -> bool:
    return bool(gc.callbacks or gc.get_debug() or sys.warnoptions or sys.gettrace() or sys.getprofile())


def _has_unknown_types() -> bool:
    """Whether extension modules are loaded whose objects may do anything when they are freed."""
    return any(name in sys.modules for name in _WRITE_WHEN_FREED) or any(map(_is_extension_of_others, _loaded()))


def _loaded() -> Iterator[tuple[str, ModuleType]]:
    for name, module in list(sys.modules.items()):
        if isinstance(name, str) and issubclass(type(module), _Module):
            yield name, module


def _is_extension_of_others(loaded: tuple[str, ModuleType]) -> bool:
    name, module = loaded
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in _ONLY_GIVE_BACK or top.endswith("__mypyc"):
        return False
    file = _Module.__getattribute__(module, "__dict__").get("__file__")  # it may be lazy: it stays so
    return isinstance(file, str) and file.endswith(tuple(EXTENSION_SUFFIXES))


def _has_finalizers(objects: list[object]) -> bool:
    """Whether one of these objects does something before it is freed; those of the standard streams do not."""
    streams = {id(part) for part in _streams() if id(type(part)) in _OPENED}
    return any(id(one) not in streams and not _does_nothing(one) for one in _with_finalizers(objects))


def _with_finalizers(objects: list[object]) -> Iterator[object]:
    walk = iter(objects)
    distinct = list if _classes_hash_themselves() else set  # which is quicker, and would ask them
    kinds = [_by_id(distinct(map(type, islice(walk, _AT_ONCE)))) for _ in range(0, len(objects), _AT_ONCE)]
    final = _final_among({number: kind for part in kinds for number, kind in part.items()})
    for part, some in enumerate(kinds):
        if not final.isdisjoint(some):
            yield from (one for one in objects[part * _AT_ONCE : (part + 1) * _AT_ONCE] if id(type(one)) in final)


def _classes_hash_themselves() -> bool:
    waiting: list[type] = [type]
    for meta in waiting:
        waiting += type.__subclasses__(meta)
    return any(
        _defines(base, "__hash__") and _names_of(base).get("__module__") not in _HASH_HARMLESSLY
        for meta in waiting
        for base in _bases_of(meta)
    )


def _by_id(kinds: Iterable[type]) -> dict[int, type]:
    return {id(kind): kind for kind in kinds}


def _final_among(kinds: dict[int, type]) -> set[int]:
    """Give the kinds whose objects may do something when they, or what they lend memory to (PEP 688), are freed."""
    bases = _by_id(base for kind in kinds.values() for base in _bases_of(kind) if base is not ContainerFile)
    final = {number for number, base in bases.items() if _defines(base, "__del__", "__release_buffer__")}
    return {number for number, kind in kinds.items() if not final.isdisjoint(map(id, _bases_of(kind)))}


def _does_nothing(one: object) -> bool:
    """Whether this is a file which was closed, or is only in memory and has no `close` of its own."""
    if id(type(one)) in _IN_MEMORY:
        return not vars(one)
    if type(one) is TextIOWrapper:
        one = one.buffer
    if id(type(one)) in _BUFFERED:
        one = one.raw  # type: ignore[attr-defined]  # it is one of these
    return type(one) is FileIO and one.closed


def _defines(kind: type, *names: str) -> bool:
    return kind is not object and not _names_of(kind).keys().isdisjoint(names)


def _streams() -> Iterator[object]:
    """Give the standard streams, which the interpreter itself flushes when it ends, and what they are made of."""
    for text in (sys.__stdin__, sys.stdout, sys.stderr):
        if type(text) is TextIOWrapper:  # others flush what they like
            yield from (text, text.buffer, getattr(text.buffer, "raw", None))


_bases_of = type.__dict__["__mro__"].__get__
_names_of = type.__dict__["__dict__"].__get__
