"""Existing tables as packages."""

from __future__ import annotations

import importlib
import sys

import pytest
import sqlalchemy
from servers import with_query
from sqlalchemy import text

import archimport


class Plugins:
    """A table of somebody else's."""

    def __init__(self, channel) -> None:
        self.name = f"plugins_{channel.name}"
        self.url = f"sqlite:///{channel.source}" if channel.kind == "sqlite" else channel.source
        self.engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)
        self("CREATE TABLE {t} (slug VARCHAR(80), code TEXT, updated_at INTEGER)")

    def __call__(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement.format(t=self.name)), values)

    def add(self, slug: object, code: object, revision: int = 1) -> None:
        self("INSERT INTO {t} VALUES (:slug, :code, :revision)", slug=slug, code=code, revision=revision)

    def mount(self, **options: object) -> archimport.Mount:
        columns = {"name": "slug", "source": "code", "revision": "updated_at", "package": "acme.rules"}
        return archimport.mount(self.url, table=self.name, **{**columns, **options})


@pytest.fixture
def plugins(channel) -> Plugins:
    return Plugins(channel)


def test_rows_are_modules(plugins) -> None:
    plugins.add("discount", "def apply(price):\n    return price * 0.9\n")
    plugins.add("sub.tax", "from ..discount import apply\nrate = 0.2\n")
    mounted = plugins.mount()
    from acme.rules import discount
    from acme.rules.sub import tax

    assert (discount.apply(10), tax.rate, tax.apply) == (9, 0.2, discount.apply)
    assert discount.__file__ == f"{mounted.path_entry}/acme/rules/discount.py"
    import inspect

    assert "0.9" in inspect.getsource(discount.apply)
    assert mounted.store.writable is False


def test_without_a_package_and_without_revisions(plugins) -> None:
    plugins.add("top_level_rule", "value = 1\n")
    mounted = plugins.mount(package="", revision=None)
    module = importlib.import_module("top_level_rule")
    plugins("UPDATE {t} SET code = 'value = 2'")
    before = mounted.store._database
    so_far = before.statements
    assert mounted.refresh(reload=True).changed == ("top_level_rule.py",)
    assert module.value == 2
    now = mounted.store._database
    assert now.statements == (so_far + 1 if now is before else 1)


def test_refresh_by_revision(plugins) -> None:
    plugins.add("one", "value = 1\n")
    plugins.add("two", "value = 1\n")
    mounted = plugins.mount()
    one = importlib.import_module("acme.rules.one")
    plugins("UPDATE {t} SET code = 'value = 2' WHERE slug = 'one'")
    assert not mounted.refresh()  # no revision moved
    plugins("UPDATE {t} SET updated_at = 2 WHERE slug = 'one'")
    plugins("DELETE FROM {t} WHERE slug = 'two'")
    plugins.add("three", "value = 3\n")
    changes = mounted.refresh(reload=True)
    expected = [(f"acme/rules/{name}.py",) for name in ("three", "one", "two")]
    assert [changes.added, changes.changed, changes.removed] == expected
    assert one.value == 2


def test_invalidate_caches_reads_again(plugins) -> None:
    plugins.add("one", "value = 1\n")
    plugins.mount()
    plugins.add("two", "value = 2\n", 2)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("acme.rules.two")
    importlib.invalidate_caches()
    assert importlib.import_module("acme.rules.two").value == 2
    plugins("DROP TABLE {t}")
    importlib.invalidate_caches()
    assert importlib.import_module("acme.rules.one").value == 1


def test_two_statements_whatever_is_imported(plugins) -> None:
    for number in range(20):
        plugins.add(f"m{number}", f"value = {number}\n")
    mounted = plugins.mount()
    for number in range(20):
        importlib.import_module(f"acme.rules.m{number}")
    assert mounted.store._database.statements == 1
    mounted.refresh()
    assert mounted.store._database.statements == 2


@pytest.mark.parametrize("slug", ["", "a..b", ".a", "a/b", "..", "a\n", "a\\b"])
def test_names_that_are_no_modules(plugins, slug: str) -> None:
    plugins.add(slug, "value = 1\n")
    with pytest.raises(archimport.FormatError):
        plugins.mount()


def test_rows_that_are_no_source(plugins) -> None:
    plugins.add("empty", None)
    with pytest.raises(archimport.FormatError, match="'empty' holds no source"):
        plugins.mount()


def test_one_name_twice(plugins) -> None:
    plugins.add("one", "value = 1\n")
    plugins.add("one", "value = 2\n")
    with pytest.raises(archimport.FormatError, match="twice"):
        plugins.mount()


@pytest.mark.parametrize("option", ["table", "name", "source", "revision", "package"])
@pytest.mark.parametrize("value", ['x"; DROP TABLE y; --', "", "a b", "x" * 60, "1a", "a.b;"])
def test_names_that_could_be_statements(plugins, option: str, value: str) -> None:
    if option == "package" and value in ("", "x" * 60):
        value = "a..b"  # those two are packages
    with pytest.raises(archimport.ConfigError, match="not the name of a"):
        plugins.mount(**{option: value}) if option != "table" else archimport.mount(plugins.url, table=value)


def test_watch_without_revisions(plugins) -> None:
    """It calls when something has changed, and not without end."""
    plugins.add("one", "value = 1\n")
    mounted = plugins.mount(revision=None)
    assert mounted.store.newest() is None
    plugins("UPDATE {t} SET code = 'value = 2'")
    assert mounted.store.newest() is not None
    assert mounted.store.newest() == mounted.store.newest()
    mounted.refresh()
    assert mounted.store.newest() is None


@pytest.mark.parametrize("option", ["table", "name"])
def test_tables_and_columns_that_are_not_there(channel, option: str) -> None:
    plugins = Plugins(channel)
    options = {"table": plugins.name, "name": "slug", "source": "code", option: "nowhere"}
    with pytest.raises(archimport.ArchimportError) as caught:
        archimport.mount(plugins.url, **options)
    assert isinstance(caught.value, archimport.ConfigError), caught.value


def test_options_that_do_not_go_together(plugins) -> None:
    with pytest.raises(archimport.ConfigError, match="takes no option 'writable'"):
        plugins.mount(writable=True)


def test_a_path_entry_cannot_name_a_table(plugins) -> None:
    archimport.install()
    sys.path.insert(0, with_query(plugins.url, f"table={plugins.name}"))
    with pytest.raises(archimport.ArchimportError):
        importlib.import_module("nothing_here")
