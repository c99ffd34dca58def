"""Import real packages from wherever `sys.path` has them, and print what a program sees of them as JSON.

Run as `python observe.py KIND SOURCE`: a plain folder, or a store that is mounted.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import inspect
import json
import pkgutil
import sys
import types
import warnings

PACKAGES = ("click", "rich", "httpx", "requests", "flask", "sqlalchemy", "django")
MODULES = (
    "click.testing",
    "rich.table",
    "rich.markdown",
    "httpx._transports.mock",
    "requests.adapters",
    "flask.testing",
    "jinja2.loaders",
    "werkzeug.routing",
    "sqlalchemy.orm",
    "sqlalchemy.dialects.sqlite",
    "django.core.management",
    "django.template",
    "django.db.models",
    "django.contrib.auth.hashers",
)


def look_at_module(module: types.ModuleType, root: str) -> dict[str, object]:
    """Give what is seen of a module, with the root taken out."""
    spec = module.__spec__
    assert spec is not None and spec.loader is not None
    return {
        "names": sorted((name, type(value).__name__) for name, value in vars(module).items() if name != "__loader__"),
        "file": str(module.__file__).replace(root, ""),
        "path": [entry.replace(root, "") for entry in getattr(module, "__path__", ())],
        "cached": str(spec.cached).replace(root, ""),
        "package": spec.parent,
        "doc": module.__doc__,
        "source": len(inspect.getsource(module)) if inspect.getsourcefile(module) and not is_empty(module) else 0,
    }


def is_empty(module: types.ModuleType) -> bool:
    """Whether a module has no source text: inspect calls that an error, everywhere."""
    return not module.__spec__.loader.get_source(module.__name__)


def look_at_resources(package: str) -> list[tuple[str, int]]:
    """Give every file of a package and its size."""
    found = []
    pending = [("", importlib.resources.files(package))]
    while pending:
        path, folder = pending.pop()
        for child in folder.iterdir():
            if child.is_dir():
                if child.name != "__pycache__":
                    pending.append((f"{path}{child.name}/", child))
            else:
                found.append((f"{path}{child.name}", len(child.read_bytes())))
    return sorted(found)


def look_at_distributions(entry: str) -> dict[str, object]:
    """Give name, version, requirements, entry points and files of each distribution of a path entry."""
    return {
        dist.metadata["Name"]: [
            dist.version,
            sorted(dist.requires or ()),
            sorted((point.group, point.name, point.value) for point in dist.entry_points),
            sorted(str(file) for file in dist.files or ()),
        ]
        for dist in importlib.metadata.distributions(path=[entry])
    }


def use() -> dict[str, object]:
    """Use each package a little."""
    import click.testing
    import django.conf
    import flask
    import httpx
    import requests
    import rich.console
    import rich.markdown
    import sqlalchemy
    from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

    @click.command()
    @click.option("--name")
    def command(name: str) -> None:
        click.echo(f"hello {name}")

    app = flask.Flask("observed")
    app.add_url_rule("/<name>", view_func=lambda name: flask.render_template_string("hi {{ name }}", name=name))
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"path": request.url.path}))

    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "thing"
        number = mapped_column(sqlalchemy.Integer, primary_key=True)

    engine = sqlalchemy.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Thing(number=5))
        session.commit()
        numbers = list(session.scalars(sqlalchemy.select(Thing.number)))
    engine.dispose()
    django.conf.settings.configure(
        USE_I18N=False, INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"]
    )
    django.setup()
    console = rich.console.Console(width=40, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(rich.markdown.Markdown("# title\n\n`code`"))
    console.file.close()
    from django.contrib.auth.models import User
    from django.template import Context, Engine

    return {
        "click": click.testing.CliRunner().invoke(command, ["--name", "you"]).output,
        "flask": app.test_client().get("/you").text,
        "httpx": httpx.Client(transport=transport).get("https://example.org/here").json(),
        "requests": requests.Request("GET", "https://example.org", params={"a": "b"}).prepare().url,
        "rich": console.export_text(),
        "sqlalchemy": numbers,
        "django": Engine().from_string("{{ x|upper }}").render(Context({"x": "up"})),
        "model": [field.name for field in User._meta.get_fields()],
    }


def main() -> None:
    """Print the observations."""
    kind, source = sys.argv[1:]
    warnings.simplefilter("ignore")
    if kind == "folder":
        sys.path.insert(0, source)
    else:
        import archimport

        archimport.mount(source)
    used = use()
    names = [*PACKAGES, *MODULES]
    seen = {name: look_at_module(importlib.import_module(name), source) for name in names}
    walked = {name: sorted(info.name for info in pkgutil.iter_modules(sys.modules[name].__path__)) for name in PACKAGES}
    loaded = sorted(
        name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(f"{source}/")
    )
    resources = {name: look_at_resources(name) for name in PACKAGES}
    distributions = look_at_distributions(source)
    json.dump(
        {
            "used": used,
            "modules": seen,
            "walked": walked,
            "loaded": loaded,
            "resources": resources,
            "dists": distributions,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
