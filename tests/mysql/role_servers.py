"""Instances without Pods: a real mysqld each, the real role loop, Lease keeper and report, one API server in memory.

Each instance lives on its own loopback address (127.0.0.<ordinal>), all on one port, so that hosts tell them apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

from cnmysql import names
from cnmysql.clock import SystemClock
from cnmysql.errors import CnmysqlError
from cnmysql.kube.client import Client
from cnmysql.kube.resources import CLUSTERS, LEASES
from cnmysql.mysql.statements import Source
from cnmysql.protocol.report import InstanceStatus, MysqldReport, Problem
from instance.lease import Keeper
from instance.mysqld import BOOT_CLOSED
from instance.reporter import Reporter
from instance.role.apply import Accounts, Edges
from instance.role.epoch import EpochFile, record_pod
from instance.role.facts import peer_facts
from instance.role.loop import RoleLoop
from instance.role.observe import Sources
from instance.role.view import Me, PeerFacts, Unknown
from instance.server import LocalServer, Logins
from instance.volume import VolumeWatch
from tests.mysql.servers import OPTIONS, Login, World, control, make_accounts
from tests.support.accounts import NoAccounts
from tests.support.fake_api_store import FakeStore
from tests.support.fake_api_transport import MemoryTransport
from tests.support.mysqld import Mysqld, Tls
from tests.support.ports import free_port

CLUSTER, NAMESPACE = "db", "ns"
CLOCK = SystemClock()


class Supervised:
    """What the role half needs of a supervisor, over a test's own mysqld: started again, closed, when it was killed."""

    def __init__(self, server: Mysqld) -> None:
        self.server = server
        self.generation = 0
        self.undead = False
        self.problem: Problem | None = None
        self.restarts = True
        self.kills = 0
        self.on_change: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        return self.server.running

    @property
    def report(self) -> MysqldReport:
        return MysqldReport(state="running" if self.running else "exited", since="2026-01-01T00:00:00Z")

    def mark_running(self, generation: int) -> None:
        """Nobody waits for it here."""

    async def start(self) -> None:
        self.generation += 1
        await asyncio.to_thread(self.server.start, *BOOT_CLOSED)
        self.on_change()

    async def kill(self) -> None:
        self.kills += 1
        await self.crash()

    async def crash(self) -> None:
        """SIGKILL from outside."""
        await asyncio.to_thread(self.server.kill)
        self.on_change()
        if self.restarts:
            task = asyncio.create_task(self.start())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True)
class Address(Me):
    """Hosts of instances are loopback addresses here."""

    def host(self, instance: str) -> str:
        return f"127.0.0.{instance.rpartition('-')[2]}"


@dataclass
class Permission:
    """Stands for the watchdog: keeps what it was told."""

    until: float = 0.0
    living: bool = True

    def permit_until(self, boottime: float) -> None:
        self.until = boottime

    def forbid(self) -> None:
        self.until = 0.0

    def alive(self) -> bool:
        return self.living


class Member:
    """One instance: `serve` runs its role loop until the test ends."""

    def __init__(self, city: City, name: str, process: Supervised, pod_uid: str) -> None:
        self.city = city
        self.name = name
        self.pod_uid = pod_uid
        self.process = process
        server = process.server
        self.guard = Permission()
        self.transport = MemoryTransport(city.store)
        client = Client(self.transport)
        me = Address(CLUSTER, NAMESPACE, self.name, pod_uid)
        self.server = LocalServer(self.process, CLOCK, city.login(server), city.source)
        self.accounts: Accounts = NoAccounts()
        self.volume = VolumeWatch(server.home, pod_uid, CLOCK)

        def edges(loop: RoleLoop) -> Edges:
            self.accounts = city.accounts(self, loop)
            keeper = Keeper(
                client,
                me,
                CLOCK,
                self.guard,
                loop_alive=loop.alive,
                on_change=loop.wake,
                dump_threads=loop.dump_threads,
            )
            epochs = EpochFile(server.home / names.FILE_EPOCH, "cluster-uid")
            return Edges(
                me, client, CLOCK, self.server, keeper, epochs, city, self.accounts,
                answered=loop.answered, alive=loop.beat,
            )  # fmt: skip

        self.loop = RoleLoop(edges, Sources(self.process, self.volume, CLOCK, city.cluster, self.guard.alive))
        self.reporter = Reporter(self.loop, self.process, self.server, self.volume, CLOCK)
        self.loop.on_pass = self.reporter.changed
        self.process.on_change = self.loop.wake
        self.running: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        record_pod(self.process.server.home, self.pod_uid)
        self.running = asyncio.create_task(self.loop.run())
        return self.running

    async def end(self) -> None:
        """The manager dies; mysqld is somebody else's business."""
        if self.running is not None:
            self.running.cancel()
            with suppress(asyncio.CancelledError, CnmysqlError):
                await self.running
        await self.server.disconnect()

    def query(self, text: str) -> list[tuple[Any, ...]]:
        return self.process.server.query(text)

    async def reaches(self, condition: Callable[[InstanceStatus], bool], timeout: float = 20.0) -> InstanceStatus:
        """The first report that meets the condition. Raises AssertionError with the last one after `timeout`."""
        deadline = time.monotonic() + timeout
        while True:
            report = self.reporter.current()
            if condition(report):
                return report
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} stays at {report.to_json().decode()}")
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait for a condition. Raises AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.02)


