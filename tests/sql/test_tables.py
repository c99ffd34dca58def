"""Existing tables as packages."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from servers import with_query
from sqlalchemy import text

import archimport


class Plugins:
    """A table of somebody else's."""

    def __init__(self, channel, columns: str = "slug VARCHAR(80), code TEXT, updated_at INTEGER") -> None:
        self.kind = channel.kind
        self.name = f"plugins_{channel.name}"
        self.url = f"sqlite:///{channel.source}" if channel.kind == "sqlite" else channel.source
        self.engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)
        self(f"CREATE TABLE {{t}} ({columns}){' DEFAULT CHARSET utf8mb4' if self.kind == 'mysql' else ''}")

    def __call__(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement.format(t=self.name)), values)

    def add(self, slug: object, code: object, revision: int = 1) -> None:
        self("INSERT INTO {t} VALUES (:slug, :code, :revision)", slug=slug, code=code, revision=revision)

    def mount(self, source: object = None, /, **options: object) -> archimport.Mount:
        columns = {"name": "slug", "source": "code", "revision": "updated_at", "package": "acme.rules"}
        return archimport.mount(source or self.url, table=self.name, **{**columns, **options})


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


def rule(name: str) -> object:
    return importlib.import_module(f"acme.rules.{name}" if name else "acme.rules")


_NOT_NAMES = [
    "a.pyc",
    "a.PY",
    "shop/a.Pyc ",
    "a.pyi",
    "",
    "a..b",
    ".a",
    "/a.py",
    "..",
    "../a.py",
    "a\n",
    None,
    "x" * 1100,
    "a." * 130 + "b",
]


@pytest.mark.parametrize("slug", _NOT_NAMES, ids=[repr(slug)[:20] for slug in _NOT_NAMES])
def test_names_that_are_no_modules(sqlite, caplog: pytest.LogCaptureFixture, slug: str | None) -> None:
    """Such a row is warned of, and nothing else: nobody can import it."""
    plugins = Plugins(sqlite, "slug VARCHAR(2000), code TEXT, updated_at INTEGER")
    plugins.add(slug, "value = 1\n")
    plugins.add("good", "value = 1\n")
    mounted = plugins.mount()
    assert rule("good").value == 1
    assert [entry.path for entry in mounted.store.walk()] == ["acme/rules/good.py"]
    mounted.refresh()
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        f"row {str(slug)[:60]!r} has a name that is no module's"
    ]


@pytest.mark.parametrize(
    ("slug", "module", "member"),
    [
        ("discount.py", "discount", "discount.py"),
        ("discount.py   ", "discount", "discount.py"),
        ("shop/x.py", "shop.x", "shop/x.py"),
        ("shop/x", "shop.x", "shop/x.py"),
        ("shop\\x.py", "shop.x", "shop/x.py"),
        ("./shop/x.py", "shop.x", "shop/x.py"),
        ("shop.x.py", "shop.x", "shop/x.py"),
        ("shop/__init__.py", "shop", "shop/__init__.py"),
        ("shop.__init__", "shop", "shop/__init__.py"),
        ("__init__.py", "", "__init__.py"),
        ("py", "py", "py.py"),
        ("shop/py.py", "shop.py", "shop/py.py"),
        ("été", "été", "été.py"),
        ("top-level", "top-level", "top-level.py"),
    ],
)
def test_names_as_people_write_them(sqlite, slug: str, module: str, member: str) -> None:
    plugins = Plugins(sqlite)
    plugins.add(slug, "value = 1\n")
    mounted = plugins.mount()
    found = rule(module)
    assert found.value == 1
    assert found.__file__ == f"{mounted.path_entry}/acme/rules/{member}"
    assert hasattr(found, "__path__") == member.endswith("__init__.py")


@pytest.mark.parametrize("slug", ["shop", "shop.py", "shop/__init__.py"])
@pytest.mark.parametrize("child", ["price", "sub.price"])
def test_package_that_is_a_row_of_its_own(plugins, slug: str, child: str) -> None:
    plugins.add(slug, "value = 1\n")
    plugins.add(f"shop.{child}", "from acme.rules.shop import value\n")
    mounted = plugins.mount()
    assert rule(f"shop.{child}").value == 1
    assert rule("shop").__file__ == f"{mounted.path_entry}/acme/rules/shop/__init__.py"


_UUID = "9bf3a2a0-0d35-4f0c-9d6c-0a3e8f5c1b11"
#: What each kind of database calls a column of some type, and what stands in it for which module.
_COLUMNS = [
    pytest.param("CHAR(20)", "'good'", "good", id="padded"),
    pytest.param({"sqlite": "BLOB", "postgresql": "BYTEA", "mysql": "BINARY(20)"}, "'good'", "good", id="bytes"),
    pytest.param("INTEGER", "7", "7", id="number"),
    pytest.param("DECIMAL(10)", "7", "7", id="decimal"),
    pytest.param({"sqlite": "CHAR(36)", "postgresql": "UUID", "mysql": "UUID"}, f"'{_UUID}'", _UUID, id="uuid"),
]


