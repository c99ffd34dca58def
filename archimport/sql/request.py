"""From what `mount` is given to how it is opened: paths, URLs and engines."""

from __future__ import annotations

from archimport.runtime.errors import ConfigError
from archimport.runtime.location import split_scheme
from archimport.runtime.schemes import Request
from archimport.sql.address import quoted, quoted_file
from archimport.sql.source import address_of
from archimport.sql.store import OPTIONS, SqlStore, open_database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.runtime.store import Store
    from archimport.sql.address import Address

#: Options that say the same as keys of a URL.
_KEYS = frozenset({"channel", "release", "schema"})


def request(source: object, folder: str = "") -> Request:
    """Give how to open a database; `folder` is one inside it. ConfigError for a URL that cannot be right."""
    address = address_of(source)

    def open_it(*, pinned: tuple[str, int | None] | None = None, **options: object) -> Store:
        chosen, others = _split(address, options)
        if "table" in options:
            from archimport.sql import table_store  # deferred: most databases are ours

            _check_options("an existing table", table_store.OPTIONS | {"schema"}, options, address)
            return table_store.TableStore(open_database(chosen), chosen, **others)  # type: ignore[arg-type]  # checked
        _check_options("a database", OPTIONS, others, address)
        return SqlStore(chosen, pinned, **others)  # type: ignore[arg-type]  # checked

    def key(options: dict[str, object]) -> tuple[str, dict[str, object]]:
        chosen, others = _split(address, options)
        own = _number(chosen) if chosen.engine is not None else ""
        table = "=".join(str(others.get(name, "")) for name in ("table", "package", "where"))
        return f"{chosen.location}#{chosen.said.get('release', '')}#{table}#{own}", others

    return Request(
        key,
        open_it,
        _source(source, address) if isinstance(source, str) else None,
        address.said.get("path", folder),
    )


def _number(address: Address) -> int:
    from archimport.sql.number import number_of  # deferred: a path needs none

    return number_of(address.engine)  # type: ignore[arg-type]  # there is one


def _split(address: Address, options: dict[str, object]) -> tuple[Address, dict[str, object]]:
    """Give the address with what options say of it, and the other options."""
    keys = {name: value for name, value in options.items() if name in _KEYS}
    return address.saying(**keys), {name: value for name, value in options.items() if name not in _KEYS}


def _check_options(what: str, known: frozenset[str], given: dict[str, object], address: Address) -> None:
    unknown = given.keys() - known
    if unknown:
        raise ConfigError(f"{what} takes no option {min(unknown)!r}", store=address.place)


def _source(text: str, address: Address) -> str:
    """Give a spelling that does not depend on the current folder."""
    if address.file is None or (split_scheme(text) or ("",))[0] == "sql":
        return text
    query = "&".join(f"{key}={quoted(value)}" for key, value in address.said.items())
    return address.file if not query else f"sqlite:///{quoted_file(address.file)}?{query}"
