"""Drivers: what they give is read alike, and the common ones verify a server or the URL is refused."""

from __future__ import annotations

import gc
import importlib

import pytest
import sqlalchemy
from proxy import Proxy
from servers import server_url

import archimport
from archimport.sql import history
from archimport.sql.address import of_url
from archimport.sql.engine import create_engine
from archimport.sql.hosts import must_verify
from archimport.sql.tls import as_said, verified
from archimport.sql.translate import translated

from .conftest import OTHER_DRIVERS, Channel, by_driver

#: SQLAlchemy has this dialect from 2.1 on.
NEW_DIALECT = pytest.mark.skipif(sqlalchemy.__version__ < "2.1", reason="SQLAlchemy has no mssqlpython before 2.1")
OTHERS = [(kind, driver) for kind, drivers in OTHER_DRIVERS.items() for driver in drivers]


@pytest.mark.parametrize(("kind", "driver"), OTHERS)
def test_all_that_a_database_does(kind: str, driver: str, channel_on) -> None:
    own = channel_on(kind)
    channel = Channel(kind, by_driver(own.source, driver), own.name)
    large = "x = '%s %% :y \\\\ é 漢'\n" * 10_000 + "value = 1\n"
    first = channel.publish({"a.py": large, "empty.py": "", "data.bin": bytes(range(256)) * 9000})
    with channel.mount() as mounted:
        assert importlib.import_module("a").value == 1
        assert mounted.store.read(mounted.store.lookup("data.bin")) == bytes(range(256)) * 9000
        assert list(mounted.store.verify()) == [f"release {first.release}: 3 files"]
        channel.publish({"a.py": "value = 2\n"})
        assert mounted.refresh().changed == ("a.py",)
        assert mounted.store.newest() is None
    assert history.rollback(channel.address, channel.name).to_release == first.release
    assert [event.action for event in history.log(channel.address, channel.name)] == ["rollback", "publish", "publish"]
    history.collect(channel.address, days=0)
    with pytest.raises(archimport.ReleaseGone):
        channel.mount(release="f" * 64)


@pytest.mark.parametrize(("kind", "driver"), OTHERS)
def test_servers_that_refuse(kind: str, driver: str) -> None:
    """No such database: an error that is not worth trying again; nobody who listens: one that is."""
    url = sqlalchemy.make_url(by_driver(server_url(kind), driver))
    with pytest.raises(archimport.StoreUnavailable) as caught:
        archimport.mount(url.set(database="archimport_nowhere").render_as_string(hide_password=False))
    assert not caught.value.retryable
    if not url.query:
        with pytest.raises(archimport.StoreUnavailable) as caught:
            archimport.mount(url.set(port=1).render_as_string(hide_password=False))
        assert caught.value.retryable


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # some leave their sockets to the collector
@pytest.mark.parametrize("after", [0, 120])
@pytest.mark.parametrize(("kind", "driver"), OTHERS)
def test_server_that_says_nothing(
    kind: str, driver: str, after: int, channel_on, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = channel_on(kind)
    channel.publish({"a.py": "value = 1\n"})
    for name in ("engine.CONNECT_LIMIT", "engine.STATEMENT_LIMIT", "drivers.CONNECT_LIMIT"):
        monkeypatch.setattr(f"archimport.sql.{name}", 1)
    with Proxy(channel.source) as proxy:
        proxy.fault, proxy.after = "stall", after
        with pytest.raises(archimport.StoreUnavailable):
            archimport.mount(by_driver(proxy.url, driver), channel=channel.name)
    gc.collect()


def connect_arguments(text: str) -> dict[str, object]:
    """Return what a driver would be told to verify a server, a connection string of ODBC as `odbc`."""
    url = sqlalchemy.make_url(text)
    dialect = url.get_dialect()
    url, told = verified(url, dialect.driver)
    positional, named = dialect().create_connect_args(url)
    return {**dict(zip(("odbc",), positional, strict=False)), **named, **told}


LIBPQ = {"sslmode": "verify-full", "sslrootcert": "system"}
CONNECTOR = {"ssl_disabled": False, "ssl_verify_cert": True, "ssl_verify_identity": True, "ssl_ca": "/ca.pem"}
ODBC = "mssql+pyodbc://u@db.example.com/app?driver=ODBC+Driver+18+for+SQL+Server"
RAW = "mssql+pyodbc:///?odbc_connect=Driver%3D%7BODBC+Driver+18+for+SQL+Server%7D%3BServer%3Ddb.example.com"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+psycopg://db.example.com/app", LIBPQ),
        ("postgresql+psycopg2://db.example.com/app", LIBPQ),
        ("postgresql+psycopg2://db.example.com/app?sslmode=verify-full", LIBPQ),
        ("postgresql+psycopg2://db.example.com/app?sslmode=verify-full&sslrootcert=/ca", {"sslrootcert": "/ca"}),
        ("postgresql+psycopg2cffi://db.example.com/app", LIBPQ),
        (
            "mysql+mysqldb://db.example.com/app?ssl_ca=/ca.pem",
            {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": "/ca.pem"}},
        ),
        ("mysql+mysqldb://db.example.com/app?ssl_mode=VERIFY_IDENTITY", {"ssl_mode": "VERIFY_IDENTITY"}),
        ("mysql+mysqldb://db.example.com/app?ssl_ca=/c&ssl_verify_cert=true", {"ssl_mode": "VERIFY_IDENTITY"}),
        ("mariadb+mariadbconnector://db.example.com/app", {"ssl": True, "ssl_verify_cert": True}),
        ("mariadb+mariadbconnector://db.example.com/app?ssl_ca=/ca.pem&ssl_verify_cert=true", {"ssl_ca": "/ca.pem"}),
        ("mysql+mysqlconnector://db.example.com/app?ssl_ca=/ca.pem&ssl_verify_identity=true", CONNECTOR),
        ("mysql+mysqlconnector://db.example.com/app?ssl_ca=/ca.pem&ssl_disabled=false", CONNECTOR),
        pytest.param(
            "mssql+mssqlpython://u@db.example.com/app",
            {"odbc": "Encrypt=yes;TrustServerCertificate=no"},
            marks=NEW_DIALECT,
        ),
        (f"{ODBC}&Encrypt=yes", {"odbc": "Encrypt=yes;TrustServerCertificate=no"}),
        (ODBC, {"odbc": "Encrypt=yes;TrustServerCertificate=no"}),
        ("mysql+mysqlconnector://db.example.com/app?ssl_ca=/ca.pem&option_files=x.cnf", CONNECTOR),
        ("oracle+oracledb://u@/?dsn=tcps%3A%2F%2Fdb.example.com%2Fapp", {"ssl_server_dn_match": True}),
    ],
)
def test_verifying_is_told(url: str, told: dict[str, object]) -> None:
    arguments = connect_arguments(url)
    assert must_verify(sqlalchemy.make_url(url), of_url(url))
    assert str(arguments.pop("odbc", "")).endswith(str(told.pop("odbc", "")))
    assert arguments.items() >= told.items() if "ssl" not in told else all(arguments[key] == told[key] for key in told)


