"""The whole operator against an API server in memory, in virtual time; no instance ever answers."""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cnmysql import log
from cnmysql.errors import Forbidden, Transient
from cnmysql.kube import resources
from cnmysql.kube.client import Client
from cnmysql.kube.resources import Resource
from cnmysql.tasks import cancel
from manager.app import SYNC_SECONDS, NotSynced, Operator, _verdict
from manager.settings import parse
from tests.support.certs import Authority
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport
from tests.unit.manager.virtual import LoopClock, until, virtual

Json = dict[str, Any]


class Server:
    """An API server and a client of the test's own."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.transport = MemoryTransport(self.store)
        self.client = Client(MemoryTransport(self.store))

    @asynccontextmanager
    async def operator(self, name: str = "one") -> AsyncIterator[Operator]:
        settings = parse([], {"POD_NAME": name, "POD_NAMESPACE": "ops", "OPERATOR_IMAGE": "operator:1"})
        operator = Operator(settings, Client(self.transport), LoopClock())
        watching = asyncio.create_task(operator.watch())
        leading = asyncio.create_task(operator.elector.run(operator.lead))
        try:
            yield operator
        finally:
            await cancel(leading)
            await cancel(watching)

    async def create(self, name: str, **spec: Any) -> Json:
        body = {"metadata": {"name": name, "generation": 1}, "spec": {"storage": {"size": "1Gi"}, **spec}}
        return await self.client.create(resources.CLUSTERS, "shop", body)

    def find(self, resource: Resource, name: str) -> Json | None:
        prefix = resource.path("shop")
        return next((o for o in self.store.select(prefix, {}) if o["metadata"]["name"] == name), None)

    def phase(self, name: str) -> str:
        cluster = self.find(resources.CLUSTERS, name)
        assert cluster is not None
        status = cluster.get("status") or {}
        return f"{status.get('phase', '')}|{status.get('phaseReason', '')}"

    async def issue(self) -> None:
        """What cert-manager does."""
        for certificate in self.store.select(resources.CERTIFICATES.path("shop"), {}):
            made = _CA.pem if certificate["spec"].get("isCA") else _CA.issue("x", o="y").certificate
            pairs = {"tls.crt": made, "tls.key": b"key", "ca.crt": _CA.pem}
            data = {key: base64.b64encode(value).decode() for key, value in pairs.items()}
            await self.client.merge_patch(resources.SECRETS, "shop", certificate["spec"]["secretName"], {"data": data})

    def writes(self) -> list[tuple[str, str]]:
        return [
            (m, p) for m, p in self.transport.calls if m not in {"GET", "WATCH"} and "/leases/cnmysql-operator" not in p
        ]


_CA = Authority("db.ca.cnmysql")


async def built(server: Server, name: str = "db") -> None:
    """The five certificates of a single instance are asked for and issued, then its Pod comes."""
    wanted = (f"{name}-ca", f"{name}-client", f"{name}-replication", f"{name}-1-server", f"{name}-1-peer")
    await until(lambda: all(server.find(resources.CERTIFICATES, c) is not None for c in wanted), 300)
    await server.issue()
    await until(lambda: server.find(resources.PODS, f"{name}-1") is not None, 300)


@virtual
async def test_from_a_cluster_to_its_first_pod_and_then_no_write_for_an_hour() -> None:
    server = Server()
    async with server.operator():
        await server.create("db")
        await built(server)
        await asyncio.sleep(60)
        before = server.writes()
        reads = len(server.transport.calls)
        await asyncio.sleep(3600)
        assert server.writes() == before
        gets = [p for m, p in server.transport.calls[reads:] if m == "GET" and "leases/cnmysql-operator" not in p]
        assert gets == []


@virtual
async def test_cert_manager_may_come_later() -> None:
    server = Server()
    server.store.absent = {"issuers", "certificates"}
    async with server.operator():
        await server.create("db")
        await until(lambda: server.phase("db").startswith("Blocked|CertManagerMissing"))
        server.store.absent.clear()
        await built(server)


@virtual
async def test_a_malformed_cluster_is_told_so_and_disturbs_nobody() -> None:
    server = Server()
    async with server.operator():
        await server.create("bad", instances="three")
        await server.create("db")
        await built(server)
        assert server.phase("bad").startswith("Blocked|InvalidSpec: spec.instances")


@virtual
async def test_a_deleted_cluster_is_forgotten() -> None:
    server = Server()
    async with server.operator() as operator:
        await server.create("db")
        await built(server)
        await server.client.delete(resources.CLUSTERS, "shop", "db")
        await asyncio.sleep(5)
        before = server.writes()
        await asyncio.sleep(1300)
        assert server.writes() == before
        assert operator.streams.of("shop/db") == {}


@virtual
async def test_the_lead_is_given_back_and_taken_over() -> None:
    server = Server()
    async with server.operator("one"):
        await server.create("db")
        await until(lambda: server.find(resources.SECRETS, "db-root") is not None)
        first = server.find(resources.SECRETS, "db-root")
    assert await _holder(server) == ""
    async with server.operator("two"):
        await built(server)
        assert (await _holder(server)).startswith("two_")
        again = server.find(resources.SECRETS, "db-root")
        assert first is not None
        assert again is not None
        assert again["stringData"] == first["stringData"], "a password is made once"


async def _holder(server: Server) -> str:
    lease = await server.client.get(resources.LEASES, "ops", "cnmysql-operator")
    return str(lease["spec"].get("holderIdentity") or "")


@virtual
async def test_a_server_that_errs_now_and_then_is_survived() -> None:
    server, calls = Server(), itertools.count()

    def sometimes(method: str, path: str) -> None:
        if "cnmysql-operator" not in path and next(calls) % 3 == 0:
            raise Transient(f"{method} {path}: 500")

    async with server.operator():
        await until(lambda: len(server.transport.calls) > 20)
        server.transport.before = sometimes
        await server.create("db")
        await built(server)
    assert next(calls) > 60


@virtual
async def test_a_leader_that_cannot_list_something_says_what_and_makes_room() -> None:
    server = Server()
    server.store.absent = {"clusters", "issuers", "certificates"}

    def forbid(method: str, path: str) -> None:
        if method in {"GET", "WATCH"} and path == "/api/v1/pods":
            raise Forbidden("GET /api/v1/pods: 403 pods is forbidden")

    server.transport.before = forbid
    began = LoopClock().monotonic()
    said = "clusters (the API server does not know this kind), pods (GET /api/v1/pods: 403 pods is forbidden)."
    with pytest.raises(NotSynced, match=re.escape(said)):
        async with server.operator() as operator:
            await asyncio.sleep(SYNC_SECONDS + 1)
            assert not operator.synced
    assert SYNC_SECONDS < LoopClock().monotonic() - began < SYNC_SECONDS + 10
    assert await _holder(server) == ""


@virtual
async def test_what_comes_late_is_waited_for() -> None:
    server = Server()
    server.store.absent = {"clusters"}
    async with server.operator() as operator:
        await asyncio.sleep(SYNC_SECONDS / 2)
        assert not operator.synced
        server.store.absent.clear()
        await server.create("db")
        await built(server)


def test_the_process_ends_with_an_error_when_it_cannot_lead() -> None:
    async def lead() -> None:
        raise NotSynced("pods")

    async def ended() -> int:
        task = asyncio.create_task(lead())
        await asyncio.wait({task})
        return _verdict(log.get("test"), (task,))

    assert asyncio.run(ended()) == 1
