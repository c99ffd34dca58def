"""The rows of a table by somebody else, as members: which module a name means, and what its source is as bytes.

A table is other people's data. A row that can be no module harms no other: it is a problem in words, and so is its
member, if its name is a module's.
"""

from __future__ import annotations

from archimport.runtime.digest import digest
from archimport.runtime.errors import FormatError, LimitError
from archimport.runtime.index import with_parents
from archimport.runtime.names import check_name
from archimport.runtime.store import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: What names an encoding in the first two lines of a source (PEP 263).
_COOKIE = r"^((?:[ \t\f]*(?:#.*)?\n)??[ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+"
#: How files of Python's are called; systems that take upper for lower case write them in either.
_ENDINGS = frozenset(("py", "pyc", "pyi", "pyo", "pyw"))


class Row:
    """What a row says: its `name` for people, the `module` it is as a path, and its `content` or a `problem`."""

    __slots__ = ("content", "is_package", "module", "name", "problem", "revision")

    def __init__(self, package: str, name: object, source: object, revision: object = None) -> None:
        self.name = text_of(name)
        self.revision = plain(revision)
        self.module = ""
        self.is_package = False
        self.content = b""
        self.problem = ""
        try:
            self._name_module(package, name)
            self.content = content_of(source)
        except FormatError as exc:
            self.problem = f"row {self.name[:60]!r} {exc.message}"

    def _name_module(self, package: str, name: object) -> None:
        own = parts_of(self.name)
        parts = [*filter(None, package.split(".")), *own]
        self.is_package = parts[-1] == "__init__" and len(parts) > 1
        module = "/".join(parts[:-1] if self.is_package else parts)
        if name is None or not all(own) or _is_other_file(self.name) or not _is_member(f"{module}/__init__.py"):
            raise FormatError("has a name that is no module's")
        self.module = module


def _is_other_file(name: str) -> bool:
    """Return whether a name is that of a file of Python's which is no source: its ending would become a module."""
    _, dot, ending = name.rstrip(" ").rpartition(".")
    return bool(dot) and ending != "py" and ending.lower() in _ENDINGS


def _is_member(path: str) -> bool:
    try:
        check_name(path)
    except (FormatError, LimitError):
        return False
    return True


def plain(value: object) -> object:
    """Return a value of a driver as one that can be compared and printed."""
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


def text_of(name: object) -> str:
    """Return a name as text; some columns have bytes, padded with NUL to their width."""
    name = plain(name)
    return name.rstrip(b"\0").decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)


def parts_of(name: str) -> list[str]:
    r"""Split what people write into a name column: a module's name, or a file's path; spaces pad `CHAR(n)`.

    >>> parts_of("shop.price    "), parts_of("shop/price.py"), parts_of(r".\shop\__init__.py")
    (['shop', 'price'], ['shop', 'price'], ['shop', '__init__'])
    """
    path = name.rstrip(" ").replace("\\", "/").removeprefix("./").removesuffix(".py")
    return path.replace("/", ".").split(".")


def content_of(source: object) -> bytes:
    """Return what a file would hold for a source; FormatError if it is none."""
    if isinstance(source, str):
        return encoded(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    raise FormatError("holds no source code")


def encoded(text: str) -> bytes:
    r"""Return the bytes that import as `exec` runs the text: an encoding that a comment names is that of no text.

    FormatError for text that is no source code to any Python.

    >>> encoded("# coding: latin-1\r\nname = 'é'")
    b"# coding: utf-8\nname = '\xc3\xa9'"
    """
    if "\0" in text:
        raise FormatError("holds a NUL character")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "coding" in text:
        import re  # deferred: few sources name an encoding

        text = re.sub(_COOKIE, r"\1utf-8", text, count=1, flags=re.ASCII)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise FormatError("holds text that is no Unicode") from None


def members_of(rows: Iterable[Row]) -> list[Entry]:
    """Return a member for each module that rows name; a module that others lie in is a package."""
    modules: dict[str, list[Row]] = {}
    for row in rows:
        if row.module:
            modules.setdefault(row.module, []).append(row)
    packages = with_parents(module.rpartition("/")[0] for module in modules)
    packages.update(module for module, found in modules.items() if any(row.is_package for row in found))
    return [
        _member(f"{module}/__init__.py" if module in packages else f"{module}.py", _chosen(found))
        for module, found in modules.items()
    ]


def _member(path: str, content: bytes | str) -> Entry:
    if isinstance(content, str):
        return Entry(path, problem=FormatError(content))
    key = digest(content)
    return Entry(path, size=len(content), mtime=int.from_bytes(key[:4], "little"), digest=key, handle=content)


def _chosen(rows: list[Row]) -> bytes | str:
    """Return the content of the newest rows of one module, or the problem with it."""
    good = [row for row in rows if not row.problem]
    if not good:
        return rows[0].problem
    contents = {row.content for row in _newest(good)}
    return contents.pop() if len(contents) == 1 else f"row {good[0].name[:60]!r} is there twice, with different sources"


def _newest(rows: list[Row]) -> list[Row]:
    """Return the rows of the highest revision; all, where revisions cannot be compared."""
    try:
        highest = max((row.revision for row in rows if row.revision is not None), default=None)  # type: ignore[type-var]
    except TypeError:
        return rows
    return [row for row in rows if row.revision == highest]
