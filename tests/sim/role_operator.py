"""An operator for the world of the role loop: it moves the role about, and needs its proofs for it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cnmysql import names
from cnmysql.errors import CnmysqlError
from cnmysql.kube.client import Client
from cnmysql.kube.resources import CLUSTERS, LEASES
from cnmysql.mysql.gtid import GtidSet
from cnmysql.protocol.report import InstanceStatus
from instance.role.facts import cluster_facts
from instance.role.view import ClusterFacts
from tests.sim.role_models import CLOCK
from tests.sim.role_world import CLUSTER, NS, World
from tests.support.fake_api_transport import MemoryTransport


class Operator:
    """Moves the role about, by the record alone: it may be ended and started again between any two steps."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._client = Client(MemoryTransport(world.store))
        self.wants_to_move = False

    async def run(self) -> None:
        while True:
            await CLOCK.sleep(self._world.random.uniform(0.05, 0.5))
            with suppress(CnmysqlError):
                await self._step()

    async def _step(self) -> None:
        facts = cluster_facts(await self._client.get(CLUSTERS, NS, CLUSTER))
        if facts.order is None and not facts.current_primary:
            await self._bootstrap(facts)
        elif facts.order is None:
            await self._steady(facts)
        elif not facts.order.to:
            await self._fence(facts)
        else:
            await self._record(facts)

    async def _bootstrap(self, facts: ClusterFacts) -> None:
        report = await self._report("db-1")
        if report is not None and report.closed and report.server_uuid:
            await self._order(facts, "bootstrap", "db-1", primaryUUIDs=[report.server_uuid])

    async def _steady(self, facts: ClusterFacts) -> None:
        """Start a change when asked to, when the Pod that held the role is another one now, or when it has given its
        hold back (an opening that failed half-way does, and may have been repeated under an order that was done)."""
        pod = self._world.pods[facts.current_primary]
        replaced = facts.lease_holder not in ("", pod.me.identity)
        if self.wants_to_move or replaced or await self._gave_back(facts):
            self.wants_to_move = False
            await self._order(facts, "failover", "", source=facts.current_primary)

    async def _gave_back(self, facts: ClusterFacts) -> bool:
        report = None if self._world.holder else await self._report(facts.current_primary)
        return report is not None and report.closed and report.epoch == facts.epoch

    async def _fence(self, facts: ClusterFacts) -> None:
        """Nobody is named until the holder's own word, or its end, proves it closed."""
        if await self._clear(facts):
            return
        name = await self._candidate()
        if name is None:
            return
        uuids = sorted(facts.primary_uuids | {self._world.volumes[name].uuid})
        change = {"epoch": facts.epoch, "kind": "failover", "from": facts.current_primary, "to": name}
        await self._write(facts, roleChange=change, primaryUUIDs=uuids)

    async def _clear(self, facts: ClusterFacts) -> bool:
        """Take the hold away once it is proven that its holder is closed. False when there is none."""
        lease = await self._client.get(LEASES, NS, names.primary_lease(CLUSTER))
        holder = lease["spec"].get("holderIdentity") or ""
        if holder and await self._proof(holder, facts.epoch):
            lease["spec"]["holderIdentity"] = ""
            await self._client.replace(LEASES, NS, names.primary_lease(CLUSTER), lease)
        return bool(holder)

    async def _proof(self, holder: str, epoch: int) -> bool:
        pods = [pod for pod in self._world.everyone if pod.me.identity == holder]
        if not pods:
            return False
        newest = pods[-1]
        if all(pod.ended for pod in pods) and self._world.pods[newest.name] is not newest:
            return True  # the container has ended and its Pod is gone: the kubelet's word
        if not newest.reachable:
            return False
        report = await newest.reporter.status()
        return report.closed and report.epoch == epoch

    async def _candidate(self) -> str | None:
        """Closed, answering, with everything any member has."""
        reports = {name: await self._report(name) for name in self._world.volumes}
        received = {name: r.received for name, r in reports.items() if r is not None and r.received is not None}
        if len(received) < len(reports):
            return None
        for name, report in reports.items():
            if report is None or report.problem is not None:
                continue
            own = GtidSet.parse(report.gtid_executed or "")
            if all(own.contains(GtidSet.parse(other)) for other in received.values()):
                return name
        return None

    async def _record(self, facts: ClusterFacts) -> None:
        assert facts.order is not None
        holder = self._world.holder
        if holder not in ("", self._world.pods[facts.order.to].me.identity):
            await self._clear(facts)
            return
        report = await self._report(facts.order.to)
        if report is not None and report.open and report.epoch == facts.epoch:
            pod = self._world.pods[facts.order.to]
            if self._world.holder == pod.me.identity and facts.current_primary == pod.name:
                await self._write(facts, roleChange=None, leaseHolder=pod.me.identity)
                return
        if self._world.random.random() < 0.02 and facts.current_primary:
            await self._order(facts, "failover", "", source=facts.current_primary)

    async def _report(self, name: str) -> InstanceStatus | None:
        pod = self._world.pods[name]
        return await pod.reporter.status() if pod.reachable else None

    async def _order(self, facts: ClusterFacts, kind: str, to: str, *, source: str = "", **status: Any) -> None:
        change = {"epoch": facts.epoch + 1, "kind": kind, "from": source, "to": to}
        await self._write(facts, epoch=facts.epoch + 1, roleChange=change, **status)

    async def order_without_proof(self) -> None:
        """What a confused or stalled operator might write: a new order to anybody, nothing fenced."""
        facts = cluster_facts(await self._client.get(CLUSTERS, NS, CLUSTER))
        name = self._world.random.choice(list(self._world.volumes))
        uuids = sorted(facts.primary_uuids | {self._world.volumes[name].uuid})
        with suppress(CnmysqlError):
            await self._order(facts, "failover", name, source=facts.current_primary, primaryUUIDs=uuids)

    async def _write(self, facts: ClusterFacts, **status: Any) -> None:
        """Compare-and-swap on what was judged."""
        await self._client.merge_patch(
            CLUSTERS, NS, CLUSTER, {"status": status}, resource_version=facts.resource_version, subresource="status"
        )
