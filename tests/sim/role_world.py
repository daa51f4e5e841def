"""A world for the role loop in virtual time: real loops, Lease keepers, plans and reports over modelled servers.

Modelled are mysqld (open, closed, dead, what it has executed), the volume, the watchdog, the API server, and an
operator that moves the role about with the proofs it needs. Faults come from the test. The invariants are checked
at every change of a server's state, not only now and then.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any, cast

from cnmysql import names
from cnmysql.errors import CnmysqlError
from cnmysql.kube.client import Client
from cnmysql.kube.resources import CLUSTERS, LEASES
from cnmysql.kube.wire import Json
from cnmysql.tasks import cancel
from instance.lease import Keeper
from instance.reporter import Reporter
from instance.role import timing
from instance.role.apply import Edges
from instance.role.facts import cluster_facts, peer_facts
from instance.role.loop import RoleLoop
from instance.role.observe import Sources
from instance.role.view import ClusterFacts, Me, PeerFacts, Unknown
from tests.sim.role_models import CLOCK, Edge, Epochs, Guard, Inline, Server, Volume, Watch
from tests.support.accounts import NoAccounts
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport

CLUSTER, NS = "db", "ns"


class Pod:
    """One container with manager, watchdog and mysqld, on the volume of its instance."""

    def __init__(self, world: World, volume: Volume, uid: str) -> None:
        self.world = world
        self.volume = volume
        self.name = volume.name
        self.uid = uid
        self.transport = MemoryTransport(world.store)
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.deaf = False
        """Nobody gets an answer from it."""
        self.ended = False
        self.me = Me(CLUSTER, NS, self.name, uid)
        self.server = Server(self)
        self.guard = Guard(self)
        self._build()
        self.tasks: set[asyncio.Task[Any]] = set()
        self._seen: Json | None = None

    def _build(self) -> None:
        client = Client(cast(Any, _Gated(self)))
        watch = Watch(self)
        edge = cast(Any, Edge(self.server))

        def edges(loop: RoleLoop) -> Edges:
            keeper = Keeper(
                client,
                self.me,
                CLOCK,
                self.guard,
                loop_alive=loop.alive,
                on_change=loop.wake,
                dump_threads=loop.dump_threads,
            )
            epochs = cast(Any, Epochs(self.volume))
            return Edges(
                self.me, client, CLOCK, edge, keeper, epochs, self, NoAccounts(),
                answered=loop.answered, alive=loop.beat,
            )  # fmt: skip

        self.loop = RoleLoop(edges, Sources(self.server, cast(Any, watch), CLOCK, self._cluster, self.guard.alive))
        watch.on_change = self.loop.wake
        self.reporter = Reporter(self.loop, self.server, edge, cast(Any, watch), CLOCK)
        self.loop.on_pass = self.reporter.changed

    def _cluster(self) -> Json | None:
        """The informer's copy: it stops moving while the API server cannot be reached."""
        if not self.transport.hang:
            found = self.world.store.select(CLUSTERS.path(NS), {})
            self._seen = found[0] if found else None
        return self._seen

    async def gate(self) -> None:
        await self.thawed.wait()
        await asyncio.sleep(self.world.random.choice((0.0, 0.001, 0.01, 0.05)))
        await self.thawed.wait()

    async def ask(self, instance: str, *, timeout: float) -> PeerFacts | Unknown:
        await self.gate()
        other = self.world.pods.get(instance)
        if other is None or not other.reachable or other.server is self.server:
            return Unknown("unreachable")
        report = await other.reporter.status()
        return peer_facts(report)

    @property
    def reachable(self) -> bool:
        return not self.deaf and not self.ended and self.thawed.is_set()

    # Life.

    def start(self) -> None:
        self.tasks.add(asyncio.create_task(self._live()))

    async def _live(self) -> None:
        """Record that we want the volume, wait for it, run until the loop ends; then the container is over."""
        self.volume.recorded = self.uid
        while self.volume.holder is not None:
            await CLOCK.sleep(0.25)
        self.volume.holder = self
        self.server.boot()
        guard = asyncio.create_task(self.guard.run())
        try:
            await self.loop.run()
        except CnmysqlError:
            self.server.die()
        finally:
            self.server.die()
            self.ended = True
            guard.cancel()
            if self.volume.holder is self:
                self.volume.holder = None

    async def end(self) -> None:
        """The container dies as a whole."""
        self.server.die()
        self.ended = True
        for task in list(self.tasks):
            with suppress(CnmysqlError):
                await cancel(task)
        if self.volume.holder is self:
            self.volume.holder = None

    def restart_mysqld(self) -> None:
        async def later() -> None:
            await CLOCK.sleep(self.world.random.uniform(0.2, 3.0))
            await self.thawed.wait()
            if not self.ended and not self.server.alive:
                self.server.boot()

        task = asyncio.create_task(later())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class _Gated:
    """A Pod's transport: stands still while the manager is frozen."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    async def request(self, *args: Any, **kwargs: Any) -> Json:
        await self._pod.gate()
        answer = await self._pod.transport.request(*args, **kwargs)
        await self._pod.thawed.wait()
        return answer


class World:
    """Everything, and what must never happen in it."""

    def __init__(self, seed: int, instances: int = 2) -> None:
        self.random = random.Random(seed)
        self.store = FakeStore()
        self.client = Client(MemoryTransport(self.store))
        uuid = "{0}{0}{0}{0}{0}{0}{0}{0}-{0}{0}{0}{0}-{0}{0}{0}{0}-{0}{0}{0}{0}-{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}"
        self.volumes = {f"db-{n}": Volume(f"db-{n}", uuid.format(n)) for n in range(1, instances + 1)}
        self.pods: dict[str, Pod] = {}
        self.everyone: list[Pod] = []
        self.kills = 0
        self.openings = 0
        self.tampered = False
        """Somebody writes the Lease who should not: open without the hold is then allowed for `limit` seconds."""
        self.limit = timing.WRITE_UNTIL + 0.2
        self.without_hold: dict[str, float] = {}
        self._numbers = 0
        self.kubelet = {name: asyncio.Lock() for name in self.volumes}
        """Starts and ends the containers of one Pod one after the other."""

    async def found(self) -> None:
        asyncio.get_running_loop().set_default_executor(Inline())
        status = {"epoch": 0, "instanceNames": list(self.volumes)}
        await self.client.create(CLUSTERS, NS, {"metadata": {"name": CLUSTER}, "status": status})
        lease = {"metadata": {"name": names.primary_lease(CLUSTER)}, "spec": {"holderIdentity": ""}}
        await self.client.create(LEASES, NS, lease)
        for name in self.volumes:
            self.launch(name)

    def launch(self, name: str, uid: str = "") -> Pod:
        self._numbers += 1
        pod = Pod(self, self.volumes[name], uid or f"uid-{self._numbers}")
        self.pods[name] = pod
        self.everyone.append(pod)
        pod.start()
        return pod

    async def close(self) -> None:
        for pod in self.everyone:
            await pod.end()

    # What must hold.

    @property
    def holder(self) -> str:
        return str(self._stored("leases")["spec"].get("holderIdentity") or "")

    def _stored(self, plural: str) -> Json:
        """The only object of its kind, not to be changed."""
        return next(obj for target, obj in self.store.objects.items() if target.plural == plural)

    @property
    def cluster(self) -> ClusterFacts:
        return cluster_facts(self._stored("clusters"))

    def open(self) -> list[Pod]:
        return [pod for pod in self.everyone if pod.server.open]

    def check(self, what: str) -> None:
        """Never two open; open only under the own hold and with the own name in the record."""
        found = self.open()
        self.openings += len(found) and "opened" in what
        assert len(found) <= 1, f"{what}: {[pod.me.identity for pod in found]} are open at once"
        self._bounded(found)
        if found and not self.tampered:
            assert self.holder == found[0].me.identity, f"{what}: the Lease is held by {self.holder!r}"
        if found and "opened" in what:
            assert self.cluster.current_primary == found[0].name, what

    def _bounded(self, found: list[Pod]) -> None:
        """A server that is open without the hold is closed or dead within the watchdog's time."""
        now = CLOCK.boottime()
        strangers = [pod.me.identity for pod in found if pod.me.identity != self.holder]
        self.without_hold = {name: self.without_hold.get(name, now) for name in strangers}
        for name, since in self.without_hold.items():
            assert now - since < self.limit, f"{name} is open without the Lease for {now - since:.1f} s"

    async def watch(self) -> None:
        while True:
            await CLOCK.sleep(0.02)
            self.check("looking")

    # Clients and replication.

    async def traffic(self) -> None:
        """Writes on whoever is open; replicas that receive get what their source has."""
        while True:
            await CLOCK.sleep(0.1)
            for pod in self.open():
                pod.volume.executed += 1
            for pod in self.everyone:
                if pod.server.alive and pod.server.receiving and pod.server.applying:
                    self._copy(pod)

    def _copy(self, pod: Pod) -> None:
        source = next((v for v in self.volumes.values() if pod.me.host(v.name) == pod.volume.source), None)
        if source is None or source.holder is None or not source.holder.server.alive:
            return
        for uuid, n in {**source.foreign, source.uuid: source.executed}.items():
            if uuid != pod.volume.uuid:
                pod.volume.foreign[uuid] = max(pod.volume.foreign.get(uuid, 0), n)
