"""From a path entry to how it is opened: schemes, the first bytes of files, and what others register.

What opens which scheme is a table; rows by others come from `register_scheme` and from the entry-point group
`archimport.stores`.
"""

from __future__ import annotations

import os

from archimport.runtime.early import opened, refuse_while_importing
from archimport.runtime.errors import ConfigError, FormatError
from archimport.runtime.file import unavailable
from archimport.runtime.location import split_file, split_scheme
from archimport.runtime.magic import OTHERS, OURS, SNIFFED, SUFFIX, kind_of, was

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from archimport.runtime.store import Store

    class StoreModule(Protocol):
        """What the `store` module of a kind of file offers."""

        OPTIONS: frozenset[str]

        def open_store(self, path: str, **options: object) -> Store:
            """Open the file at `path`."""


_FILE_KINDS = frozenset(("bundle", "zip"))
#: Schemes of URLs that SQLAlchemy reads, without `+driver`, and `sql` for what the host's configuration names.
_DATABASES = frozenset(("sql", "sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle"))


class Request:
    """How to open what a path entry names: `open(**options)` gives the store, `folder` the folder inside it.

    `key(options)` is equal for equal stores, since a container may hold several, and gives the options that do not
    choose among them. `source` names it from any folder and in any process; None if nothing can.
    """

    __slots__ = ("folder", "key", "open", "source")

    def __init__(
        self,
        key: Callable[[dict[str, object]], tuple[str, dict[str, object]]],
        open_it: Callable[..., Store],
        source: str | None,
        folder: str = "",
    ) -> None:
        self.key = key
        self.open = open_it
        self.source = source
        self.folder = folder


class Schemes:
    """The schemes that this process knows."""

    def __init__(self) -> None:
        self._openers: dict[str, Callable[..., Store]] = {}
        self._unknown: set[str] = set()

    def register(self, scheme: str, opener: Callable[..., Store]) -> None:
        """Let path entries `scheme:…` be opened by `opener(entry, **options)`; ConfigError if it is none."""
        if split_scheme(f"{scheme}:") is None or scheme in _FILE_KINDS or scheme in _DATABASES:
            raise ConfigError(f"not a scheme that can be registered: {scheme!r}")
        self._openers[scheme] = opener
        self._unknown.discard(scheme)

    def recognise(self, entry: str, *, bare: bool) -> Request | None:
        """Give how to open `entry`, or None if it is somebody else's; with `bare`, a plain zip is zipimport's.

        Reads at most the first bytes of one regular file. ConfigError for a URL that is ours and cannot be right.
        """
        split = split_scheme(entry)
        if split is None:
            return _recognise_file(entry, bare=bare)
        scheme, rest = split
        if scheme in _FILE_KINDS:
            if not rest.startswith("/") or (rest.startswith("//") and not rest.startswith("///")):
                raise ConfigError(f"a {scheme!r} URL names an absolute path", hint=f"write {scheme}:///folder/file")
            path = "/" + rest.lstrip("/")
            return file_request(scheme, *(split_file(path) or (os.path.abspath(path), "")))
        dialect, _, driver = scheme.partition("+")
        if dialect in _DATABASES:
            if dialect != "sqlite":
                refuse_while_importing("sqlalchemy", driver)
            return _database_request(entry)
        opener = self._openers.get(scheme)
        if opener is None and scheme not in self._unknown:
            opener = _opener_by_others(scheme)
        if opener is None:
            if scheme not in self._unknown and _is_dialect_by_others(scheme):
                return _database_request(entry)
            self._unknown.add(scheme)
            return None
        from archimport.runtime.secrets import refuse_secrets  # deferred: most path entries are no URLs

        refuse_secrets(entry)
        opener = self._openers.setdefault(scheme, opener)
        return Request(lambda options: (entry, options), lambda **options: opener(entry, **options), entry)

    def request(self, source: object) -> Request:
        """Give how to open what a person named: a path, a URL or an engine. Raises a typed error that says why not."""
        if not isinstance(source, str | os.PathLike):
            return _database_request(source)
        text = os.fspath(source)
        found = self.recognise(text, bare=False)
        if found is not None:
            return found
        split = split_scheme(text)
        if split is not None:
            from archimport.runtime.secrets import refuse_secrets  # deferred: most path entries are no URLs
            from archimport.runtime.spelling import unknown_scheme

            refuse_secrets(text)
            raise unknown_scheme(split[0])
        if "://" in text and not os.path.lexists(text):
            raise ConfigError("not a URL of a store", hint="a scheme has lower-case letters, digits, + - . and _")
        if os.path.isdir(text):
            raise ConfigError(f"{text!r} is a folder", hint="put it on sys.path as it is")
        if split_file(text) is None:
            try:
                os.stat(text)
            except (OSError, ValueError) as exc:
                raise unavailable(text, exc) from exc
            raise FormatError(f"not a regular file: {text!r}")
        raise FormatError(f"neither a bundle, a zip nor a SQLite database: {text!r}")

    def invalidate(self) -> None:
        """Ask again for schemes that nobody knew."""
        self._unknown.clear()


