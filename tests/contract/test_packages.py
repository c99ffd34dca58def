"""Packages, modules and namespaces import from every store as from a folder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest
from builders import STORES, build_directory
from conftest import Place

import archimport

SHOP = {
    "shop": {
        "__init__.py": "name = 'shop'\nfrom . import cart\n",
        "cart.py": "from .items import Item\ndef total():\n    return Item.price * 2\n",
        "items.py": "class Item:\n    price = 21\n",
        "deep": {"__init__.py": "", "er": {"__init__.py": "from ...items import Item\n"}},
    }
}


def test_package_with_relative_imports(place: Place) -> None:
    place.add(SHOP)
    shop = importlib.import_module("shop")
    assert shop.cart.total() == 42
    assert importlib.import_module("shop.deep.er").Item is shop.cart.Item


def test_module_attributes_are_those_of_a_folder(store_place: Place, tmp_path: Path) -> None:
    """What a program sees of modules equals what a plain folder shows, with the root replaced."""

    def look(root: str) -> dict[str, object]:
        seen: dict[str, object] = {}
        for name in ("shop", "shop.cart", "shop.deep.er"):
            module = importlib.import_module(name)
            values = {
                key: value for key, value in vars(module).items() if key.startswith("__") and key != "__builtins__"
            }
            spec = values.pop("__spec__")
            assert values.pop("__loader__") is spec.loader
            assert spec.loader.name == name and spec.loader.path == module.__file__ == spec.loader.get_filename(name)
            parts = {key: getattr(spec, key) for key in ("name", "origin", "cached", "parent", "has_location")}
            parts |= {"locations": spec.submodule_search_locations, "package": spec.loader.is_package(name)}
            parts["repr"] = repr(module)
            seen[name] = repr([sorted(values.items()), parts]).replace(root, "ROOT")
        return seen

    expected_root = build_directory(SHOP, tmp_path / "oracle")
    sys.path.insert(0, expected_root)
    expected = look(expected_root)
    sys.path.remove(expected_root)
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
    assert look(store_place.add(SHOP)) == expected


def test_package_is_preferred_over_module(place: Place) -> None:
    place.add({"both": {"__init__.py": "which = 'package'"}, "both.py": "which = 'module'"})
    assert importlib.import_module("both").which == "package"


def test_module_is_preferred_over_portion(place: Place) -> None:
    place.add({"both": {"inner.py": ""}, "both.py": "which = 'module'"})
    assert importlib.import_module("both").which == "module"


def test_source_is_preferred_over_bytecode(place: Place) -> None:
    place.add({"both.py": "which = 'source'", "both.pyc": b"junk"})
    assert importlib.import_module("both").which == "source"


def test_circular_imports(place: Place) -> None:
    place.add({"one.py": "import two\nvalue = two.value + 1\n", "two.py": "import one\nvalue = 1\n"})
    assert importlib.import_module("one").value == 2


def test_init_is_a_module_of_its_own(place: Place) -> None:
    place.add({"pkg": {"__init__.py": "x = 1\n"}})
    module = importlib.import_module("pkg.__init__")
    assert module is not sys.modules["pkg"]
    assert not hasattr(module, "__path__")


def test_namespace_package(place: Place) -> None:
    place.add({"space": {"inner": {"leaf.py": "x = 1"}, "mod.py": "y = 2"}})
    assert importlib.import_module("space.inner.leaf").x == 1
    assert importlib.import_module("space.mod").y == 2
    space = sys.modules["space"]
    assert space.__file__ is None if hasattr(space, "__file__") else True
    assert space.__spec__.loader is not None
    assert space.__spec__.origin is None


def test_portions_accumulate_in_path_order(place: Place) -> None:
    first = place.add({"space": {"one.py": "x = 1"}}, position=0)
    second = place.add({"space": {"two.py": "x = 2"}}, position=1)
    assert importlib.import_module("space.one").x + importlib.import_module("space.two").x == 3
    assert list(sys.modules["space"].__path__) == [f"{first}/space", f"{second}/space"]


def test_portions_in_a_store_and_in_a_folder(store_place: Place, tmp_path: Path) -> None:
    store_place.add({"space": {"stored.py": "x = 1"}})
    sys.path.append(build_directory({"space": {"filed.py": "x = 2"}}, tmp_path / "folder"))
    assert importlib.import_module("space.stored").x == 1
    assert importlib.import_module("space.filed").x == 2


def test_portions_in_two_kinds_of_store(store_place: Place, tmp_path: Path) -> None:
    store_place.add({"space": {"one.py": "x = 1"}})
    for kind, build in STORES.items():
        archimport.mount(build({"space": {f"{kind.replace('-', '_')}.py": "x = 2"}}, tmp_path / f"other-{kind}"))
    for kind in STORES:
        assert importlib.import_module(f"space.{kind.replace('-', '_')}").x == 2
    assert importlib.import_module("space.one").x == 1


def test_namespace_path_follows_sys_path(place: Place) -> None:
    place.add({"space": {"one.py": ""}})
    importlib.import_module("space.one")
    late = place.add({"space": {"two.py": ""}})
    importlib.import_module("space.two")
    assert f"{late}/space" in sys.modules["space"].__path__


def test_later_package_beats_earlier_portion(place: Place) -> None:
    place.add({"thing": {"__init__.py": "which = 'package'"}})
    place.add({"thing": {"part.py": ""}}, position=0)
    assert importlib.import_module("thing").which == "package"


@pytest.mark.parametrize(
    "name", ["absent", "a b", "a\0b", "a\udc80", "é", "x" * 5000, "Shop", "shop.CART", "shop.absent"]
)
def test_what_is_not_there_is_not_found(place: Place, name: str) -> None:
    place.add(SHOP)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)


def test_lookup_takes_names_literally(place: Place) -> None:
    place.add({"my_pkg": {"__init__.py": "which = 'underscore'"}, "myxpkg": {"__init__.py": "which = 'x'"}})
    assert importlib.import_module("my_pkg").which == "underscore"


def test_unicode_names(place: Place) -> None:
    place.add({"überall": {"__init__.py": "", "あ.py": "x = 1"}})
    assert importlib.import_module("überall.あ").x == 1


def test_failing_module_leaves_no_trace(place: Place) -> None:
    place.add({"broken.py": "import side\nraise RuntimeError('no')\n", "side.py": ""})
    with pytest.raises(RuntimeError, match="no"):
        importlib.import_module("broken")
    assert "broken" not in sys.modules
    assert "side" in sys.modules


def test_syntax_error_names_the_file(place: Place) -> None:
    entry = place.add({"broken.py": "x = = 1\n"})
    with pytest.raises(SyntaxError) as caught:
        importlib.import_module("broken")
    assert caught.value.filename == f"{entry}/broken.py"


def test_folder_inside_a_store_is_a_path_entry(place: Place) -> None:
    entry = place.add({"src": {"lib": {"inside.py": "x = 1"}}})
    sys.path.insert(0, f"{entry}/src/lib")
    assert importlib.import_module("inside").x == 1


def test_specs_without_loading(place: Place) -> None:
    place.add(SHOP)
    spec = importlib.util.find_spec("shop")
    assert spec is not None and spec.loader is not None
    assert "shop" not in sys.modules
    assert spec.loader.is_package("shop")
    assert "name = 'shop'" in spec.loader.get_source("shop")
    assert spec.loader.get_code("shop").co_filename == spec.origin
    assert spec == importlib.util.find_spec("shop")
    with pytest.raises(ImportError):
        spec.loader.get_filename("other")


def test_extend_path(place: Place) -> None:
    place.add({"legacy": {"__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"}})
    place.add({"legacy": {"__init__.py": "", "far.py": "x = 1"}}, position=1)
    assert importlib.import_module("legacy.far").x == 1


def test_lazy_loader(place: Place) -> None:
    place.add({"lazy.py": "x = 1\n"})
    spec = importlib.util.find_spec("lazy")
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["lazy"] = module
    spec.loader.exec_module(module)
    assert module.x == 1


@pytest.mark.parametrize("name", ["pkg/sub", "ns/x", ".", "..", "/", "pkg/", "/pkg"])
def test_paths_are_no_names(place: Place, name: str) -> None:
    place.add({"pkg": {"__init__.py": "", "sub.py": ""}, "ns": {"x.py": ""}})
    with pytest.raises((ModuleNotFoundError, ValueError)):
        __import__(name)
    assert name not in sys.modules
