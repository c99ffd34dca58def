"""TLS: what a server on another machine must show before it is told anything."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy
import trustme
from proxy import Proxy

import archimport
from archimport.sql.address import of_url
from archimport.sql.engine import create_engine
from archimport.sql.source import address_of

from .conftest import OTHER_DRIVERS, by_driver

SYNCHRONOUS = {"postgresql": "psycopg", "mysql": "pymysql"}
pytestmark = pytest.mark.usefixtures("configuration")
CANARY = "c4n4ry-s3cret"
#: Of this machine, but no address that is taken for it.
HOST = "127.0.0.2"
#: What a PostgreSQL client begins with to ask for TLS, and a greeting of MySQL's that offers it.
ASKS_FOR_TLS = struct.pack(">II", 8, 80877103)
_GREETING = (
    b"\x0a8.0.99\0"
    + struct.pack("<I", 1)
    + b"saltsalt\0"
    + struct.pack("<HBHH", 0xAA00 | 0x200, 45, 2, 0x8)
    + bytes([21])
    + bytes(10)
    + b"saltsaltsalt\0mysql_native_password\0"
)
GREETING = struct.pack("<I", len(_GREETING)) + _GREETING


class TlsServer:
    """Speaks a database's protocol as far as TLS, and hears what the client says then."""

    def __init__(self, kind: str, certificate: trustme.LeafCert) -> None:
        self.heard = b""
        self._kind = kind
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._context)
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> TlsServer:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(60)
                with client, suppress(OSError):
                    self._greet(client)
                    with self._context.wrap_socket(client, server_side=True) as secure:
                        self.heard += secure.recv(4096)

    def _greet(self, client: socket.socket) -> None:
        if self._kind == "postgresql":
            assert client.recv(8) == ASKS_FOR_TLS
            client.sendall(b"S")
        else:
            client.sendall(GREETING)
            client.recv(36)


LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
#: What the certificate says, and whether it is to be believed.
CERTIFICATES = {
    "right": (lambda ours, _: ours.issue_cert(HOST), True),
    "of nobody that is known": (lambda _, other: other.issue_cert(HOST), False),
    "expired": (
        lambda ours, _: ours.issue_cert(HOST, not_before=LONG_AGO, not_after=LONG_AGO.replace(year=2002)),
        False,
    ),
    "of another host": (lambda ours, _: ours.issue_cert("127.0.0.3", "db.example.com"), False),
}


DRIVERS = [(kind, driver) for kind, name in SYNCHRONOUS.items() for driver in (name, *OTHER_DRIVERS[kind])]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # drivers leave refused sockets open
@pytest.mark.parametrize(("kind", "driver"), DRIVERS)
@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_certificates(kind: str, driver: str, certificate: str, tmp_path: Path) -> None:
    ours, other = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    issue, is_believed = CERTIFICATES[certificate]
    with TlsServer(kind, issue(ours, other)) as server:
        key = {"postgresql": "sslrootcert", "mysql": "ssl_ca"}[kind]
        plain = f"{kind}://somebody@{HOST}:{server.port}/db?{key}={tmp_path / 'ca.pem'}"
        url = by_driver(plain, driver)
        archimport.sql.configure("far", url, password=lambda: CANARY)
        with pytest.raises(archimport.StoreUnavailable, match="cannot use the database") as caught:
            archimport.mount("sql:far")
    assert (b"somebody" in server.heard) is is_believed
    assert CANARY not in str(caught.value)
    if not is_believed:
        assert "certificate" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://db.example.com/app",
        "postgresql+psycopg:///app?host=db.example.com",
        "postgresql+psycopg:///app?host=127.0.0.1,db.example.com",
        "postgresql+psycopg://localhost/app?hostaddr=192.0.2.1",
        "postgresql+psycopg:///app?conninfo=host%3D192.0.2.1",
        "postgresql+psycopg:///app?service=prod",
        "mysql+pymysql://db.example.com/app",
        "mysql+pymysql:///app?read_default_file=my.cnf",
        "mssql+pyodbc://db.example.com/app",
    ],
)
def test_remote_servers_must_show_who_they_are(url: str) -> None:
    weak = {"postgresql+psycopg": "sslmode=require", "mysql+pymysql": "ssl_check_hostname=false", "mssql+pyodbc": ""}
    query = weak[url.partition(":")[0]]
    with pytest.raises(archimport.ConfigError, match=r"verified TLS|not installed"):
        create_engine(of_url(f"{url}{'&' if '?' in url else '?'}{query}"), reading=True)


@pytest.mark.parametrize("variable", ["PGHOST", "PGHOSTADDR", "PGSERVICE"])
def test_environment_that_leads_elsewhere(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "db.example.com")
    with pytest.raises(archimport.ConfigError, match="verified TLS"):
        create_engine(of_url("postgresql+psycopg:///app?sslmode=prefer"), reading=True)


@pytest.mark.parametrize(("kind", "driver"), DRIVERS)
def test_server_without_tls_gets_no_password(kind: str, driver: str, channel_on) -> None:
    """An address of this machine that is no loopback stands for a remote one; what answers there speaks no TLS."""
    channel = channel_on(kind)
    with Proxy(channel.source) as proxy, Relay(proxy.port) as relay:
        near = sqlalchemy.make_url(proxy.url)
        far = near.set(host=relay.host, port=relay.port, username="somebody").render_as_string(hide_password=False)
        archimport.sql.configure("far", by_driver(far, driver), password=lambda: CANARY)
        with pytest.raises(archimport.ArchimportError):
            archimport.mount("sql:far")
        assert CANARY.encode() not in relay.heard
        assert b"somebody" not in relay.heard


class Relay:
    """Listens where it is not taken for this machine, and hears what a client says before any TLS."""

    def __init__(self, port: int) -> None:
        self.heard = b""
        self._target = port
        self.host = socket.gethostname()
        self._listener = socket.create_server(("", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        try:
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
        except OSError:
            return

    def _pump(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        try:
            while data := source.recv(65536):
                if is_client:
                    self.heard += data
                target.sendall(data)
        except OSError:
            pass
        source.close()
        target.close()


def test_the_host_may_allow_it(configuration: Path) -> None:
    configuration.write_text("[sql.lab]\nurl = 'mysql+pymysql://db.example.com/app'\nallow_insecure = true\n")
    assert create_engine(address_of("sql:lab"), reading=True)
    with pytest.raises(archimport.ConfigError):
        archimport.mount("mysql+pymysql://db.example.com/app?allow_insecure=true")