def _recognise_file(path: str, *, bare: bool) -> Request | None:
    split = split_file(path)
    if split is None:
        return _gone(path) if bare else None
    kind = _sniff(split[0], bare=bare)
    return file_request(kind, *split) if kind else None


def _gone(path: str) -> Request | None:
    """Return how to open a bundle that is not there, which raises; only the name tells that it was one."""
    if SUFFIX not in path.lower():
        return None
    parts = os.path.abspath(path).split(os.sep)
    for end in range(1, len(parts) + 1):
        outer = os.sep.join(parts[:end])
        if outer.lower().endswith(SUFFIX) and not os.path.exists(outer):
            return file_request("bundle", outer)
    return None


def file_request(kind: str, file: str, folder: str = "") -> Request:
    """Give how to open a folder of a file whose kind is known; its real path, since it is its location."""
    if kind == "sql":
        return _database_request(file, folder)

    def open_it(**options: object) -> Store:
        module: StoreModule = __import__(f"archimport.{kind}.store", fromlist=("open_store",))
        for option in options.keys() - module.OPTIONS:
            raise ConfigError(f"a {kind} takes no option {option!r}", store=file)
        return module.open_store(file, **options)

    return Request(lambda options: (file, options), open_it, os.path.join(file, folder).rstrip("/"), folder)


def _database_request(source: object, folder: str = "") -> Request:
    """Give how to open a database: the only stores that need more than a path."""

    def request() -> Request:
        found: Request = __import__("archimport.sql.request", fromlist=("request",)).request(source, folder)
        return found

    return opened(request)


def _sniff(file: str, *, bare: bool) -> str | None:
    try:
        with open(file, "rb") as stream:
            header = stream.read(SNIFFED)
            return kind_of(header, OURS) or was(file, header, stream) or (None if bare else kind_of(header, OTHERS))
    except OSError as exc:
        if bare:
            return None
        raise unavailable(file, exc) from exc


def is_database(scheme: str) -> bool:
    """Return whether URLs of a scheme name databases."""
    return scheme.partition("+")[0] in _DATABASES or _is_dialect_by_others(scheme)


def _opener_by_others(scheme: str) -> Callable[..., Store] | None:
    from importlib.metadata import entry_points  # deferred: only for schemes that nobody registered

    for point in entry_points(group="archimport.stores", name=scheme):
        try:
            opener: Callable[..., Store] = point.load()
        except Exception as exc:  # an ImportError would mean that the entry is not ours
            raise ConfigError(f"what opens {scheme!r} cannot be loaded: {exc}") from exc
        return opener
    return None


def _is_dialect_by_others(scheme: str) -> bool:
    """Whether somebody has taught SQLAlchemy this scheme (its entry points say `dialect.driver`)."""
    from importlib.metadata import entry_points

    return bool(entry_points(group="sqlalchemy.dialects", name=scheme.replace("+", ".")))


schemes = Schemes()
