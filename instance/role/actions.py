"""The closed set of things a role plan may ask for. `apply.py` is their only executor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoreEpoch:
    """Write the epoch to the volume and fsync it, before anything is done under it."""

    epoch: int


@dataclass(frozen=True)
class AcquireLease:
    """Take the primary Lease, only if it is empty or already ours; arms the watchdog."""


@dataclass(frozen=True)
class RenewLease:
    """Renew a Lease that still names us, and nothing else; arms the watchdog."""


@dataclass(frozen=True)
class ReleaseLease:
    """Clear our own hold, by an update. Somebody else's is left alone."""


@dataclass(frozen=True)
class RestLease:
    """Stop renewing without clearing: for a server that could not be killed."""


@dataclass(frozen=True)
class Disarm:
    """Tell the watchdog that there is nothing to kill: the server is known to be closed or dead."""


@dataclass(frozen=True)
class ConfirmOrder:
    """A consistent read of the Cluster, made now, must still show this order to us."""

    epoch: int


@dataclass(frozen=True)
class ConfirmInPlace:
    """A consistent read of the Cluster, made now, must name us as primary, with no change and no newer epoch."""

    epoch: int


@dataclass(frozen=True)
class WritePrimary:
    """Write currentPrimary at exactly the version `ConfirmOrder` read."""


@dataclass(frozen=True)
class OpenServer:
    """super_read_only and read_only off, offline_mode off last; refused when the Lease grew late meanwhile."""


@dataclass(frozen=True)
class CloseServer:
    """The closing order, 2 s in all; SIGKILL to mysqld when a step is late."""


@dataclass(frozen=True)
class KillServer:
    """SIGKILL to a mysqld that no longer answers; its supervisor starts it again."""


@dataclass(frozen=True)
class Serve:
    """offline_mode off while super_read_only stays on: a replica takes readers."""


@dataclass(frozen=True)
class AskPeers:
    """Ask these instances for their status, all at once, bounded."""

    instances: tuple[str, ...]


@dataclass(frozen=True)
class Follow:
    """Set the source. `first`: with both threads stopped, which empties the relay log; else only the receiver is."""

    host: str
    first: bool


@dataclass(frozen=True)
class StartReplication:
    receiver: bool = True
    applier: bool = True


@dataclass(frozen=True)
class StopReplication:
    receiver: bool = True
    applier: bool = True


@dataclass(frozen=True)
class ForgetReplication:
    """Stop both threads and drop the channel: for a server about to be primary that has applied everything."""


@dataclass(frozen=True)
class RestartReceiver:
    """Stop and start the receiver so that it connects with the certificate that is mounted now."""


@dataclass(frozen=True)
class ChangeAccounts:
    """Let the account keeper write on a server that is closed or follows; super_read_only is lifted for it alone."""


@dataclass(frozen=True)
class Leave:
    """End the manager: this Pod is no longer the recorded one, or nothing guards the server any more."""

    reason: str


Action = (
    StoreEpoch
    | AcquireLease
    | RenewLease
    | ReleaseLease
    | RestLease
    | Disarm
    | ConfirmOrder
    | ConfirmInPlace
    | WritePrimary
    | OpenServer
    | CloseServer
    | KillServer
    | Serve
    | AskPeers
    | Follow
    | StartReplication
    | StopReplication
    | ForgetReplication
    | RestartReceiver
    | ChangeAccounts
    | Leave
)