@pytest.mark.parametrize("driver", ["pg8000", "pymysql"])
def test_verifying_by_a_context(driver: str) -> None:
    words = {"pg8000": "sslmode=verify-full&sslrootcert=system", "pymysql": "ssl_verify_cert=true&ssl_check_hostname=1"}
    kind = "postgresql" if driver == "pg8000" else "mysql"
    arguments = connect_arguments(f"{kind}+{driver}://db.example.com/app?{words[driver]}")
    context = arguments.pop("ssl_context", None) or arguments.pop("ssl")
    assert (context.verify_mode.name, context.check_hostname) == ("CERT_REQUIRED", True)
    assert not [key for key in arguments if key.startswith("ssl")]


@pytest.mark.parametrize(
    ("query", "mode", "checks_name"),
    [
        ("", None, None),
        ("sslmode=prefer&sslrootcert=/ca", None, None),
        ("sslmode=disable&sslrootcert=/ca", False, None),
        ("sslmode=require", "CERT_NONE", False),
        ("sslmode=require&sslrootcert=system", "CERT_REQUIRED", False),
        ("sslmode=verify-ca", "CERT_REQUIRED", False),
        ("sslmode=verify-full&sslrootcert=system", "CERT_REQUIRED", True),
        ("sslmode=verify-full&unix_sock=/run/x", False, None),
    ],
)
def test_words_of_libpq_for_pg8000(query: str, mode: object, checks_name: bool | None) -> None:
    """They mean there what they mean to libpq, where nothing must be verified too."""
    url, told = as_said(sqlalchemy.make_url(f"postgresql+pg8000://localhost/app?{query}"), "pg8000")
    assert not [key for key in url.query if key.startswith("ssl")]
    context = told.get("ssl_context")
    assert getattr(getattr(context, "verify_mode", None), "name", context) == mode
    assert getattr(context, "check_hostname", None) == checks_name


