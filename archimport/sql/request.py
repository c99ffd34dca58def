"""From what `mount` is given to how it is opened: paths, URLs and engines."""

from __future__ import annotations

from archimport.runtime.errors import ConfigError
from archimport.runtime.location import split_scheme
from archimport.runtime.registry import Request
from archimport.sql.address import number_of, quoted_file
from archimport.sql.schema import MAIN
from archimport.sql.source import address_of
from archimport.sql.store import OPTIONS, open_database, open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archimport.runtime.store import Store
    from archimport.sql.address import Address


def request(source: object, folder: str = "") -> Request:
    """Give how to open a database; `folder` is one inside it. ConfigError for a URL that cannot be right."""
    address = address_of(source)
    channel = address.said.get("channel") or str(address.settings.get("channel", MAIN))
    said = f"#{address.said['release']}" if "release" in address.said else ""
    own = f"#{number_of(address.engine)}" if address.engine is not None else ""

    def open_it(*, schema: str | None = None, pinned: str | None = None, **options: object) -> Store:
        if schema is not None:
            address.said["schema"] = schema
        if "table" in options:
            from archimport.sql import table_store  # deferred: most databases are ours

            _check_options("an existing table", table_store.OPTIONS, options, address)
            return table_store.TableStore(open_database(address), address, **options)  # type: ignore[arg-type]  # checked
        _check_options("a database", OPTIONS, options, address)
        return open_store(address, pinned, **options)

    return Request(
        address.location(channel) + said + own,
        open_it,
        _source(source, address) if isinstance(source, str) else None,
        address.said.get("path", folder),
        ("channel", "schema", "table", "package"),
    )


def _check_options(what: str, known: frozenset[str], given: dict[str, object], address: Address) -> None:
    unknown = given.keys() - known
    if unknown:
        raise ConfigError(f"{what} takes no option {min(unknown)!r}", store=address.place)


def _source(text: str, address: Address) -> str:
    """Give a spelling that does not depend on the current folder."""
    if address.file is None or (split_scheme(text) or ("",))[0] == "sql":
        return text
    query = "&".join(f"{key}={value}" for key, value in address.said.items())
    return address.file if not query else f"sqlite:///{quoted_file(address.file)}?{query}"
