"""Import Python from zip archives, SQL databases and single-file bundles.

Importing this package loads nothing else: each public name is resolved on its first use (PEP 562), so a program
pays for what it touches. The names and where they live stand in one table, `_HOMES`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport import bundle as bundle
    from archimport import sql as sql
    from archimport import zip as zip  # noqa: A004 - the subpackage is named for the format
    from archimport.pack.build import pack as pack
    from archimport.runtime.errors import ArchimportError as ArchimportError
    from archimport.runtime.errors import ConfigError as ConfigError
    from archimport.runtime.errors import ConflictError as ConflictError
    from archimport.runtime.errors import FormatError as FormatError
    from archimport.runtime.errors import IntegrityError as IntegrityError
    from archimport.runtime.errors import LimitError as LimitError
    from archimport.runtime.errors import PackError as PackError
    from archimport.runtime.errors import ReleaseGone as ReleaseGone
    from archimport.runtime.errors import SignatureError as SignatureError
    from archimport.runtime.errors import StoreChangedError as StoreChangedError
    from archimport.runtime.errors import StoreUnavailable as StoreUnavailable
    from archimport.runtime.hook import install as install
    from archimport.runtime.hook import register_scheme as register_scheme
    from archimport.runtime.hook import uninstall as uninstall
    from archimport.runtime.index import MemberIndex as MemberIndex
    from archimport.runtime.mount import Mount as Mount
    from archimport.runtime.mount import mount as mount
    from archimport.runtime.store import Changes as Changes
    from archimport.runtime.store import Entry as Entry
    from archimport.runtime.store import Store as Store

__version__ = "0.1.0"

_HOMES = {
    "runtime.errors": (
        "ArchimportError",
        "ConfigError",
        "ConflictError",
        "FormatError",
        "IntegrityError",
        "LimitError",
        "PackError",
        "ReleaseGone",
        "SignatureError",
        "StoreChangedError",
        "StoreUnavailable",
    ),
    "runtime.hook": ("install", "register_scheme", "uninstall"),
    "runtime.index": ("MemberIndex",),
    "runtime.mount": ("Mount", "mount"),
    "runtime.store": ("Changes", "Entry", "Store"),
}
_SUBPACKAGES = ("bundle", "pack", "sql", "zip")

__all__ = [*sorted(name for names in _HOMES.values() for name in names), "pack"]  # noqa: PLE0604 - all are str


def __getattr__(name: str) -> object:
    """Import the home of a public name on its first use, and keep the name (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:  # imported without importlib, which would be two modules more
            value: object = getattr(__import__(f"archimport.{home}", fromlist=[name]), name)
            globals()[name] = value
            return value
    if name in _SUBPACKAGES:
        return __import__(f"archimport.{name}", fromlist=[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is public, loaded or not."""
    return [*__all__, *_SUBPACKAGES, "__version__"]