def test_sslmode_that_is_none() -> None:
    with pytest.raises(archimport.ConfigError, match="no sslmode of PostgreSQL: 'on'"):
        create_engine(of_url("postgresql+pg8000://localhost/app?sslmode=on"), reading=True)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("mysql+pymysql://db.example.com/app?ssl_ca=/absent.pem", "'/absent.pem'"),
        ("mysql+pymysql://db.example.com/app?ssl_cert=/absent.pem&ssl_key=/key", "'/absent.pem and /key'"),
        ("postgresql+pg8000://db.example.com/app?sslrootcert=/absent.pem", "'/absent.pem'"),
        (f"postgresql+pg8000://db.example.com/app?sslrootcert={__file__}", "test_drivers.py'"),
        ("postgresql+pg8000://localhost/app?sslmode=require&sslcert=/absent.pem", "'/absent.pem'"),
    ],
)
def test_certificates_that_cannot_be_read(url: str, named: str) -> None:
    with pytest.raises(archimport.ConfigError, match=f"cannot read the certificates in .*{named}: .*files in PEM"):
        create_engine(of_url(url), reading=True)


@pytest.mark.parametrize(
    "refusal", [AttributeError("Unsupported argument 'x'"), TypeError("connect() got an unexpected keyword argument")]
)
def test_arguments_that_a_driver_does_not_take(refusal: Exception) -> None:
    with pytest.raises(archimport.ConfigError, match="the driver refuses the URL"), translated("x"):
        raise refusal


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgresql+psycopg2://db.example.com/app?sslmode=require", "sslmode=verify-full"),
        ("postgresql+psycopg2://db.example.com/app?sslmode=verify-ca", "sslmode=verify-full"),
        ("postgresql+pg8000://db.example.com/app?sslmode=disable", "sslmode=verify-full"),
        ("mysql+pymysql://db.example.com/app?ssl_verify_identity=false", "ssl_ca=FILE"),
        ("mysql+pymysql://db.example.com/app?ssl_disabled=true", "ssl_ca=FILE"),
        ("mysql+mysqldb://db.example.com/app?ssl_ca=/c&ssl_mode=REQUIRED", "ssl_ca=FILE"),
        ("mysql+mysqldb://db.example.com/app?ssl_check_hostname=false", "ssl_ca=FILE"),
        ("mysql+mysqlconnector://db.example.com/app?ssl_verify_cert=false", "ssl_ca=FILE"),
        ("mariadb+mariadbconnector://db.example.com/app?ssl_verify_cert=0", "ssl_ca=FILE"),
        (f"{ODBC}&Encrypt=no", "Encrypt=yes"),
        (f"{ODBC}&Encrypt=yes&trustServerCertificate=yes", "Encrypt=yes"),
        ("mssql+pyodbc://u@db.example.com/app?driver=FreeTDS&Encrypt=yes", "ODBC Driver 18"),
        ("mssql+pyodbc://u@dsn", "ODBC Driver 18"),
        ("mssql+pyodbc://u@dsn?driver=ODBC+Driver+18+for+SQL+Server", "ODBC Driver 18"),
        (f"{ODBC}&dsn=x", "ODBC Driver 18"),
        (f"{ODBC}&FileDSN=x", "ODBC Driver 18"),
        (f"{RAW}%3BEncrypt%3Dyes%3BTrustServerCertificate%3Dno", "HOST/DATABASE"),
        ("mysql+mysqldb://db.example.com/app?ssl_ca=/c&read_default_file=x.cnf", "no file of options"),
        ("mysql+mysqldb://db.example.com/app?ssl_ca=/c&read_default_group=x", "no file of options"),
        ("mysql+pymysql://db.example.com/app?ssl_ca=/c&read_default_file=x.cnf", "no file of options"),
        ("mariadb+mariadbconnector://db.example.com/app?ssl_ca=/c&default_file=x.cnf", "no file of options"),
        ("mariadb+mariadbconnector://db.example.com/app?ssl_ca=/c&default_group=x", "no file of options"),
        pytest.param("mssql+mssqlpython://u@db.example.com/app?Encrypt=optional", "Encrypt=yes", marks=NEW_DIALECT),
        ("mssql+pymssql://u@db.example.com/app", r"mssql\+pyodbc"),
        ("oracle+oracledb://u@db.example.com/?service_name=app", "tcps"),
        ("oracle+oracledb://u@/?dsn=tcps%3A%2F%2Fh%2Fs%3Fssl_server_dn_match%3Doff", "tcps"),
        ("mysql+cymysql://db.example.com/app?ssl_ca=/c", "'cymysql' is not known: hand over an engine"),
        ("mysql+pyodbc://db.example.com/app", "'pyodbc' is not known: hand over an engine"),
    ],
)
def test_verifying_cannot_be_told(url: str, hint: str) -> None:
    """The message names what to write, and the two ways that are open to every driver or to the host."""
    with pytest.raises(archimport.ConfigError, match=f"verified TLS.*{hint}.*allow_insecure"):
        create_engine(of_url(url), reading=True)


