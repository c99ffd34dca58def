"""Member names: keys with `/` between their parts, never paths of the machine."""

from __future__ import annotations

from archimport.runtime.errors import FormatError, LimitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

#: The longest member name, in bytes of UTF-8.
MAX_NAME = 1024
#: The deepest member: the number of parts of its name.
MAX_DEPTH = 128
#: Control characters, and what some take for the end of a line; the same for every version of Unicode.
CONTROL_CHARACTERS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)))


def check_name(name: str) -> str:
    r"""Give `name` back if it can be a member's; FormatError or LimitError if not.

    >>> check_name("pkg/mod.py")
    'pkg/mod.py'
    >>> check_name("../evil.py")
    Traceback (most recent call last):
        ...
    archimport.runtime.errors.FormatError: member name is not allowed: '../evil.py'
    """
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise FormatError(f"member name is no Unicode text: {name!r}") from None
    if length > MAX_NAME or name.count("/") >= MAX_DEPTH:  # before anything is made of its parts
        raise LimitError(f"member name is longer than {MAX_NAME} bytes or {MAX_DEPTH} parts: {name[:40]!r}...")
    if not _PARTS_REFUSED.isdisjoint(name.split("/")) or not CONTROL_CHARACTERS.isdisjoint(name):
        raise FormatError(f"member name is not allowed: {name!r}")
    if "\\" in name or name[1:2] == ":":
        raise FormatError(f"member name is not allowed: {name!r}")
    return name


_PARTS_REFUSED = frozenset(("", ".", ".."))
_TEXTS_REFUSED = ("//", "/./", "/../", "\\", ":")


def check_names(names: Collection[str]) -> None:
    """Raise what `check_name` raises for the first of many names that cannot be a member's; plain ones cost little."""
    if not are_plain(names):
        for name in names:
            check_name(name)


def are_plain(names: Collection[str]) -> bool:
    """Return whether all names are allowed, as a cheap look tells; `check_name` has to look at them if not."""
    text = f"/{'/ /'.join(names)}/" if names else ""
    is_plain = text.isascii() and text.isprintable() and not any(refused in text for refused in _TEXTS_REFUSED)
    return is_plain and max(map(len, names), default=0) <= MAX_DEPTH


def normalise(path: str) -> str | None:
    """Resolve `.`, `..` and doubled slashes lexically; None if the path leaves the root.

    >>> normalise("pkg//sub/../data.txt")
    'pkg/data.txt'
    >>> normalise("../x") is None
    True
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def join(folder: str, name: str) -> str:
    """Give the path of `name` in `folder`, where the root is `""`."""
    return f"{folder}/{name}" if folder else name
