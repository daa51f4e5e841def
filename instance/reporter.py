"""Puts the instance's report together and hands it to whoever listens, at once when something that matters changes.

`GET /status` reads mysqld for each question; the stream sends what the role loop saw last. Values that move all the
time (GTID sets, lag, uptime, bytes) ride the heartbeat or the next report and never cause one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Literal, Protocol

from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError
from cnmysql.mysql.version import Version
from cnmysql.protocol.report import (
    HEARTBEAT_SECONDS,
    AccountsReport,
    ConfigReport,
    Frame,
    Heartbeat,
    InstanceStatus,
    LeaseReport,
    MysqldReport,
    Problem,
    ReplicationReport,
    StorageReport,
    TLSReport,
)
from cnmysql.tasks import Signal
from instance import readiness
from instance.readiness import Condition
from instance.role.loop import RoleLoop
from instance.role.view import ClusterFacts, ServerFacts, Unknown
from instance.server import LocalServer
from instance.volume import VolumeWatch

READ_SECONDS: Final = 1.0
SPACE_STEP_PERCENT: Final = 5
"""Space on the data volume is news when it crosses a multiple of this."""
_MOVING: Final[dict[str, Any]] = {
    "gtid_executed": None,
    "gtid_purged": None,
    "received": None,
    "uptime_seconds": None,
    "status_age_seconds": 0.0,
    "dump_threads": None,
}


class Source(Protocol):
    """What the control API serves: a report now, and frames as things change."""

    async def status(self) -> InstanceStatus: ...

    def frames(self) -> AsyncGenerator[Frame, None]: ...


def trigger(report: InstanceStatus) -> InstanceStatus:
    """The report without what moves all the time: two that are equal are not worth a frame."""
    changes = dict(_MOVING)
    if report.replication is not None:
        still = {"retrieved_gtid_set": "", "seconds_behind_source": None}
        changes["replication"] = report.replication.model_copy(update=still)
    if report.storage is not None:
        # Space moves all the time, too; that it runs out must not wait for another change.
        step = report.storage.used_percent // SPACE_STEP_PERCENT
        changes["storage"] = StorageReport(used_bytes=step, capacity_bytes=0, available_bytes=0)
    if report.lease is not None:
        changes["lease"] = LeaseReport(held=report.lease.held)
    return report.model_copy(update=changes)


class Publisher:
    """Frames for any number of listeners from one function that gives the current report.

    A listener that is slow gets the newest report when it comes back, never a backlog.
    """

    def __init__(self, current: Callable[[], InstanceStatus]) -> None:
        self._current = current
        self._listeners: set[Signal] = set()

    def changed(self) -> None:
        """Something may have changed: listeners compare and send."""
        for listener in self._listeners:
            listener.set()

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """A report, then a report for each change and a heartbeat whenever 2 s brought none."""
        listener = Signal()
        self._listeners.add(listener)
        try:
            now = asyncio.get_running_loop().time
            report = self._current()
            sent = now()
            yield Frame(report=report)
            while True:
                # Wake-ups without a change must not put the heartbeat off.
                await listener.wait(max(0.0, sent + HEARTBEAT_SECONDS - now()))
                newer = self._current()
                if trigger(newer) != trigger(report):
                    report = newer
                    sent = now()
                    yield Frame(report=report)
                elif now() >= sent + HEARTBEAT_SECONDS:
                    sent = now()
                    yield Frame(
                        heartbeat=Heartbeat(
                            gtid_executed=newer.gtid_executed, received=newer.received, lease=newer.lease
                        )
                    )
        finally:
            self._listeners.discard(listener)


class Process(Protocol):
    """The part of the supervisor the reporter reads."""

    @property
    def report(self) -> MysqldReport: ...

    @property
    def running(self) -> bool: ...

    @property
    def generation(self) -> int: ...

    problem: Problem | None
    undead: bool


class Accounts(Protocol):
    """The part of the account keeper the reporter reads."""

    @property
    def report(self) -> AccountsReport | None: ...

    @property
    def replication_require(self) -> str | None: ...


class Reporter:
    """Assembles `InstanceStatus` from the role loop's last view, or from a read of its own for `status`."""

    def __init__(
        self,
        loop: RoleLoop,
        process: Process,
        server: LocalServer,
        volume: VolumeWatch,
        clock: Clock,
        *,
        accounts: Accounts | None = None,
        executable_hash: str = "",
    ) -> None:
        self._accounts = accounts
        self._loop = loop
        self._process = process
        self._server = server
        self._volume = volume
        self._clock = clock
        self._hash = executable_hash
        self._facts: ServerFacts | Unknown = Unknown("mysqld has not answered yet")
        self._publisher = Publisher(self.current)
        self.config: ConfigReport | None = None
        self.tls: TLSReport | None = None

    def changed(self) -> None:
        """Call after every pass of the role loop and every change of mysqld or the configuration."""
        view = self._loop.view
        if view is not None:
            self._learn(view.server)
        self._publisher.changed()

    def frames(self) -> AsyncGenerator[Frame, None]:
        return self._publisher.frames()

    async def status(self) -> InstanceStatus:
        """The report with values read now; when mysqld does not answer within a second, the last ones and their age."""
        if self._process.running:
            try:
                self._learn(await self._server.read("probe", timeout=READ_SECONDS))
            except CnmysqlError as error:
                self._learn(Unknown(str(error)))
        return self.current()

    def version(self) -> Version | None:
        """The running server's version, None before it has answered."""
        facts = self._valid()
        return Version.parse(facts.version) if isinstance(facts, ServerFacts) else None

    def condition(self) -> Condition:
        """What the probes judge."""
        facts = self._valid()
        problem = self._loop.memory.problem
        return Condition(
            server=facts,
            silent=self._clock.boottime() - facts.read_at if isinstance(facts, ServerFacts) else 0.0,
            primary=self._primary(),
            undead=self._process.undead,
            problem=problem.message if problem else "",
            connected=isinstance(facts, ServerFacts) and self._loop.memory.connected == facts.generation,
        )

    def current(self) -> InstanceStatus:
        """The report from what is known, without asking anybody."""
        loop, facts = self._loop, self._valid()
        not_ready = readiness.not_ready(self.condition())
        base = InstanceStatus(
            instance_name=loop.edges.me.instance,
            pod_uid=loop.edges.me.pod_uid,
            mysqld=self._process.report,
            role=self._role(facts),
            is_ready=not not_ready,
            not_ready_reason=not_ready,
            epoch=loop.edges.epochs.epoch,
            closed=not self._process.running,
            errant=str(loop.memory.errant) or None,
            lease=loop.edges.keeper.report(),
            problem=self._problem(),
            config=self.config,
            tls=self.tls,
            accounts=self._accounts.report if self._accounts else None,
            replication_require=self._accounts.replication_require if self._accounts else None,
            storage=self._volume.last.storage if self._volume.last else None,
            executable_hash=self._hash,
            role_state=loop.plan.state,
        )
        return base if isinstance(facts, Unknown) else self._with_server(base, facts)

    def _with_server(self, base: InstanceStatus, facts: ServerFacts) -> InstanceStatus:
        channel = facts.channel
        lease = self._loop.edges.keeper.facts
        replication = None
        if channel is not None:
            replication = ReplicationReport(
                source_host=channel.source_host,
                io_running=channel.io_running,
                io_connecting=channel.io_connecting,
                sql_running=channel.sql_running,
                seconds_behind_source=channel.seconds_behind,
                last_errno=channel.sql_errno or channel.io_errno,
                last_error=channel.sql_error or channel.io_error,
                retrieved_gtid_set=str(channel.retrieved),
            )
        return base.model_copy(
            update={
                "version": facts.version,
                # The read may be from before the server was opened; from taking the Lease on it counts as not closed.
                "open": facts.open and lease.held,
                "closed": facts.closed and not lease.armed,
                "read_only": facts.read_only,
                "super_read_only": facts.super_read_only,
                "offline_mode": facts.offline_mode,
                "server_uuid": facts.uuid,
                "gtid_executed": str(facts.executed),
                "gtid_purged": str(facts.purged),
                "received": str(facts.received),
                "replication": replication,
                "dump_threads": facts.dump_threads,
                "uptime_seconds": facts.uptime,
                "tls_not_after": facts.tls_not_after,
                "status_age_seconds": round(self._clock.boottime() - facts.read_at, 2),
            }
        )

    def _learn(self, facts: ServerFacts | Unknown) -> None:
        """Newer facts replace older ones; a failed read replaces them only when mysqld was started again since."""
        known = self._facts
        if isinstance(facts, ServerFacts):
            if isinstance(known, Unknown) or facts.read_at >= known.read_at:
                self._facts = facts
        elif isinstance(known, Unknown) or not self._process.running or known.generation != self._process.generation:
            self._facts = facts

    def _valid(self) -> ServerFacts | Unknown:
        """Facts of a mysqld that has ended say nothing about the next one."""
        facts = self._facts
        if not self._process.running:
            return Unknown("mysqld is not running")
        if isinstance(facts, ServerFacts) and facts.generation != self._process.generation:
            return Unknown("mysqld has not answered since its start")
        return facts

    def _primary(self) -> bool:
        cluster = self._loop.view.cluster if self._loop.view is not None else None
        return isinstance(cluster, ClusterFacts) and cluster.current_primary == self._loop.edges.me.instance

    def _role(self, facts: ServerFacts | Unknown) -> Literal["primary", "replica", "unknown"]:
        if isinstance(facts, ServerFacts) and facts.open:
            return "primary"
        if isinstance(facts, ServerFacts) and facts.channel is not None and not self._primary():
            return "replica"
        return "unknown"

    def _problem(self) -> Problem | None:
        facts = self._valid()
        if self._process.problem is not None:
            return self._process.problem
        if self._volume.full:
            return Problem(reason="DiskFull", message="the data volume is full: free space or enlarge it")
        if isinstance(facts, ServerFacts) and not facts.tls_enabled:
            return Problem(reason="TLSDisabled", message="mysqld serves without TLS: its certificate cannot be used")
        return self._loop.memory.problem
