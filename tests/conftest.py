from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import CANNOT, STORES, build_directory
from trees import Tree

import archimport
from archimport.runtime import entries, mount, opening  # noqa: F401 - what a test loads first goes after it


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache out of the tests, and theirs out of it; let bytecode be written, as on a user's machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


@pytest.fixture(autouse=True)
def import_state() -> Iterator[None]:
    """Put back everything an import changes."""
    lists = {name: getattr(sys, name)[:] for name in ("path", "path_hooks", "meta_path")}
    modules, cache = dict(sys.modules), dict(sys.path_importer_cache)
    opening.registry.__init__()
    opening.schemes.__init__()
    entries._mounts.clear()
    yield
    archimport.uninstall()
    for name, value in lists.items():
        getattr(sys, name)[:] = value
    for saved, current in ((modules, sys.modules), (cache, sys.path_importer_cache)):
        for key in [key for key in current if key not in saved]:
            del current[key]
        current.update(saved)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in a line each what this machine lacks for tests that were skipped; `-rs` shows every reason."""
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped")]
    lacking = Counter(reason for reason in reasons if reason.startswith("needs "))
    for reason, count in sorted(lacking.items()):
        terminalreporter.line(f"{count} not run: {reason}", yellow=True)


class Place:
    """Where trees are put on `sys.path`: one kind of store, or plain folders."""

    def __init__(self, kind: str, base: Path) -> None:
        self.kind = kind
        self.base = base
        self.is_directory = kind == "directory"
        self.cannot = CANNOT.get(kind.partition("-")[0], frozenset())
        self._count = 0

    def add(self, tree: Tree, *, position: int = 0) -> str:
        """Put a tree on `sys.path` and give its path entry."""
        self._count += 1
        base = self.base / f"tree{self._count}"
        if self.is_directory:
            entry = build_directory(tree, base)
            sys.path.insert(position, entry)
            return entry
        self.source = STORES[self.kind](tree, base)
        self.mounted = archimport.mount(self.source, position=position)
        return str(self.mounted.path_entry)


@pytest.fixture(params=["directory", *STORES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give each kind of store in turn; the plain directory shows that the test itself is right."""
    return Place(request.param, tmp_path)


@pytest.fixture(params=list(STORES))
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give each kind of store in turn, without the plain directory."""
    return Place(request.param, tmp_path)
