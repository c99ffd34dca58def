"""What says which files have to be real ones may come from a stranger."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import MemoryStore

import archimport
from archimport.runtime import holding
from archimport.runtime.digest import digest
from archimport.runtime.extract import package_in_cache
from archimport.runtime.unit import MAX_TEXT, PLAN, UNITS, Plan, Unit, plan_of, unit_named, unit_of_library

GOOD = digest(b"x").hex()


def store_of(*lines: str, **files: bytes) -> tuple[MemoryStore, str]:
    text = "".join(f"{line}\n" for line in lines).encode()
    name = digest(text).hex()
    return MemoryStore({UNITS + name: text, **files}, "/virtual/units"), name


@pytest.mark.parametrize(
    "text",
    [
        "library\tx.so\t../../evil",
        "library\tx.so",
        "else\tx\t00",
        "unpacked\tx\t/etc",
        "\t\t",
        "unpacked\tx\t00\t",
        "x",
    ],
)
def test_plans_that_are_none(text: str) -> None:
    with pytest.raises(archimport.FormatError):
        Plan(text)


@pytest.mark.parametrize("path", ["../evil", "/evil", "a/../../evil", "a//b", "C:evil", "a\\b", ".", ""])
def test_paths_that_lead_out(path: str) -> None:
    store, name = store_of(f"{GOOD}\t-\t{path}")
    with pytest.raises(archimport.FormatError):
        unit_named(store, name).files  # noqa: B018


@pytest.mark.parametrize(
    "line",
    ["", "x", f"{GOOD}\t-", "zz\t-\tx", f"{GOOD}\t-\tx\t0", f"{GOOD}\t-\tx\tq\tx", f"{GOOD}\t-\tx\t0\tabsent"],
)
def test_lists_that_are_none(line: str) -> None:
    store, name = store_of(line)
    with pytest.raises(archimport.FormatError):
        unit_named(store, name).files  # noqa: B018


def test_list_that_is_another_one() -> None:
    store, _ = store_of(f"{GOOD}\t-\tx")
    store.write(UNITS + GOOD, b"anything")
    with pytest.raises(archimport.IntegrityError):
        unit_named(store, GOOD).files  # noqa: B018
    with pytest.raises(archimport.IntegrityError):
        unit_named(store, digest(b"absent").hex()).files  # noqa: B018


def test_needs_go_round_and_deep() -> None:
    lines = [f"{GOOD}\t-\tf{number}\t0\tf{(number + 1) % 5000}" for number in range(5000)]
    store, name = store_of(*lines)
    found = [file.path for file in unit_named(store, name).needed("f7")]
    assert len(found) == 5000 and found[-1] == "f7" and found[0] == "f6"


def test_what_is_needed_comes_first() -> None:
    lines = [f"{GOOD}\t-\ta\t0\tb\t0\tc", f"{GOOD}\t-\tb\t0\td", f"{GOOD}\t-\tc\t0\td", f"{GOOD}\t-\td"]
    store, name = store_of(*lines)
    found = [file.path for file in unit_named(store, name).needed("a")]
    assert len(found) == 4 and found[0] == "d" and found[-1] == "a"


def test_content_that_is_another_one() -> None:
    store, name = store_of(f"{GOOD}\t-\tsub/x", **{"sub/x": b"y"})
    with pytest.raises(archimport.IntegrityError, match="sub/x"):
        package_in_cache(unit_named(store, name), lambda done, total: None)
    assert list(Path(os.environ["XDG_CACHE_HOME"]).rglob("x")) == []


def test_list_is_not_read_where_all_files_are() -> None:
    store, name = store_of(f"{GOOD}\t-\tx", x=b"x")
    folder = package_in_cache(unit_named(store, name), lambda done, total: None)
    empty = MemoryStore({}, "/virtual/empty")
    assert package_in_cache(unit_named(empty, name), lambda done, total: None) == folder
    with pytest.raises(archimport.IntegrityError):
        unit_named(empty, name).text  # noqa: B018


def test_plan_is_read_once_for_each_content() -> None:
    store = MemoryStore({PLAN: f"unpacked\tacme\t{GOOD}\n".encode()}, "/virtual/plan")
    assert plan_of(store).unpacked == {"acme": GOOD} and plan_of(store) is plan_of(store)
    store.write(PLAN, b"")
    assert plan_of(store).unpacked == {}


@pytest.mark.parametrize("member", [PLAN, f"{UNITS}{GOOD}"])
def test_texts_that_are_too_long(member: str) -> None:
    store = MemoryStore(
        {PLAN: f"library\tx.so\t{GOOD}\n".encode(), f"{UNITS}{GOOD}": b"", "x.so": b""}, "/virtual/long"
    )
    store.lookup(member).size = MAX_TEXT + 1
    with pytest.raises(archimport.LimitError, match="too long"):
        unit_of_library(store, "x.so").files  # noqa: B018 - it is read when it is asked for


def test_library_that_its_unit_does_not_have() -> None:
    store, name = store_of(f"{GOOD}\t-\tother.so")
    with pytest.raises(archimport.FormatError, match=r"x\.so"):
        unit_named(store, name).needed("x.so")


def test_unit_of_a_closed_store() -> None:
    store = MemoryStore({"x": b"x"}, "/virtual/gone")
    unit = Unit(store, GOOD, f"{GOOD}\t-\tx".encode())
    assert unit.read("x") == b"x"
    del store
    with pytest.raises(archimport.StoreUnavailable):
        unit.read("x")


def test_directory_that_goes_away_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempts to hold it are bounded, whichever call fails; then the unit lies elsewhere."""
    store, name = store_of(f"{GOOD}\t-\tx", x=b"x")
    for broken in ("open", "stat"):
        failing = SimpleNamespace(**vars(os))
        monkeypatch.setattr(failing, broken, lambda *_, **__: os.stat("/nowhere/at/all"))
        monkeypatch.setattr(holding, "os", failing)
        with pytest.raises(OSError, match="again and again"):
            package_in_cache(unit_named(store, name), lambda done, total: None)
