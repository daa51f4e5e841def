"""How long mysqld takes to use another certificate, beside a statement that does nothing, in turns on one session."""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.certs import Authority
from tests.support.mysqld import MYSQL_UID, Mysqld, MysqldFactory, Tls

ROUNDS = 20


@dataclass
class Took:
    """Milliseconds, one of each in every round."""

    nothing: list[float] = field(default_factory=list)
    """`DO 0`."""
    reload: list[float] = field(default_factory=list)
    """`ALTER INSTANCE RELOAD TLS`."""
    handshake: list[float] = field(default_factory=list)
    """The first login after it, which must be shown the new certificate."""


def _issue(authority: Authority, directory: Path) -> bytes:
    """DER of a new server certificate that is now on disk."""
    leaf = authority.issue("db-1", dns=("localhost",))
    for file in leaf.write(directory).iterdir():
        os.chown(file, MYSQL_UID, MYSQL_UID)
    return x509.load_pem_x509_certificate(leaf.certificate).public_bytes(Encoding.DER)


def _shown(server: Mysqld, context: ssl.SSLContext) -> bytes | None:
    connection = server.connect(host="localhost", user="tls", password="t", ssl=context)
    try:
        certificate: bytes | None = connection._sock.getpeercert(binary_form=True)
        return certificate
    finally:
        connection.close()


def measure() -> Took:
    """Raises AssertionError when a login after a reload is shown a certificate of before."""
    took = Took()
    factory = MysqldFactory()
    try:
        authority, directory = Authority("servers"), factory.directory("tls")
        ca = directory / "ca.crt"
        ca.write_bytes(authority.pem)
        _issue(authority, directory)
        server = factory.create(tls=Tls(ca, directory / "tls.crt", directory / "tls.key"))
        server.query("CREATE USER tls@'127.0.0.1' IDENTIFIED BY 't'")
        context = ssl.create_default_context(cafile=str(ca))
        session = server.connect()
        with session.cursor() as cursor:
            for _ in range(ROUNDS):
                expected = _issue(authority, directory)
                began = time.perf_counter()
                cursor.execute("DO 0")
                idle = time.perf_counter()
                cursor.execute("ALTER INSTANCE RELOAD TLS")
                reloaded = time.perf_counter()
                assert _shown(server, context) == expected, "a login was shown the former certificate"
                shown = time.perf_counter()
                took.nothing.append((idle - began) * 1000)
                took.reload.append((reloaded - idle) * 1000)
                took.handshake.append((shown - reloaded) * 1000)
        session.close()
    finally:
        factory.close()
    return took
