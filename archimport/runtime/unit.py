"""What of a store has to be real files: extension modules with the libraries that they need, and unpacked packages.

`pack` finds that out and writes it down in members of the store, as lines of fields with tabs between them:

- `.archimport/plan`: `library` or `unpacked`, the path of a member or folder, and the name of the unit it belongs to;
- `.archimport/unit/NAME`, where NAME is the digest of that very text: of each file of the unit the digest, `x` if it is
  a program and `-` if not, the path, and for each library of the unit that it needs two fields: where in it that one's
  name stands (0: not to be written over), and that one's path;
- `.archimport/decisions`, for people: of each distribution its name, `packed` or `unpacked`, why, and its packages.

So a unit is the same in whatever store it lies, and its name stands for all of its content.
"""

from __future__ import annotations

from _weakref import ref

from archimport.runtime.digest import DIGEST_SIZE, digest
from archimport.runtime.errors import FormatError, IntegrityError, LimitError, StoreUnavailable
from archimport.runtime.names import check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archimport.runtime.store import Entry, Store

#: What archimport writes down for itself begins with this.
OWN = ".archimport/"
PLAN = f"{OWN}plan"
UNITS = f"{OWN}unit/"
DECISIONS = f"{OWN}decisions"
#: In bytes: the longest of these texts.
MAX_TEXT = 16 << 20
#: The most libraries that one needs: which ones is kept as text, as few are ever asked for.
_MOST_NEEDS = 1000


class Plan:
    """Names of units by path: of extension modules (`libraries`), and of packages and modules that are `unpacked`.

    `units` are those that were asked for.
    """

    __slots__ = ("libraries", "units", "unpacked")

    def __init__(self, text: str = "") -> None:
        self.units: dict[str, Unit] = {}
        self.libraries: dict[str, str] = {}
        self.unpacked: dict[str, str] = {}
        kinds = {"library": self.libraries, "unpacked": self.unpacked}
        try:
            for line in text.splitlines():
                kind, path, unit = line.split("\t")
                kinds[kind][path] = digest_of(unit).hex()  # a name of a directory, and nothing else
        except (ValueError, KeyError):
            raise FormatError("the plan of what has to be real files is damaged", member=PLAN) from None


def digest_of(text: str) -> bytes:
    """Return the digest that a text writes in hexadecimal; ValueError if it is none."""
    if len(text) != 2 * DIGEST_SIZE:
        raise ValueError(text)
    return bytes.fromhex(text)


class File:
    """A file of a unit. ValueError for a line that says none."""

    __slots__ = ("_needs", "digest", "is_program", "path")

    def __init__(self, line: str) -> None:
        digits, mode, path, *needs = line.split("\t", 3)
        self.path = check_name(path)
        self.digest = digest_of(digits)
        self.is_program = mode == "x"
        self._needs = needs

    @property
    def needs(self) -> list[tuple[int, str]]:
        """The libraries it needs, each with where in this file its name stands, or 0; ValueError if they are none."""
        fields = self._needs[0].split("\t", 2 * _MOST_NEEDS) if self._needs else []
        return [(int(offset), path) for offset, path in zip(fields[::2], fields[1::2], strict=True)]


