"""Everything one pass over a Cluster knows, frozen. Unknown is a value of its own, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from cnmysql.api.cluster import ClusterSpec
from cnmysql.pki.inspect import KeyState
from cnmysql.protocol.report import InstanceStatus

Json = dict[str, Any]

FRESH_SECONDS = 5.0
"""An observation older than this decides nothing about roles."""


@dataclass(frozen=True)
class Report:
    """What an instance said; `seen` is the monotonic time its stream was last heard (a heartbeat counts)."""

    status: InstanceStatus
    seen: float


@dataclass(frozen=True)
class Unreachable:
    """No stream since `since` (monotonic). Says nothing about the instance itself."""

    since: float
    reason: str


Observation = Report | Unreachable


class CertManager(Enum):
    """Whether the API server serves cert-manager's kinds."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Known(Enum):
    """State of an object that somebody else owns."""

    PRESENT = "present"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class TlsMaterial:
    """What is kept of certificates somebody brings: their text and what the key is to them, never the key."""

    type: str
    """Type of the Secret."""
    certificate: tuple[str, ...] = ()
    """tls.crt, as PEM blocks."""
    authority: tuple[str, ...] = ()
    """ca.crt, as PEM blocks."""
    key: KeyState = KeyState.ABSENT
    excess: str = ""
    """Which key holds more than is looked at, with what was found and is allowed; no certificate is kept then."""


@dataclass(frozen=True)
class UserSecret:
    """A Secret the spec refers to: which keys it has, never their values; certificates only where they are meant."""

    state: Known
    keys: frozenset[str] = frozenset()
    revision: str = ""
    tls: TlsMaterial | None = None


@dataclass(frozen=True)
class Malformed:
    """A stored spec that cannot be read; the message names the fields."""

    message: str


@dataclass(frozen=True)
class Departed:
    """The last state of a Pod and when (monotonic) it left the API server."""

    pod: Json
    at: float


@dataclass(frozen=True)
class Objects:
    """Our objects of one Cluster, by name."""

    pods: Mapping[str, Json] = field(default_factory=dict)
    volumes: Mapping[str, Json] = field(default_factory=dict)
    services: Mapping[str, Json] = field(default_factory=dict)
    config_maps: Mapping[str, Json] = field(default_factory=dict)
    secrets: Mapping[str, Json] = field(default_factory=dict)
    service_accounts: Mapping[str, Json] = field(default_factory=dict)
    roles: Mapping[str, Json] = field(default_factory=dict)
    role_bindings: Mapping[str, Json] = field(default_factory=dict)
    leases: Mapping[str, Json] = field(default_factory=dict)
    issuers: Mapping[str, Json] = field(default_factory=dict)
    certificates: Mapping[str, Json] = field(default_factory=dict)
    network_policies: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class RoleChange:
    """`status.roleChange`: the only order instances obey."""

    epoch: int
    kind: str
    source: str
    to: str
    stage: str


@dataclass(frozen=True)
class Record:
    """The part of `Cluster.status` that decides who is primary."""

    epoch: int = 0
    change: RoleChange | None = None
    current_primary: str = ""
    lease_holder: str = ""
    primary_uuids: tuple[str, ...] = ()

    @property
    def has_history(self) -> bool:
        """True when some instance has been ordered to be primary before: data is known to exist."""
        return bool(self.current_primary or self.primary_uuids)


def record(status: Mapping[str, Any]) -> Record:
    """Read the deciding part of a stored status."""
    change = status.get("roleChange") or None
    return Record(
        epoch=int(status.get("epoch") or 0),
        change=None
        if change is None
        else RoleChange(
            epoch=int(change.get("epoch") or 0),
            kind=str(change.get("kind") or ""),
            source=str(change.get("from") or ""),
            to=str(change.get("to") or ""),
            stage=str(change.get("stage") or ""),
        ),
        current_primary=str(status.get("currentPrimary") or ""),
        lease_holder=str(status.get("leaseHolder") or ""),
        primary_uuids=tuple(status.get("primaryUUIDs") or ()),
    )


@dataclass(frozen=True)
class Snapshot:
    """Input of `plan`. `clock` is monotonic seconds, `now` the wall clock for what people read."""

    now: datetime
    clock: float
    leader_fresh: bool
    operator_image: str
    operator_namespace: str
    tree_digest: str
    cluster: Json
    spec: ClusterSpec | Malformed
    record: Record
    objects: Objects
    observations: Mapping[str, Observation] = field(default_factory=dict)
    user_secrets: Mapping[str, UserSecret] = field(default_factory=dict)
    cert_manager: CertManager = CertManager.UNKNOWN
    departed: Mapping[str, Departed] = field(default_factory=dict)
    """Pods that left the API server recently, by uid."""
    leftovers: tuple[tuple[str, Json], ...] = ()
    """(kind, object) that belong to a former Cluster of this name."""
    strangers: tuple[Json, ...] = ()
    """Pods with the Cluster's label that the Cluster does not own: no instances, whatever they are called."""

    @property
    def name(self) -> str:
        return str(self.cluster["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.cluster["metadata"]["namespace"])

    @property
    def uid(self) -> str:
        return str(self.cluster["metadata"]["uid"])

    @property
    def generation(self) -> int:
        return int(self.cluster["metadata"].get("generation", 0))

    @property
    def resource_version(self) -> str:
        return str(self.cluster["metadata"]["resourceVersion"])

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.cluster["metadata"]

    @property
    def status(self) -> Json:
        return self.cluster.get("status") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.cluster["metadata"].get("annotations") or {}
