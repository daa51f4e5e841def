"""What an instance manager says about itself: the body of `GET /status` and of the status stream.

A field that is absent is unknown; unknown is never written as false. GTID sets are canonical text
(`cnmysql.mysql.gtid`). Times are RFC 3339, UTC. The stream is newline-delimited JSON: one `Frame` a line.

An instance may be in hostile hands. What it says is read by the operator and by its peers, and parts of it are stored
in the Cluster's status, so every value is bounded here: numbers fit 64 bits, texts are cut and freed of
secrets, sets and versions parse.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cnmysql.log import redact_head
from cnmysql.mysql.gtid import GtidSet
from cnmysql.mysql.version import Version

MAX_TEXT: Final = 2048
MAX_ENTRIES: Final = 256
MAX_GTIDS: Final = 64 * 1024
"""Over a thousand servers, or thousands of gaps."""
_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def _cut(value: Any) -> Any:
    """Errors of MySQL quote statements: an applier's names the whole query."""
    return redact_head(value, MAX_TEXT) if isinstance(value, str) else value


def _few(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(list(value.items())[:MAX_ENTRIES])
    return value[:MAX_ENTRIES] if isinstance(value, list | tuple) else value


def _gtids(value: str) -> str:
    GtidSet.parse(value)
    return value


def _version(value: str) -> str:
    Version.parse(value)
    return value


Text = Annotated[str, BeforeValidator(_cut)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_few)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Gtids = Annotated[str, Field(max_length=MAX_GTIDS), AfterValidator(_gtids)]


class Wire(BaseModel):
    """Base of every message: camelCase on the wire, unknown fields ignored so that versions may differ."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_json(self) -> bytes:
        """Compact JSON, absent fields left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


MysqldPhase = Literal["provisioning", "waiting", "starting", "running", "stopping", "stopped", "exited"]
"""waiting: not started on purpose (another holder of the data directory, foreign data); exited: it died by itself."""
ExitKind = Literal["clean", "restart", "crash", "oomKilled", "signal", "configuration"]
ProvisionStage = Literal["waiting", "initialize", "accounts", "seed", "copy", "finish", "done"]
ProblemReason = Literal[
    "ForeignData",
    "DataMissing",
    "LostTail",
    "Diverged",
    "ReplicationBroken",
    "CrashLoop",
    "ConfigurationInvalid",
    "DiskFull",
    "TLSDisabled",
    "UpgradeRefused",
    "NoDonor",
    "NonTransactionalTables",
    "BootstrapFailed",
]


class MysqldExit(Wire):
    """How mysqld last ended. `last_errors`: its last error lines, redacted."""

    kind: ExitKind
    code: Count | None = None
    signal: Text | None = None
    at: Text
    requested: bool
    last_errors: Texts = ()


class MysqldReport(Wire):
    state: MysqldPhase
    since: Text
    restarts: Count = 0
    exit: MysqldExit | None = None


class ReplicationReport(Wire):
    """Absent when no source is configured."""

    source_host: Text
    io_running: bool
    io_connecting: bool = False
    sql_running: bool
    seconds_behind_source: Count | None = None
    last_errno: Count = 0
    last_error: Text = ""
    retrieved_gtid_set: Gtids = ""


class StorageReport(Wire):
    """statfs(2) of the data volume, bytes."""

    used_bytes: Count
    capacity_bytes: Count
    available_bytes: Count

    @property
    def used_percent(self) -> int:
        """Whole percents of what mysqld may use: without what the file system reserves for root, as df(1) counts."""
        usable = self.used_bytes + self.available_bytes
        return 100 * self.used_bytes // usable if usable else 0


class ProvisioningReport(Wire):
    """Progress of initdb or join. `bytes_total` is 0 while unknown."""

    mode: Literal["initdb", "join"]
    stage: ProvisionStage
    bytes_done: Count = 0
    bytes_total: Count = 0
    donor: Text | None = None


class LeaseReport(Wire):
    """The instance's own view of the primary Lease. `age_seconds` counts from sending the last good renewal."""

    held: bool
    age_seconds: Seconds | None = None


class Problem(Wire):
    """Why the instance does not do what is expected of it, with the remedy in the message."""

    reason: ProblemReason
    message: Text


class ConfigReport(Wire):
    """Which live.cnf the running server was brought to. `pending_restart`: keys whose new value needs a restart;
    `rejected`: keys whose new value it does not take, and why; they keep the one they had."""

    file_hash: Text
    applied: bool
    pending_restart: Texts = ()
    rejected: Annotated[dict[Text, Text], BeforeValidator(_few)] = {}


class TLSReport(Wire):
    """What the running server and its manager have loaded, as SHA-256 (hex); empty for what is not loaded.

    Bundles are fingerprinted as `bundle_fingerprint` in `cnmysql.pki.fingerprint` does, certificates by their DER form.
    `server` and `replication` are what mysqld itself presents and connects with, not what lies in the files.
    """

    server_ca: Text = ""
    client_ca: Text = ""
    server: Text = ""
    replication: Text = ""
    peer: Text = ""


class AccountsReport(Wire):
    """The local server's accounts. Names of orders are those of `cnmysql.protocol.accounts`."""

    orders: Annotated[dict[Text, Text], BeforeValidator(_few)] = {}
    """Revision of each order as it was last carried out; an order of another revision is still to be sent."""
    settled: bool = False
    """Every account of ours is what it has to be."""
    problem: Text = ""
    """Why not, with the way out."""
    bypassing: Texts = ()
    """Accounts of the network that offline mode does not stop: closing this server kills it."""


class InstanceStatus(Wire):
    """The full report. `closed`: accepts no client and no write, or mysqld is dead; `open`: accepts client writes."""

    instance_name: Text
    pod_uid: Text
    mysqld: MysqldReport
    role: Literal["primary", "replica", "unknown"] = "unknown"
    version: Annotated[Text, AfterValidator(_version)] | None = None
    is_ready: bool = False
    not_ready_reason: Text = ""
    epoch: Count = 0
    open: bool = False
    closed: bool = False
    read_only: bool | None = None
    super_read_only: bool | None = None
    offline_mode: bool | None = None
    server_uuid: Annotated[str, Field(pattern=_UUID)] | None = None
    gtid_executed: Gtids | None = None
    gtid_purged: Gtids | None = None
    received: Gtids | None = None
    """gtid_executed united with what replication has retrieved."""
    replication: ReplicationReport | None = None
    dump_threads: Count | None = None
    errant: Gtids | None = None
    lease: LeaseReport | None = None
    problem: Problem | None = None
    provisioning: ProvisioningReport | None = None
    accounts: AccountsReport | None = None
    config: ConfigReport | None = None
    storage: StorageReport | None = None
    uptime_seconds: Count | None = None
    executable_hash: Text = ""
    role_state: Text = ""
    """What the role loop is doing and why, for people."""
    tls_not_after: Text | None = None
    tls: TLSReport | None = None
    replication_require: Text | None = None
    """What the replication account asks of a certificate: `x509`, or `<subject>|<issuer>` in one-line form."""
    status_age_seconds: Seconds = 0.0
    """Age of the values read from mysqld when this report was made."""


class Heartbeat(Wire):
    """Sent every 2 s between reports: shows life and carries the sets that move all the time."""

    gtid_executed: Gtids | None = None
    received: Gtids | None = None
    lease: LeaseReport | None = None


class Frame(Wire):
    """One line of the status stream: exactly one of the two is present."""

    report: InstanceStatus | None = None
    heartbeat: Heartbeat | None = None


HEARTBEAT_SECONDS = 2.0
STREAM_SILENCE_SECONDS = 7.0
"""Three missed heartbeats and a bit: the reader gives the connection up and dials again."""