class Unit:
    """Files of a store that are real files together, in the layout of a wheel; `name` stands for all of them.

    Its list is read when it is asked for: thousands of files that are there already need none. `is_checked` says that
    this process has looked whether its extracted files are all there.
    """

    __slots__ = ("_files", "_store", "_text", "is_checked", "name")

    def __init__(self, store: Store, name: str, text: bytes | None = None) -> None:
        self._store = ref(store)  # which has the plan that has this
        self._text = text
        self._files: dict[str, File] | None = None
        self.name = name
        self.is_checked = False

    @property
    def location(self) -> str | None:
        """Where the store is, if it is open."""
        return getattr(self._store(), "location", None)

    @property
    def text(self) -> bytes:
        """The list as it is written; IntegrityError if it is another one than the name says."""
        if self._text is None:
            store = self._opened(UNITS + self.name)
            text = read_text(store, _entry(store, UNITS + self.name))
            if digest(text).hex() != self.name:
                raise IntegrityError("list of a unit is damaged", store=store.location, member=UNITS + self.name)
            self._text = text
        return self._text

    @property
    def files(self) -> dict[str, File]:
        """The files by path; FormatError if the list is none."""
        if self._files is None:
            try:
                self._files = _parsed(self.text.decode())
            except ValueError:
                raise FormatError("list of a unit is damaged", store=self.location, member=UNITS + self.name) from None
        return self._files

    def read(self, path: str) -> bytes:
        """Give the content of a file; IntegrityError if it is another one than when the store was packed."""
        store = self._opened(path)
        content = store.read_once(_entry(store, path))
        if digest(content) != self.files[path].digest:
            hint = "pack or publish it again as a whole"
            raise IntegrityError("member differs from its unit", store=store.location, member=path, hint=hint)
        return content

    def _opened(self, member: str) -> Store:
        store = self._store()
        if store is None:
            raise StoreUnavailable("the store is closed", member=member)
        return store

    def needed(self, path: str) -> Sequence[File]:
        """Give a file and all that it needs, that first, but for files that need each other."""
        found: dict[str, File] = {}
        begun = set()
        waiting = [path]
        while waiting:
            file = self._file(waiting[-1])
            ahead = [need for _, need in file.needs if need not in begun] if file.path not in begun else []
            begun.add(file.path)
            if ahead:
                waiting.extend(ahead)
            else:
                found[waiting.pop()] = file
        return list(found.values())

    def _file(self, path: str) -> File:
        file = self.files.get(path)
        if file is None:
            raise FormatError("list of a unit does not have what it needs", store=self.location, member=path)
        return file


def _parsed(text: str) -> dict[str, File]:
    files = {file.path: file for file in map(File, text.splitlines())}
    for file in files.values():
        for _, need in file.needs:
            if need not in files:
                raise ValueError(need)
    return files


def read_text(store: Store, entry: Entry) -> bytes:
    """Return a text of archimport's own; LimitError if it is longer than any."""
    if entry.size > MAX_TEXT:
        raise LimitError(f"text of {entry.size} bytes is too long", store=store.location, member=entry.path)
    return store.read(entry)


def plan_of(store: Store) -> Plan:
    """Give what a store says has to be real files; it is read once for each content of the store."""
    entry = store.lookup(PLAN)
    if entry is None or entry.is_dir:
        return _EMPTY
    read_from, plan = store.plan
    if read_from is entry or (entry.digest is not None and getattr(read_from, "digest", None) == entry.digest):
        return plan  # type: ignore[return-value]  # a plan is with its entry
    plan = Plan(read_text(store, entry).decode("utf-8", "replace"))
    store.plan = entry, plan
    return plan


def unit_named(store: Store, name: str) -> Unit:
    """Give the unit of that name; nothing of it is read yet."""
    plan = plan_of(store)
    return Unit(store, name) if plan is _EMPTY else plan.units.setdefault(name, Unit(store, name))


def unit_of_library(store: Store, path: str) -> Unit:
    """Give the unit of an extension module; one of its own, in a store that says nothing of it."""
    name = plan_of(store).libraries.get(path)
    return unit_named(store, name) if name else unit_of_one(store, path)


def unit_of_one(store: Store, path: str) -> Unit:
    """Give a unit that has one file alone."""
    entry = _entry(store, path)
    content = entry.digest or digest(store.read(entry))
    text = f"{content.hex()}\t-\t{path}".encode()
    return Unit(store, digest(text).hex(), text)


def _entry(store: Store, path: str) -> Entry:
    entry = store.lookup(path)
    if entry is None or entry.is_dir:
        raise IntegrityError("member of a unit is not there", store=store.location, member=path)
    return entry


_EMPTY = Plan()