@pytest.mark.parametrize(("kind", "value", "module"), _COLUMNS)
def test_types_of_the_name_column(channel, kind: str | dict[str, str], value: str, module: str) -> None:
    column = kind if isinstance(kind, str) else kind[channel.kind]
    plugins = Plugins(channel, f"slug {column}, code TEXT, updated_at INTEGER")
    plugins(f"INSERT INTO {{t}} VALUES ({value}, 'value = 1', 1)")
    mounted = plugins.mount()
    assert rule(module).value == 1
    assert mounted.store.newest() is None


def test_padded_sources(channel) -> None:
    plugins = Plugins(channel, "slug CHAR(20), code CHAR(200), updated_at INTEGER")
    plugins.add("good", "if True:\n    value = 1")
    plugins.mount()
    assert rule("good").value == 1


_SOURCES = {
    "latin-1": "# coding: latin-1\nvalue = 'é'\n",
    "second line": "#!/usr/bin/python\n# -*- coding: cp1252 -*-\nvalue = '€'\n",
    "after an empty line": "\n# vim: set fileencoding=ascii :\nvalue = 'й'\n",
    "twice": "# coding: latin-1\n# coding: ascii\nvalue = 'й'\n",
    "unknown": "# coding: no-such-one\nvalue = 1\n",
    "third line": "#\n#\n# coding: latin-1\nvalue = 'é'\n",
    "in a text": "'''\n# coding: latin-1\n'''\nvalue = __doc__\n",
    "carriage returns": "# coding: latin-1\r\nvalue = '''é\r\ny'''\r\n",
    "old newlines": "# a\r# coding: latin-1\rvalue = 'é'\r",
    "old newlines and no comment": "#\rvalue = 'coding: latin-1 é'\r",
    "form feed": "\f# coding: latin-1\nvalue = 'é'\n",
    "separators": "value = 'a\x1cb\u2028c\x85d'\n",
    "no newline": "value = 1",
    "empty": "",
}


@pytest.mark.parametrize("text", _SOURCES.values(), ids=_SOURCES)
def test_text_is_read_as_exec_reads_it(sqlite, text: str) -> None:
    plugins = Plugins(sqlite)
    plugins.add("one", text)
    plugins.mount()
    expected: dict[str, object] = {"__name__": "acme.rules.one"}
    exec(text, expected)
    module = rule("one")
    assert (getattr(module, "value", None), module.__doc__) == (expected.get("value"), expected.get("__doc__"))
    lines = module.__loader__.get_source(module.__name__).split("\n")
    assert [line for line in lines if "#" not in line] == [
        line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if "#" not in line
    ]


def test_byte_order_mark(plugins) -> None:
    """It is no part of the text, as in a file."""
    plugins.add("one", "\ufeff# coding: latin-1\nvalue = 'éй'\n")
    plugins.mount()
    assert rule("one").value == "éй"


def test_bytes_are_read_as_a_file(channel) -> None:
    binary = {"sqlite": "BLOB", "postgresql": "BYTEA", "mysql": "BLOB"}[channel.kind]
    plugins = Plugins(channel, f"slug VARCHAR(80), code {binary}, updated_at INTEGER")
    plugins.add("latin", "# coding: latin-1\nvalue = 'é'\n".encode("latin-1"))
    plugins.add("utf", "\ufeffvalue = 'é'\r\n".encode())
    plugins.mount()
    assert (rule("latin").value, rule("utf").value) == ("é", "é")


_UNREADABLE = [
    pytest.param("NULL", "holds no source code", ("sqlite", "postgresql", "mysql"), id="NULL"),
    pytest.param("CAST(x'763d31c3' AS TEXT)", "holds text that is no Unicode", ("sqlite",), id="no UTF-8"),
    pytest.param("CAST(x'763d27eda08027' AS TEXT)", "holds text that is no Unicode", ("sqlite",), id="surrogate"),
    pytest.param("CAST(x'763d3100' AS TEXT)", "holds a NUL character", ("sqlite",), id="NUL"),
    pytest.param("CONCAT('v = 1', CHAR(0))", "holds a NUL character", ("mysql",), id="NUL of MySQL"),
    pytest.param("7", "holds no source code", ("sqlite",), id="number"),
]


