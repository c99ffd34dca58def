"""Sources in stores for coverage.py, which reads files: `[run]`, `plugins = archimport.testing.coverage`."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import decode_source
from typing import TYPE_CHECKING

from coverage import CoveragePlugin, FileReporter, FileTracer
from coverage.config import DEFAULT_EXCLUDE
from coverage.parser import PythonParser

from archimport.runtime.errors import ArchimportError
from archimport.runtime.registry import registry
from archimport.runtime.schemes import Schemes

if TYPE_CHECKING:
    from coverage.plugin_support import Plugins
    from coverage.types import TArc, TConfigSectionOut, TLineNo


def coverage_init(plugins: Plugins, _: TConfigSectionOut) -> None:
    """Register the plugin (coverage.py's plugin API)."""
    plugins.add_file_tracer(StorePlugin())


class StorePlugin(CoveragePlugin):
    """Traces modules of stores, and shows their sources."""

    def file_tracer(self, filename: str) -> FileTracer | None:
        """Give a tracer for a module of an open store."""
        found = registry.locate(filename)
        return _Tracer(filename) if found is not None and found[0].lookup(found[1]) is not None else None

    def file_reporter(self, filename: str) -> FileReporter:
        """Give what reads the source of a module of a store."""
        return StoreReporter(filename)


class _Tracer(FileTracer):
    def __init__(self, filename: str) -> None:
        self._filename = filename

    def source_filename(self) -> str:
        return self._filename


class StoreReporter(FileReporter):
    """The source of one module, parsed as coverage.py parses files."""

    def __init__(self, filename: str) -> None:
        super().__init__(filename)
        self._parser = PythonParser(text=self.source(), filename=filename, exclude="|".join(DEFAULT_EXCLUDE))
        self._parser.parse_source()

    def source(self) -> str:
        """Give the source; nothing if the store cannot be read any more."""
        try:
            return decode_source(_content_of(self.filename))
        except (ArchimportError, SyntaxError):
            return ""

    def lines(self) -> set[TLineNo]:
        """Give the numbers of the lines that can be executed."""
        return self._parser.statements

    def excluded_lines(self) -> set[TLineNo]:
        """Give the numbers of the lines that are left out by a comment."""
        return self._parser.excluded

    def arcs(self) -> set[TArc]:
        """Give the branches."""
        return self._parser.arcs()

    def exit_counts(self) -> dict[TLineNo, int]:
        """Give how many ways lead on from each line."""
        return self._parser.exit_counts()


@lru_cache
def _content_of(filename: str) -> bytes:
    """Give the content of a module, from a store that is open, or one in a file that is opened to look."""
    found = registry.locate(filename)
    if found is None:
        request = Schemes().request(filename)
        found = request.open(), request.folder
    store, path = found
    entry = store.lookup(path)
    return store.read(entry) if entry is not None else b""
