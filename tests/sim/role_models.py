"""The parts of the role loop's world: volume, mysqld, watchdog, as far as the loop can tell them from real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnmysql.errors import CnmysqlError, Refused, Unreachable
from cnmysql.mysql.gtid import GtidSet
from cnmysql.protocol.report import MysqldReport, Problem
from instance.role.view import Channel, ServerFacts
from tests.unit.kube.virtual import LoopClock

if TYPE_CHECKING:
    from tests.sim.role_world import Pod

CLOCK = LoopClock()


class Inline(ThreadPoolExecutor):
    """Runs what is given to a thread at once: threads have no place in virtual time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed to the waiter
            future.set_exception(error)
        return future


@dataclass
class Volume:
    """What survives everything: the data, the stored epoch, and who wants the volume."""

    name: str
    uuid: str
    executed: int = 0
    """Own transactions; replication is modelled by copying the numbers of others."""
    foreign: dict[str, int] = field(default_factory=dict)
    epoch: int = 0
    recorded: str = ""
    holder: Pod | None = None
    source: str = ""
    """Host the replication channel leads to; empty without one."""

    @property
    def gtids(self) -> GtidSet:
        parts = {**self.foreign, **({self.uuid: self.executed} if self.executed else {})}
        return GtidSet.parse(",".join(f"{uuid}:1-{n}" for uuid, n in parts.items() if n))


class Epochs:
    """EpochFile on a modelled volume."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    @property
    def epoch(self) -> int:
        return self._volume.epoch

    def load(self) -> None:
        """Always current."""

    def store(self, epoch: int) -> None:
        if epoch < self._volume.epoch:
            raise Refused("older epoch")
        self._volume.epoch = epoch


class Server:
    """One mysqld and its supervisor and edge in one: LocalServer and Process as the loop sees them."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self.alive = False
        self.generation = 0
        self.undead = False
        self.problem: Problem | None = None
        self.offline = self.super_read_only = self.read_only = True
        self.receiving = self.applying = False

    # The process.

    @property
    def running(self) -> bool:
        return self.alive

    @property
    def report(self) -> MysqldReport:
        return MysqldReport(state="running" if self.alive else "exited", since="2030-01-01T00:00:00Z")

    @property
    def open(self) -> bool:
        return self.alive and not self.offline and not self.super_read_only

    def boot(self) -> None:
        self.generation += 1
        self.alive = True
        self.offline = self.super_read_only = self.read_only = True
        self.receiving = self.applying = False
        self._pod.loop.wake()

    def die(self) -> None:
        self.alive = False
        self._pod.loop.wake()

    # The edge. Each call takes a moment and stands still while the manager is frozen.

    async def _call(self, generation: int | None = None) -> None:
        await self._pod.gate()
        if not self.alive or (generation is not None and generation != self.generation):
            raise Unreachable("mysqld is not running")

    async def read(self, purpose: str = "role", *, timeout: float = 1.0) -> ServerFacts:
        generation, at = self.generation, CLOCK.boottime()
        await self._call(generation)
        volume = self._pod.volume
        channel = None
        if volume.source:
            channel = Channel(volume.source, self.receiving, False, self.applying)
        return ServerFacts(
            generation=self.generation,
            read_at=at,
            version="9.7.4",
            uuid=volume.uuid,
            executed=volume.gtids,
            purged=GtidSet(),
            read_only=self.read_only,
            super_read_only=self.super_read_only,
            offline_mode=self.offline,
            clients=0,
            channel=channel,
        )

    async def open_(self, still_permitted: Callable[[], bool]) -> None:
        generation = self.generation
        await self._call(generation)
        self.super_read_only = self.read_only = False
        await self._call(generation)
        if not still_permitted():
            raise Refused("late")
        await self._call(generation)
        self.offline = False
        self._pod.world.check(f"{self._pod.name} opened")

    async def close(self) -> None:
        generation = self.generation
        try:
            async with asyncio.timeout(2.0):
                await self._call(generation)
                self.offline = True
                await self._call(generation)
                self.super_read_only = self.read_only = True
        except (TimeoutError, CnmysqlError):
            await self.kill()

    async def kill(self) -> None:
        self.die()
        self._pod.restart_mysqld()

    async def serve_readers(self) -> None:
        await self._call()
        self.offline = False
        self._pod.world.check(f"{self._pod.name} serves")

    async def follow(self, host: str, *, first: bool) -> None:
        await self._call()
        self._pod.volume.source = host
        self.receiving = self.applying = True

    async def start_replication(self, *, receiver: bool, applier: bool) -> None:
        await self._call()
        self.receiving, self.applying = self.receiving or receiver, self.applying or applier

    async def stop_replication(self, *, receiver: bool, applier: bool) -> None:
        await self._call()
        self.receiving, self.applying = self.receiving and not receiver, self.applying and not applier

    async def forget_replication(self) -> None:
        await self._call()
        self._pod.volume.source = ""
        self.receiving = self.applying = False

    async def restart_receiver(self) -> None:
        await self._call()

    async def transactions_since(self, seconds: float) -> int:
        await self._call()
        return 0


class Edge:
    """`LocalServer` names its method `open`; the model's `open` is the state."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, "open_" if name == "open" else name)


class Watch:
    """VolumeWatch on a modelled volume."""

    full = False
    last = None

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self.on_change: Callable[[], None] = lambda: None

    @property
    def replaced(self) -> bool:
        return self._pod.volume.recorded not in ("", self._pod.uid)

    async def run(self) -> None:
        while True:
            await CLOCK.sleep(1.0)
            if self.replaced:
                self.on_change()


class Guard:
    """The watchdog: its own process, never frozen."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self.until = 0.0

    def permit_until(self, boottime: float) -> None:
        self.until = boottime

    def forbid(self) -> None:
        self.until = 0.0

    def alive(self) -> bool:
        return True

    async def run(self) -> None:
        while True:
            await CLOCK.sleep(0.05)
            if self.until and CLOCK.boottime() >= self.until and self._pod.server.alive:
                self.until = 0.0
                self._pod.world.kills += 1
                self._pod.server.die()
                self._pod.restart_mysqld()
