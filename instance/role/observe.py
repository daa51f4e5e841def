"""What a pass of the role loop sees: mysqld, our own Cluster and what the loop was told, read into one frozen View."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError
from instance.role.apply import Edges
from instance.role.facts import cluster_facts
from instance.role.view import (
    ClusterFacts,
    Memory,
    MysqldFacts,
    MysqldState,
    PeerRound,
    ServerFacts,
    Stopping,
    Unknown,
    View,
)
from instance.server import LocalServer
from instance.volume import VolumeWatch


class Process(Protocol):
    """The part of the supervisor the loop reads."""

    @property
    def running(self) -> bool: ...

    @property
    def generation(self) -> int: ...

    @property
    def undead(self) -> bool: ...


@dataclass
class Told:
    """What others told the loop, which no read would show. `renewals` counts changes of replication's credentials."""

    stopping: Stopping = "no"
    close_epoch: int = 0
    peers: PeerRound | None = None
    renewals: int = 0
    connected_with: int = 0
    """The renewal with which the receiver was last started again."""

    @property
    def credentials_changed(self) -> bool:
        return self.renewals != self.connected_with


@dataclass(frozen=True)
class Sources:
    """What is looked at in every pass. `cluster()` is the informer's copy of our own Cluster, None before the first
    list."""

    process: Process
    volume: VolumeWatch
    clock: Clock
    cluster: Callable[[], Mapping[str, Any] | None]
    watchdog_alive: Callable[[], bool]


class Observer:
    """One per loop: it remembers when the server answered last."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._answered_at = (0, sources.clock.boottime())

    async def observe(self, edges: Edges, told: Told, memory: Memory) -> View:
        """The server first, for that takes time; all else is as it is after that."""
        server = await self._read_server(edges.server)
        now = self._sources.clock.boottime()
        return View(
            now=now,
            me=edges.me,
            mysqld=self._mysqld(),
            server=server,
            silent_since=self._silent_since(server, now),
            cluster=self._read_cluster(),
            lease=edges.keeper.facts,
            stored_epoch=edges.epochs.epoch,
            watchdog_alive=self._sources.watchdog_alive(),
            pod_replaced=self._sources.volume.replaced,
            stopping=told.stopping,
            close_epoch=told.close_epoch,
            peers=told.peers,
            credentials_changed=told.credentials_changed,
            accounts=edges.accounts.need,
            memory=memory,
        )

    def _mysqld(self) -> MysqldFacts:
        process = self._sources.process
        state: MysqldState = "running" if process.running else "down"
        return MysqldFacts(state, process.generation, process.undead)

    async def _read_server(self, server: LocalServer) -> ServerFacts | Unknown:
        if not self._sources.process.running:
            return Unknown("mysqld is not running")
        try:
            return await server.read()
        except CnmysqlError as error:
            return Unknown(str(error))

    def _silent_since(self, server: ServerFacts | Unknown, now: float) -> float:
        """A start of mysqld that has never answered may be in a long crash recovery: it is not silent."""
        generation = self._sources.process.generation
        if isinstance(server, ServerFacts):
            self._answered_at = (generation, now)
        answered, at = self._answered_at
        return at if answered == generation else now

    def _read_cluster(self) -> ClusterFacts | Unknown:
        raw = self._sources.cluster()
        if raw is None:
            return Unknown("the API server has not shown it yet")
        try:
            return cluster_facts(raw)
        except ValueError as error:
            return Unknown(f"its status cannot be understood: {error}")