class City:
    """The Cluster object, its Lease, and the members; also everybody's way to ask a peer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = FakeStore()
        self.transport = MemoryTransport(self.store)
        self.client = Client(self.transport)
        self.port = free_port()
        self.members: dict[str, Member] = {}
        self.deaf: set[str] = set()
        """Members that answer no peer."""
        self.exits = AsyncExitStack()

    async def found(self, instances: int = 1) -> None:
        """The objects as the operator makes them before the first order."""
        status = {"epoch": 0, "instanceNames": [f"{CLUSTER}-{n}" for n in range(1, instances + 1)]}
        body = {"metadata": {"name": CLUSTER}, "spec": {"instances": instances}, "status": status}
        await self.client.create(CLUSTERS, NAMESPACE, body)
        lease = {"metadata": {"name": names.primary_lease(CLUSTER)}, "spec": {"holderIdentity": ""}}
        await self.client.create(LEASES, NAMESPACE, lease)

    async def member(self, ordinal: int, *options: str, pod_uid: str = "") -> Member:
        """A provisioned instance, booted closed, its role loop running."""
        name = f"{CLUSTER}-{ordinal}"
        address = f"127.0.0.{ordinal}"
        leaf = self.world.write(self.world.server_leaf(name, address), f"{name}-{self.port}")
        server = self.world.factory.create(
            name,
            options=(
                *OPTIONS,
                f"--bind-address={address}",
                f"--admin-port={free_port()}",
                f"--port={self.port}",
                f"--server-id={ordinal}",
                *options,
            ),
            tls=Tls(self.world.ca_file, leaf / "tls.crt", leaf / "tls.key"),
        )
        await make_accounts(server, self.world.bootstrap())
        await asyncio.to_thread(server.stop)
        process = Supervised(server)
        await process.start()
        return self._join(Member(self, name, process, pod_uid or f"uid-{ordinal}"))

    async def pair(self) -> tuple[Member, Member]:
        """A primary and a replica that follows it."""
        await self.found(2)
        first, second = await self.member(1), await self.member(2)
        await self.bootstrap(first)
        await second.reaches(lambda r: r.is_ready)
        return first, second

    def again(self, member: Member, *, pod_uid: str = "") -> Member:
        """A new manager over the same data directory, in the same Pod or in another one."""
        return self._join(Member(self, member.name, member.process, pod_uid or member.pod_uid))

    def _join(self, member: Member) -> Member:
        self.members[member.name] = member
        self.exits.push_async_callback(member.end)
        member.begin()
        return member

    async def hand_lease_to(self, holder: str) -> None:
        await self.client.merge_patch(
            LEASES, NAMESPACE, names.primary_lease(CLUSTER), {"spec": {"holderIdentity": holder}}
        )

    def login(self, server: Mysqld) -> Logins:
        """How a member logs in to its server."""
        return Login(control(server))

    def accounts(self, member: Member, loop: RoleLoop) -> Accounts:
        """Who keeps the accounts of a member's server: nobody."""
        return NoAccounts()

    def source(self, host: str) -> Source:
        files = self.world.directory / "replication"
        return Source(
            host, self.port, ca=str(self.world.ca_file), cert=str(files / "tls.crt"), key=str(files / "tls.key")
        )

    async def ask(self, instance: str, *, timeout: float) -> PeerFacts | Unknown:
        """A question by way of the wire format."""
        if instance in self.deaf or instance not in self.members:
            return Unknown("unreachable")
        report = await self.members[instance].reporter.status()
        return peer_facts(InstanceStatus.model_validate_json(report.to_json()))

    def cluster(self) -> dict[str, Any] | None:
        found = self.store.select(CLUSTERS.path(NAMESPACE), {})
        return found[0] if found else None

    @property
    def status(self) -> dict[str, Any]:
        cluster = self.cluster()
        assert cluster is not None
        status: dict[str, Any] = cluster["status"]
        return status

    @property
    def holder(self) -> str:
        lease = self.store.select(LEASES.path(NAMESPACE), {})[0]
        return str(lease["spec"]["holderIdentity"])

    async def write_status(self, **changes: Any) -> None:
        """What the operator writes; every loop comes round."""
        await self.client.merge_patch(CLUSTERS, NAMESPACE, CLUSTER, {"status": changes}, subresource="status")
        for member in self.members.values():
            member.loop.wake()

    async def order(self, to: str, kind: str = "reopen", **changes: Any) -> None:
        """Raise the epoch and order `to` open."""
        epoch = self.status["epoch"] + 1
        change = {"epoch": epoch, "kind": kind, "from": "", "to": to, "requiredGTIDs": "", "stage": "ordered"}
        await self.write_status(epoch=epoch, roleChange=change, **changes)

    async def bootstrap(self, member: Member) -> InstanceStatus:
        """The first order of a Cluster's life, obeyed and recorded."""
        report = await member.reaches(lambda r: r.server_uuid is not None)
        await self.order(member.name, "bootstrap", primaryUUIDs=[report.server_uuid])
        report = await member.reaches(lambda r: r.open)
        await self.write_status(roleChange=None, leaseHolder=self.holder)
        return report

    async def clear(self) -> None:
        """The operator takes the hold away."""
        await self.hand_lease_to("")