@pytest.mark.parametrize("by_engine", [False, True])
@pytest.mark.parametrize(("code", "problem", "kinds"), _UNREADABLE)
def test_bad_row_harms_no_other(
    channel, caplog: pytest.LogCaptureFixture, code: str, problem: str, kinds: tuple[str, ...], by_engine: bool
) -> None:
    if channel.kind not in kinds:
        pytest.skip("this database keeps no such row")
    plugins = Plugins(channel, f"slug VARCHAR(80), code {'BLOB' if code == '7' else 'TEXT'}, updated_at INTEGER")
    plugins("INSERT INTO {t} VALUES ('shop.draft', " + code + ", 1)")
    plugins.add("shop", "value = 1\n")
    plugins.add("good", "value = 1\n")
    mounted = plugins.mount(plugins.engine if by_engine else None)
    assert rule("good").value == rule("shop").value == 1
    for _ in range(2):
        with pytest.raises(archimport.FormatError, match=f"row 'shop.draft' {problem}.*acme/rules/shop/draft.py"):
            rule("shop.draft")
    mounted.refresh()
    plugins("UPDATE {t} SET updated_at = 2")
    mounted.refresh()
    assert [record.getMessage() for record in caplog.records] == [
        f"row 'shop.draft' {problem}; it is skipped: {mounted.store.location!r}"
    ]
    with pytest.raises(archimport.FormatError, match="'shop.draft'"):
        list(mounted.store.verify())


@pytest.mark.parametrize("revision", ["updated_at", None])
def test_row_that_goes_bad_and_good_again(plugins, caplog: pytest.LogCaptureFixture, revision: str | None) -> None:
    """A worker that has its module keeps that, and follows the other rows; who imports it now gets the error."""
    plugins.add("rule", "value = 1\n")
    plugins.add("other", "from acme.rules.rule import value as rule\nvalue = 1\n")
    mounted = plugins.mount(revision=revision)
    loaded, other = rule("rule"), rule("other")
    plugins("UPDATE {t} SET code = NULL, updated_at = 2 WHERE slug = 'rule'")
    plugins("UPDATE {t} SET code = 'value = 2', updated_at = 2 WHERE slug = 'other'")
    assert mounted.store.newest() is not None
    changes = mounted.refresh(reload=True)
    assert (changes.changed, changes.removed) == (("acme/rules/other.py",), ("acme/rules/rule.py",))
    assert mounted.store.newest() is None
    assert (loaded.value, other.value) == (1, 2)
    del sys.modules["acme.rules.rule"]
    with pytest.raises(archimport.FormatError, match="'rule' holds no source"):
        rule("rule")
    sys.modules["acme.rules.rule"] = loaded
    plugins("UPDATE {t} SET code = 'value = 3', updated_at = 3 WHERE slug = 'rule'")
    assert mounted.refresh(reload=True)
    assert loaded.value == 3
    plugins("UPDATE {t} SET code = NULL, updated_at = 4 WHERE slug = 'rule'")
    mounted.refresh()
    assert len(caplog.records) == 2


def test_worker_follows_a_table_with_a_bad_row(plugins) -> None:
    plugins.add("good", "value = 1\n")
    mounted = plugins.mount()
    good = rule("good")
    plugins.add("draft", None)
    plugins.add("", "value = 1\n")
    plugins("UPDATE {t} SET code = 'value = 2', updated_at = 2 WHERE slug = 'good'")
    assert mounted.refresh(reload=True).changed == ("acme/rules/good.py",)
    assert good.value == 2


def test_one_name_twice(plugins, caplog: pytest.LogCaptureFixture) -> None:
    plugins.add("same", "value = 1\n")
    plugins.add("same.py", "value = 1\n")
    plugins.add("one", "value = 1\n")
    plugins.add("one", "value = 2\n")
    plugins.add("good", "value = 1\n")
    plugins.mount(revision=None)
    assert rule("same").value == rule("good").value == 1
    with pytest.raises(archimport.FormatError, match="row 'one' is there twice, with different sources"):
        rule("one")
    assert len(caplog.records) == 1


def test_table_that_keeps_a_history(plugins) -> None:
    for revision in (9, 10, 2):
        plugins.add("one", f"value = {revision}\n", revision)
    plugins.add("one", "value = 'of no revision'\n", None)
    plugins.add("one", None, 11)
    mounted = plugins.mount()
    assert rule("one").value == 10
    assert mounted.store.newest() is None
    plugins.add("one", "value = 12\n", 12)
    assert mounted.refresh(reload=True).changed == ("acme/rules/one.py",)
    assert rule("one").value == 12


def test_draft_above_a_history(plugins, caplog: pytest.LogCaptureFixture) -> None:
    """The newest revision that has source is the module."""
    for revision, code in enumerate(("value = 1\n", "value = 2\n", None)):
        plugins.add("one", code, revision)
    plugins.mount()
    assert rule("one").value == 2
    assert ["row 'one' holds no source code; it is skipped" in record.getMessage() for record in caplog.records] == [
        True
    ]


