"""Requests to a running instance's control API by anybody, written by hand and sent over a TLS socket."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnmysql import names
from tests.support.certs import Leaf
from tests.support.cluster import Cluster


def shown(cluster: Cluster, i: str) -> bytes:
    """The certificate (DER) that an instance's control API shows.

    It is asked as the operator: who comes without a certificate time and again is soon not answered any more.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _present(context, leaf_of(cluster, names.secret_client_tls(cluster.name)))
    with _connected(cluster, i, context, 10) as connection:
        return connection.getpeercert(binary_form=True) or b""


@dataclass(frozen=True)
class Answer:
    code: int
    body: bytes

    @property
    def error(self) -> str:
        """What a refusal says; every refusal is short JSON."""
        said: dict[str, Any] = json.loads(self.body)
        assert list(said) == ["error"] and len(self.body) < 300, self.body
        return str(said["error"])


class HandshakeFailed(Exception):
    """The server did not take the certificate: no request was answered."""


def leaf_of(cluster: Cluster, secret: str) -> Leaf:
    """Certificate and key of a TLS Secret."""
    data = cluster.kube.get("Secret", cluster.ns, secret)["data"]
    return Leaf(base64.b64decode(data["tls.crt"]), base64.b64decode(data["tls.key"]))


def _present(context: ssl.SSLContext, leaf: Leaf) -> None:
    with tempfile.TemporaryDirectory() as home:
        leaf.write(Path(home))
        context.load_cert_chain(Path(home, "tls.crt"), Path(home, "tls.key"))


@contextmanager
def _connected(cluster: Cluster, i: str, context: ssl.SSLContext, timeout: float) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((cluster.address(i), names.PORT_CONTROL), timeout=timeout) as plain,
        context.wrap_socket(plain, server_hostname=names.instance_host(i, cluster.ns)) as connection,
    ):
        yield connection


def ask(cluster: Cluster, i: str, request: bytes, leaf: Leaf | None, *, timeout: float = 10) -> Answer:
    """One request to an instance, with this client certificate. Raises HandshakeFailed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust = cluster.kube.get("ConfigMap", cluster.ns, names.trust_config_map(cluster.name))["data"]
    context.load_verify_locations(cadata=trust[names.TRUST_SERVER_CA_KEY])
    if leaf is not None:
        _present(context, leaf)
    with _connected(cluster, i, context, timeout) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while chunk := connection.recv(65536):
                answer += chunk
                if b"\r\n\r\n" in answer and b"x-ndjson" in answer:
                    break  # a stream has no end
        except (ssl.SSLError, ConnectionError) as error:
            if not answer:
                raise HandshakeFailed(str(error)) from error
    if not answer:
        raise HandshakeFailed("closed without an answer")
    head, _, body = answer.partition(b"\r\n\r\n")
    return Answer(int(head.split(b" ")[1]), body)
