"""The operator's client certificate: read when needed, made again when it changed, never cached with its key."""

from __future__ import annotations

import asyncio
import base64
import ssl
from typing import Any

import pytest

from cnmysql import names
from cnmysql.errors import Transient, Unreachable
from cnmysql.kube.client import Client
from cnmysql.kube.resources import SECRETS
from cnmysql.pki.inspect import MAX_TRUSTED
from manager import tls
from manager.streams import Peer
from manager.tls import ControlClients
from tests.support import odd_keys
from tests.support.certs import Authority
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport

Json = dict[str, Any]
PEER = Peer("shop/db", "shop", "db-1", "u1", "127.0.0.255")
"""Nobody listens there."""


def encoded(**data: bytes) -> Json:
    return {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}


class Bench:
    def __init__(self) -> None:
        self.transport = MemoryTransport(FakeStore())
        self.api = Client(self.transport)
        self.authority = Authority()
        self.secret: Json | None = None
        self.trust: Json | None = {
            "metadata": {"resourceVersion": "1"},
            "data": {names.TRUST_SERVER_CA_KEY: self.authority.pem.decode()},
        }
        self.slow = ""
        self.answers = asyncio.Event()
        self.transport.request = self._request  # type: ignore[method-assign]
        self.clients = ControlClients(self.api, lambda _: self.secret, lambda _: self.trust)

    async def _request(self, method: str, path: str, **more: Any) -> Json:
        if self.slow and self.slow in path:
            await self.answers.wait()
        return await MemoryTransport.request(self.transport, method, path, **more)

    async def issue(self, certificate: bytes, key: bytes) -> None:
        body = {"metadata": {"name": "db-client-tls"}, "data": encoded(tls_crt=certificate, tls_key=key)}
        if self.secret is None:
            self.secret = await self.api.create(SECRETS, "shop", body)
        else:
            self.secret = await self.api.merge_patch(SECRETS, "shop", "db-client-tls", {"data": body["data"]})
        self.transport.calls.clear()

    async def dial(self, peer: Peer = PEER) -> type[Exception]:
        try:
            async with self.clients.connect(peer) as frames:
                async for _ in frames:
                    raise AssertionError("somebody answered")
        except (Transient, Unreachable) as error:
            return type(error)
        raise AssertionError("the stream ended without an error")


async def test_nothing_is_dialled_before_certificate_and_trust_are_there() -> None:
    bench = Bench()
    assert await bench.dial() is Transient
    leaf = bench.authority.issue(cn=names.OPERATOR_CN)
    await bench.issue(leaf.certificate, leaf.key)
    bench.trust = None
    assert await bench.dial() is Transient
    assert bench.transport.calls == []


@pytest.mark.parametrize("certificate", [b"", b"-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n"])
async def test_a_certificate_that_cannot_be_used_yet_is_waited_for(certificate: bytes) -> None:
    bench = Bench()
    await bench.issue(certificate, bench.authority.issue(cn="x").key)
    assert await bench.dial() is Transient


async def test_a_key_that_openssl_should_not_meet_is_not_shown_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL computes with a DSA key when it loads it, and with a huge RSA key in every handshake."""
    monkeypatch.setattr(tls, "client_context_from_pem", lambda *_: pytest.fail("loaded"))
    leaf = Authority().issue(cn=names.OPERATOR_CN)
    number = odd_keys.integer(odd_keys.number(250))
    dsa = odd_keys.private(odd_keys.DSA, odd_keys.parameters(odd_keys.DSA, 60000), number)
    for certificate, key in (
        (leaf.certificate, odd_keys.pem("PRIVATE KEY", dsa)),
        (odd_keys.rsa_certificate(16384), odd_keys.pem("RSA PRIVATE KEY", odd_keys.rsa_private(16384))),
        (leaf.certificate * 17, leaf.key),
        (leaf.certificate, Authority().issue().key),
    ):
        bench = Bench()
        await bench.issue(certificate, key)
        assert await bench.dial() is Transient


async def test_only_so_many_trusted_certificates_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes] = []

    def keep(certificate: bytes, key: bytes, ca: bytes) -> ssl.SSLContext:
        given.append(ca)
        return ssl.create_default_context()

    monkeypatch.setattr(tls, "client_context_from_pem", keep)
    bench = Bench()
    leaf = bench.authority.issue(cn=names.OPERATOR_CN)
    await bench.issue(leaf.certificate, leaf.key)
    assert bench.trust is not None
    many = "".join(f"-----BEGIN CERTIFICATE-----{n}-----END CERTIFICATE-----\n" for n in range(9999))
    bench.trust["data"][names.TRUST_SERVER_CA_KEY] = many
    assert await bench.dial() is Unreachable
    assert [ca.count(b"BEGIN") for ca in given] == [MAX_TRUSTED]
    await bench.clients.close()


async def test_the_key_is_read_once_per_version() -> None:
    bench = Bench()
    leaf = bench.authority.issue(cn=names.OPERATOR_CN)
    await bench.issue(leaf.certificate, leaf.key)
    for _ in range(2):
        assert await bench.dial() is Unreachable
    assert len(bench.transport.calls) == 1
    renewed = bench.authority.issue(cn=names.OPERATOR_CN)
    await bench.issue(renewed.certificate, renewed.key)
    assert await bench.dial() is Unreachable
    assert len(bench.transport.calls) == 1
    await bench.clients.forget("shop/db")
    assert await bench.dial() is Unreachable
    assert len(bench.transport.calls) == 2
    await bench.clients.close()


async def issued() -> Bench:
    bench = Bench()
    leaf = bench.authority.issue(cn=names.OPERATOR_CN)
    await bench.issue(leaf.certificate, leaf.key)
    return bench


async def test_a_secret_that_is_slow_to_read_holds_up_no_other_cluster() -> None:
    bench = await issued()
    bench.slow = "/slow/"
    waiting = asyncio.create_task(bench.dial(Peer("slow/db", "slow", "db-1", "u2", PEER.address)))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        assert await bench.dial() is Unreachable
    assert not waiting.done()
    waiting.cancel()
    await bench.clients.close()


async def test_a_client_made_for_a_cluster_that_was_forgotten_meanwhile_is_not_kept() -> None:
    bench = await issued()
    bench.slow = "/shop/"
    waiting = asyncio.create_task(bench.dial())
    await asyncio.sleep(0.05)
    await bench.clients.forget("shop/db")
    bench.answers.set()
    assert await waiting is Transient
    assert await bench.dial() is Unreachable
    assert len(bench.transport.calls) == 2, "the first one was not kept"
    await bench.clients.close()


async def test_one_cluster_reads_its_secret_once_however_many_dial() -> None:
    bench = await issued()
    assert await asyncio.gather(*(bench.dial() for _ in range(3))) == [Unreachable] * 3
    assert len(bench.transport.calls) == 1
    await bench.clients.close()