def test_history_by_time(channel) -> None:
    plugins = Plugins(channel, "slug VARCHAR(80), code TEXT, updated_at TIMESTAMP NULL")
    for day in ("2026-02-01", "2026-10-01", "2025-12-31"):
        plugins(f"INSERT INTO {{t}} VALUES ('one', 'value = \"{day}\"', '{day}')")
    plugins.mount()
    assert rule("one").value == "2026-10-01"


def test_two_rows_of_the_newest_revision(plugins) -> None:
    plugins.add("one", "value = 1\n", 2)
    plugins.add("one", "value = 2\n", 2)
    plugins.mount()
    with pytest.raises(archimport.FormatError, match="twice"):
        rule("one")


def test_revisions_that_cannot_be_compared(sqlite) -> None:
    plugins = Plugins(sqlite, "slug TEXT, code TEXT, updated_at")
    plugins.add("one", "value = 1\n", 2)
    plugins.add("one", "value = 2\n", "2026-10-01")
    plugins.mount()
    with pytest.raises(archimport.FormatError, match="twice"):
        rule("one")


_CONDITIONS = [
    "updated_at = 1",
    "slug LIKE 'o%'",
    "slug <> ':two' AND updated_at < 2 -- of those that are enabled",
    "updated_at = 1 AND '%s {schema}' <> '10:00 :x ::text' OR 1 = 0",
    "updated_at < 2 AND slug IN ('one', 'o:ne')",
]


@pytest.mark.parametrize("by_engine", [False, True])
@pytest.mark.parametrize("where", _CONDITIONS)
def test_rows_by_a_condition(plugins, where: str, by_engine: bool) -> None:
    plugins.add("one", "value = 1\n")
    plugins.add("two", "value = 1\n", 2)
    mounted = plugins.mount(plugins.engine if by_engine else None, where=where)
    assert rule("one").value == 1
    with pytest.raises(ModuleNotFoundError):
        rule("two")
    assert mounted.store.newest() is None
    plugins("UPDATE {t} SET updated_at = 7")
    changes = mounted.refresh()
    assert changes.removed == (() if "LIKE" in where else ("acme/rules/one.py",))


def test_two_conditions_are_two_stores(plugins) -> None:
    plugins.add("one", "value = 1\n")
    conditions = (None, "updated_at = 1", "updated_at = 1 OR slug = '../x'")
    entries = {plugins.mount(where=where).path_entry for where in conditions}
    assert len(entries) == 3
    assert {entry == os.path.abspath(entry) for entry in entries} == {True}
    assert plugins.mount(where="updated_at = 1").path_entry in entries


def test_children_have_the_condition(plugins, tmp_path: Path) -> None:
    plugins.add("one", "value = 1\n")
    plugins.add("two", "value = 1\n", 2)
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import importlib.util, multiprocessing
import archimport

def names():
    return [name for name in ("one", "two") if importlib.util.find_spec(f"acme.rules.{{name}}")]

if __name__ == "__main__":
    archimport.mount({plugins.url!r}, table={plugins.name!r}, name="slug", source="code", package="acme.rules",
                     where="updated_at = 1")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(names(), pool.apply(names))
"""
    )
    done = subprocess.run([sys.executable, program], check=False, capture_output=True, text=True, timeout=300)
    assert done.stdout == "['one'] ['one']\n", done.stderr


@pytest.mark.parametrize("where", ["", " ", "\0", 7])
def test_conditions_that_are_none(plugins, where: object) -> None:
    with pytest.raises(archimport.ConfigError, match="not a condition"):
        plugins.mount(where=where)


_WRONG = [
    "nowhere = 1",
    "updated_at = ",
    "updated_at = 1)",
    "nofunction(slug) = 1",
    "slug = 'one",
    "slug IN (SELECT 1 FROM",
]
_WRONG_ONLY_IN = {
    "sqlite": ["slug = :x", "slug = ?", "json_extract('{', '$.x') = 1", "slug = #"],
    "postgresql": ["1/0 = 1", "'x'::int = 1", "slug = 1", "slug = ?"],
    "mysql": ["slug = :x", "slug = ?"],
}


@pytest.mark.parametrize("by_engine", [False, True])
def test_conditions_that_are_wrong(channel, by_engine: bool) -> None:
    """The condition is to blame, not the database, and nothing is tried again."""
    plugins = Plugins(channel)
    plugins.add("one", "value = 1\n")
    for where in [*_WRONG, *_WRONG_ONLY_IN[channel.kind]]:
        with pytest.raises(archimport.ConfigError, match=r"cannot read the rows where .*check where=") as caught:
            plugins.mount(plugins.engine if by_engine else None, where=where)
        assert "damaged" not in str(caught.value)


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