@pytest.mark.parametrize(
    "query",
    [
        "x;Server=db.example.com;y=1",
        "driver=x%7D;Server%3Ddb.example.com;y%3D%7Bz",
        "driver=x;Server%3Ddb.example.com",
        "driver=x&driver=%7By",
        "x%3Dy%7D=1",
        "Server%20=db.example.com",
    ],
)
@pytest.mark.parametrize(
    "dialect", ["mssql+pyodbc", pytest.param("mssql+mssqlpython", marks=NEW_DIALECT), "mysql+pyodbc"]
)
@pytest.mark.parametrize("host", ["localhost", "db.example.com"])
def test_keys_that_part_a_connection_string(host: str, dialect: str, query: str) -> None:
    with pytest.raises(archimport.ConfigError, match="signs that part a connection string"):
        create_engine(of_url(f"{dialect}://{host}/app?{query}"), reading=True)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql+asyncpg://db.example.com/app", r"postgresql\+psycopg://"),
        ("postgresql+psycopg_async://localhost/app", r"postgresql\+psycopg://"),
        ("mysql+aiomysql://db.example.com/app?ssl_ca=/c", r"mysql\+pymysql://"),
        ("mariadb+asyncmy://db.example.com/app", r"mariadb\+pymysql://"),
        ("mssql+aioodbc://db.example.com/app", r"mssql\+pyodbc://"),
        ("oracle+oracledb_async://db.example.com/app", r"oracle\+oracledb://"),
    ],
)
def test_asynchronous_drivers(url: str, named: str) -> None:
    with pytest.raises(archimport.ConfigError, match=f"cannot await.*{named}"):
        archimport.mount(url)


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("postgresql+psycopg:///app?host=127.0.0.1:5432&host=127.0.0.1:5433", True),
        ("postgresql+psycopg:///app?host=127.0.0.1:5432", True),
        ("postgresql+psycopg:///app?host=localhost,127.0.0.1&port=1,2", True),
        ("postgresql+psycopg:///app?host=[::1]:5432", True),
        ("postgresql+psycopg://[::1]:5432/app", True),
        ("postgresql+psycopg://LOCALHOST/app", True),
        ("postgresql+psycopg:///app?hostaddr=127.0.0.1", True),
        ("postgresql+psycopg:///app?host=/run/postgresql", True),
        ("postgresql+psycopg:///app?host=@postgresql", True),
        ("mysql+pymysql://localhost/app?unix_socket=/run/mysqld/mysqld.sock", True),
        ("mssql+pyodbc://localhost/app?driver=x", True),
        ("postgresql+psycopg:///app?host=127.0.0.1:5432&host=db.example.com:5432", False),
        ("postgresql+psycopg:///app?host=127.0.0.1:5432,10.0.0.1:5432", False),
        ("postgresql+psycopg:///app?host=[::2]:5432", False),
        ("postgresql+psycopg:///app?host=127.0.0.1.example.com", False),
        ("postgresql+psycopg://127.0.0.1/app?hostaddr=10.0.0.1", False),
        ("postgresql+psycopg2:///app?dsn=host%3Ddb.example.com", False),
        ("mysql+pymysql://localhost/app?host=db.example.com", False),
        ("mysql+mysqlconnector://localhost/app?option_files=my.cnf", False),
        ("mariadb+mariadbconnector://localhost/app?default_file=my.cnf", False),
        ("mssql+pyodbc:///?odbc_connect=Server%3Dlocalhost", False),
        ("mssql+pyodbc://localhost/app?driver=x&Addr=db.example.com", False),
        ("mssql+pyodbc://localhost/app?driver=x&Address=db.example.com", False),
        ("mssql+pyodbc://localhost/app?driver=x&Network=DBMSSOCN", False),
        ("mssql+pyodbc://localhost/app?driver=x&Failover_Partner=db.example.com", False),
        ("mssql+pyodbc://localhost/app?FileDSN=x", False),
    ],
)
def test_which_server_is_this_machine(url: str, is_here: bool) -> None:
    assert must_verify(sqlalchemy.make_url(url), of_url(url)) is not is_here


@pytest.mark.parametrize("addresses", ["127.0.0.1", "::1,127.0.0.1"])
def test_address_of_the_environment_that_is_this_machine(addresses: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", addresses)
    assert create_engine(of_url("postgresql+psycopg:///app"), reading=True)
