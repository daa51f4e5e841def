"""What a plan may ask for: a small closed set of values. `manager.apply` is the only code that carries them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnmysql.kube.resources import Resource


@dataclass(frozen=True)
class Target:
    """One object of the API server."""

    resource: Resource
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Apply:
    """Server-side apply of everything we own in an object.

    `absent` says that the plan saw no such object of ours: the executor then makes sure that no stranger of
    that name is taken over.
    """

    target: Target
    body: Mapping[str, Any]
    absent: bool


@dataclass(frozen=True)
class CreateOnce:
    """Create, and never write again what was created. `passwords`: Secret keys the executor fills at random."""

    target: Target
    body: Mapping[str, Any]
    passwords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Delete:
    """Delete exactly the object with this uid; an object of the same name created since is left alone.

    `made_by`: what the name of everybody begins with who may have written it; when anybody else has, it is refused.
    """

    target: Target
    uid: str
    why: str
    made_by: str = ""


@dataclass(frozen=True)
class PatchOwned:
    """JSON merge patch of keys we own (labels, annotations, owner, requested size) in an object others share."""

    target: Target
    uid: str
    patch: Mapping[str, Any]


@dataclass(frozen=True)
class CopyPair:
    """Bring tls.crt and tls.key of a user's Secret into one of ours, exactly in the version that was judged.

    `forget`: annotations to take away, which say where the former pair came from.
    """

    target: Target
    source: str
    revision: str
    forget: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reissue:
    """Have a Certificate issued anew: a merge patch of its status, on the version it was decided for."""

    target: Target
    resource_version: str
    status: Mapping[str, Any]
    why: str


@dataclass(frozen=True)
class ClearHold:
    """Compare-and-swap of the primary Lease to no holder, on the very record the proof was judged for."""

    target: Target
    resource_version: str
    holder: str
    proof: str
    epoch: int


@dataclass(frozen=True)
class Commit:
    """Durable intent in `Cluster.status`, by compare-and-swap, alone: the pass ends when it is written."""

    patch: Mapping[str, Any]
    resource_version: str
    why: str


@dataclass(frozen=True)
class PatchStatus:
    """Everything observed, in one merge patch per pass."""

    patch: Mapping[str, Any]
    resource_version: str


@dataclass(frozen=True)
class PasswordSource:
    """A Secret whose `password` an account is to get. `revision`: of the Secret as the plan saw it."""

    secret: str
    revision: str
    user: str


@dataclass(frozen=True)
class OrderAccounts:
    """Hand passwords to one instance, in the form that lets nobody log in. Nobody waits for the outcome: the instance
    reports the revision it has carried out. `remote`: root may log in over the network."""

    instance: str
    pod_uid: str
    address: str
    root: PasswordSource | None
    owner: PasswordSource | None
    remote: bool


@dataclass(frozen=True)
class Emit:
    """An Event on the Cluster. `warning` selects its type."""

    reason: str
    message: str
    warning: bool = False


Action = (
    Apply
    | CreateOnce
    | Delete
    | PatchOwned
    | CopyPair
    | Reissue
    | ClearHold
    | Commit
    | PatchStatus
    | OrderAccounts
    | Emit
)


@dataclass(frozen=True)
class Plan:
    """Actions in order; the first failure stops the rest. `wake_after`: seconds until looking again unasked."""

    actions: tuple[Action, ...] = ()
    wake_after: float | None = None
    phase: str = ""
    reason: str = ""
    notes: tuple[str, ...] = field(default=())
