"""What the role loop saw: one frozen snapshot per pass, `now` included. Unknown is a value, never None or False.

`now` and every other moment is CLOCK_BOOTTIME in seconds. GTID sets are values (`cnmysql.mysql.gtid`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cnmysql import names
from cnmysql.mysql.gtid import GtidSet
from cnmysql.protocol.report import Problem


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be had, and why."""

    why: str


@dataclass(frozen=True)
class Me:
    """Who this manager is. `pod_uid` tells it from an earlier or later Pod of the same name."""

    cluster: str
    namespace: str
    instance: str
    pod_uid: str

    @property
    def identity(self) -> str:
        """What it writes as holder of the primary Lease."""
        return names.holder_identity(self.instance, self.pod_uid)

    def host(self, instance: str) -> str:
        """DNS name under which another instance of the Cluster is reached and verified."""
        return names.instance_host(instance, self.namespace)


@dataclass(frozen=True)
class Order:
    """`status.roleChange`: the only order an instance obeys. `to` is empty until it may name somebody."""

    epoch: int
    kind: str
    source: str
    to: str
    required: GtidSet = field(default_factory=GtidSet)


@dataclass(frozen=True)
class ClusterFacts:
    """Our own Cluster's status as last seen."""

    epoch: int
    current_primary: str
    order: Order | None
    instances: tuple[str, ...]
    primary_uuids: frozenset[str]
    lease_holder: str
    resource_version: str


@dataclass(frozen=True)
class LeaseFacts:
    """Our hold on the primary Lease.

    `sent`: when the last successful renewal was sent, None without one. `lost`: somebody else holds it or it is
    gone, said by the API server itself. `armed`: the watchdog has a moment after which it kills mysqld.
    """

    sent: float | None = None
    lost: str = ""
    armed: bool = False

    @property
    def held(self) -> bool:
        return self.sent is not None and not self.lost


@dataclass(frozen=True)
class Channel:
    """The default replication channel as the server describes it."""

    source_host: str
    io_running: bool
    io_connecting: bool
    sql_running: bool
    io_errno: int = 0
    io_error: str = ""
    sql_errno: int = 0
    sql_error: str = ""
    seconds_behind: int | None = None
    retrieved: GtidSet = field(default_factory=GtidSet)

    @property
    def receiving(self) -> bool:
        """The receiver is up, connected or trying to connect."""
        return self.io_running or self.io_connecting

    @property
    def running(self) -> bool:
        return self.receiving and self.sql_running

    @property
    def any_running(self) -> bool:
        return self.receiving or self.sql_running


@dataclass(frozen=True)
class ServerFacts:
    """One read of the local server. `generation` counts starts of mysqld: facts of an older one are void."""

    generation: int
    read_at: float
    version: str
    uuid: str
    executed: GtidSet
    purged: GtidSet
    read_only: bool
    super_read_only: bool
    offline_mode: bool
    clients: int
    """Client threads that are not ours, not replication's and not already killed."""
    channel: Channel | None = None
    dump_threads: int = 0
    uptime: int = 0
    tls_enabled: bool = True
    tls_not_after: str | None = None

    @property
    def received(self) -> GtidSet:
        """Executed united with what replication has retrieved."""
        return self.executed if self.channel is None else self.executed | self.channel.retrieved

    @property
    def open(self) -> bool:
        """Accepts client writes, or would from a client with privileges."""
        return not self.offline_mode and not self.super_read_only and not self.read_only

    @property
    def closed(self) -> bool:
        return self.offline_mode and self.super_read_only and self.clients == 0


MysqldState = Literal["running", "down"]
"""running: the process exists; down: dead or not started yet."""


@dataclass(frozen=True)
class MysqldFacts:
    """The process. `undead`: killed and still not gone after the bound (a hung volume)."""

    state: MysqldState
    generation: int = 0
    undead: bool = False


@dataclass(frozen=True)
class PeerFacts:
    """Another instance's answer to `GET /status`. Sets are Unknown while its mysqld is down."""

    uuid: str
    executed: GtidSet | Unknown
    received: GtidSet | Unknown
    open: bool


@dataclass(frozen=True)
class PeerRound:
    """One question to a set of peers, asked after `own` was read: what they say is newer than what we had."""

    at: float
    own: ServerFacts
    answers: Mapping[str, PeerFacts | Unknown]


@dataclass(frozen=True)
class Memory:
    """What one pass hands to the next; changed only by the plan."""

    tested_source: str = ""
    """Instance whose executed set was proven to contain ours, for which start of mysqld, and when."""
    tested_generation: int = 0
    tested_at: float = 0.0
    problem: Problem | None = None
    errant: GtidSet = field(default_factory=GtidSet)
    restarts: int = 0
    """Restarts of replication threads without success so far, and when the next may be tried."""
    restart_at: float = 0.0
    openings_failed: int = 0
    """Attempts to open without success so far, and when the next may be made."""
    open_at: float = 0.0
    configured: int = 0
    """Start of mysqld for which the channel was set by us, so that its settings are today's."""
    connected: int = 0
    """Start of mysqld since which the receiver has been connected to its source at least once."""


Stopping = Literal["no", "draining", "closing"]
AccountsNeed = Literal["nothing", "change", "start"]
"""change: something is to be written on a server that is not open; start: mysqld refuses our login until it starts."""


@dataclass(frozen=True)
class View:
    """Everything a pass decides on."""

    now: float
    me: Me
    mysqld: MysqldFacts
    server: ServerFacts | Unknown
    silent_since: float
    """When a server that has answered before last did; equal to `now` while it answers or never has."""
    cluster: ClusterFacts | Unknown
    lease: LeaseFacts
    stored_epoch: int
    watchdog_alive: bool = True
    pod_replaced: bool = False
    stopping: Stopping = "no"
    close_epoch: int = 0
    """Highest epoch under which the operator called close; 0 when it never did."""
    peers: PeerRound | None = None
    credentials_changed: bool = False
    """The replication certificate or the trust changed since the receiver connected."""
    accounts: AccountsNeed = "nothing"
    memory: Memory = field(default_factory=Memory)
