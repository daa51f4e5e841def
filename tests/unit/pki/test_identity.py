from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from cnmysql.pki.contexts import (
    RotatingServerContext,
    TlsFiles,
    client_context,
    client_context_from_pem,
)
from cnmysql.pki.identity import Identity, identify, one_line, subject_and_issuer
from cnmysql.protocol.endpoints import Caller
from tests.support.certs import Authority, Leaf

HOST = "db-1.prod.svc"


@pytest.fixture
def ca() -> Authority:
    return Authority("ca-one")


def files(tmp_path: Path, leaf: Leaf, ca: bytes, name: str = "server") -> TlsFiles:
    leaf.write(tmp_path / name)
    bundle = tmp_path / f"{name}-ca.crt"
    bundle.write_bytes(ca)
    return TlsFiles.of(str(tmp_path / name), str(bundle))


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str | None = HOST) -> dict[str, Any]:
    """What the server learns about the client, over a real socket pair. Raises what either side raises."""
    left, right = socket.socketpair()
    left.settimeout(5)
    right.settimeout(5)
    outcome: dict[str, Any] = {}

    def serve() -> None:
        try:
            with server.wrap_socket(left, server_side=True) as connection:
                outcome["peer"] = connection.getpeercert()
                connection.sendall(b"x")
        except (ssl.SSLError, OSError) as error:
            outcome["error"] = error
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname=host) as connection:
            outcome["server"] = connection.getpeercert()
            outcome["data"] = connection.recv(1)
    finally:
        thread.join(10)
        right.close()
        left.close()
    return outcome


def peer_subject(**subject: str) -> dict[str, Any]:
    return {"subject": tuple(((key, value),) for key, value in subject.items())}


def test_operator_and_peer_are_told_apart(ca: Authority, tmp_path: Path) -> None:
    server = RotatingServerContext(files(tmp_path, ca.issue(dns=(HOST,)), ca.pem)).front
    operator = ca.issue("cnmysql-operator")
    peer = ca.issue(o="cnmysql-peer", dns=("db-2.prod.svc",))
    seen = [
        identify(
            handshake(server, client_context_from_pem(leaf.certificate, leaf.key, ca.pem))["peer"],
            cluster="db",
            namespace="prod",
        )
        for leaf in (operator, peer)
    ]
    assert seen == [Identity(Caller.OPERATOR), Identity(Caller.PEER, "db-2")]


@pytest.mark.parametrize(
    "certificate",
    [
        {},
        peer_subject(commonName="someone"),
        peer_subject(commonName="cnmysql-operator", organizationName="x"),
        {**peer_subject(organizationName="cnmysql-peer")},
        {**peer_subject(organizationName="cnmysql-peer"), "subjectAltName": (("DNS", "db-1-1.prod.svc"),)},
        {**peer_subject(organizationName="cnmysql-peer"), "subjectAltName": (("DNS", "db-1.other.svc"),)},
        {**peer_subject(organizationName="cnmysql-peer"), "subjectAltName": (("DNS", "db-1.prod.svc"), ("DNS", "x"))},
        {**peer_subject(organizationName="prod", commonName="db-replication")},
        {**peer_subject(organizationName="cnmysql-peer"), "subjectAltName": (("URI", "db-1.prod.svc"),)},
    ],
)
def test_anybody_else_is_nobody(certificate: dict[str, Any]) -> None:
    assert identify(certificate, cluster="db", namespace="prod") is None


def test_subject_and_issuer_in_one_line_form(ca: Authority) -> None:
    leaf = ca.issue("db-replication", o="prod")
    assert subject_and_issuer(leaf.certificate) == ("/O=prod/CN=db-replication", "/CN=ca-one")


def test_a_name_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="no short name"):
        one_line(x509.Name([x509.NameAttribute(NameOID.PSEUDONYM, "x")]))
    with pytest.raises(ValueError, match="cannot express"):
        one_line(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zürich")]))


def test_a_client_without_certificate_or_of_another_ca_is_refused(ca: Authority, tmp_path: Path) -> None:
    server = RotatingServerContext(files(tmp_path, ca.issue(dns=(HOST,)), ca.pem)).front
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(cadata=ca.pem.decode())
    stranger = Authority("ca-one").issue("cnmysql-operator")
    for context in (bare, client_context_from_pem(stranger.certificate, stranger.key, ca.pem)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(server, context)


def test_a_client_refuses_another_host_and_old_protocols(ca: Authority, tmp_path: Path) -> None:
    server = RotatingServerContext(files(tmp_path, ca.issue(dns=(HOST,)), ca.pem)).front
    client = client_context(files(tmp_path, ca.issue("cnmysql-operator"), ca.pem, "client"))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, client, "db-2.prod.svc")
    old = client_context(files(tmp_path, ca.issue("cnmysql-operator"), ca.pem, "client"))
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(server, old)


def test_rotated_certificate_and_client_ca_are_used_by_the_next_handshake(ca: Authority, tmp_path: Path) -> None:
    served = files(tmp_path, ca.issue(dns=(HOST,)), ca.pem)
    rotating = RotatingServerContext(served)
    old = ca.issue("cnmysql-operator")
    before = handshake(rotating.front, client_context_from_pem(old.certificate, old.key, ca.pem))
    assert rotating.refresh() is False

    other = Authority("ca-two")
    other.issue(dns=(HOST,)).write(tmp_path / "server")
    served.ca.write_bytes(other.pem)
    assert rotating.refresh() is True
    new = other.issue("cnmysql-operator")
    after = handshake(rotating.front, client_context_from_pem(new.certificate, new.key, other.pem))
    assert before["server"]["issuer"] != after["server"]["issuer"]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(rotating.front, client_context_from_pem(old.certificate, old.key, other.pem))


def test_broken_files_leave_the_last_good_context(ca: Authority, tmp_path: Path) -> None:
    served = files(tmp_path, ca.issue(dns=(HOST,)), ca.pem)
    rotating = RotatingServerContext(served)
    served.key.write_bytes(ca.issue().key)
    with pytest.raises(ssl.SSLError):
        rotating.refresh()
    client = ca.issue("cnmysql-operator")
    assert handshake(rotating.front, client_context_from_pem(client.certificate, client.key, ca.pem))["data"] == b"x"


def test_a_client_that_names_no_server_is_refused(ca: Authority, tmp_path: Path) -> None:
    server = RotatingServerContext(files(tmp_path, ca.issue(dns=(HOST,)), ca.pem)).front
    leaf = ca.issue("cnmysql-operator")
    client = client_context_from_pem(leaf.certificate, leaf.key, ca.pem)
    client.check_hostname = False
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(server, client, None)
