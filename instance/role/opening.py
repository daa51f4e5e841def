"""Rules of an instance that is, or is to become, the primary: stay open, open when ordered, open again in place.

They are rows of `plan.RULES`, below every rule that closes: here the server answers, the Cluster is known, its epoch
is on disk and nobody else is named.
"""

from __future__ import annotations

from dataclasses import replace

from instance.role import follow, replication, timing
from instance.role.actions import (
    AcquireLease,
    Action,
    AskPeers,
    CloseServer,
    ConfirmInPlace,
    ConfirmOrder,
    Disarm,
    ForgetReplication,
    OpenServer,
    ReleaseLease,
    RenewLease,
    StartReplication,
    WritePrimary,
)
from instance.role.judge import known, ordered_away
from instance.role.outcome import Plan
from instance.role.replication import lost_tail
from instance.role.view import ClusterFacts, Order, ServerFacts, Unknown, View


def is_open(view: View) -> Plan | None:
    """Held, named and open: nothing to do but to keep the Lease."""
    cluster, server = known(view)
    if ordered_away(view) or not server.open:
        return None
    left = timing.CLOSE_AFTER - (view.now - (view.lease.sent or view.now))
    return Plan((), f"primary, open under epoch {cluster.epoch}", wake=max(0.0, min(timing.TICK, left)))


def ordered(view: View) -> Plan | None:
    cluster, server = known(view)
    order = cluster.order
    if order is None or order.to != view.me.instance:
        return None
    obstacle = _obstacle(order, cluster, server)
    if obstacle:
        return _applying(view, cluster, server) or Plan(
            (), f"ordered to open under epoch {order.epoch}, but {obstacle}"
        )
    if cluster.current_primary == view.me.instance and (lost := _tail(view, cluster, server)):
        return lost
    if view.now < view.memory.open_at:
        return Plan((), f"ordered to open under epoch {order.epoch}; trying again soon")
    forget: tuple[Action, ...] = (ForgetReplication(),) if server.channel is not None else ()
    return Plan(
        (*forget, AcquireLease(), ConfirmOrder(order.epoch), WritePrimary(), OpenServer()),
        f"opening: ordered under epoch {order.epoch}",
        memory=replace(view.memory, problem=None),
        undo=(CloseServer(), Disarm(), ReleaseLease()),
        wake=0.0,
    )


def _obstacle(order: Order, cluster: ClusterFacts, server: ServerFacts) -> str:
    """Why the order cannot be followed now; empty when it can."""
    if order.epoch != cluster.epoch:
        return f"the Cluster is at epoch {cluster.epoch}"
    if server.uuid not in cluster.primary_uuids:
        return f"this data directory ({server.uuid}) is not among the known primaries"
    missing = order.required - server.executed
    if missing:
        return f"{missing.count} required transaction(s) are missing: {missing}"
    unapplied = server.received - server.executed
    if unapplied:
        return f"{unapplied.count} received transaction(s) are not applied yet"
    return ""


def _applying(view: View, cluster: ClusterFacts, server: ServerFacts) -> Plan | None:
    """What was received before this start is applied first; there is no source whose rules would start that."""
    channel = server.channel
    unapplied = server.received - server.executed
    if channel is None or channel.sql_running or not unapplied or server.uuid not in cluster.primary_uuids:
        return None
    problem = replication.broken(channel)
    if problem is not None:
        return Plan((), "replication is broken", memory=replace(view.memory, problem=problem))
    return follow.start(view, channel, StartReplication(receiver=False), "applying what was received before opening")


def in_place(view: View) -> Plan | None:
    """The server was restarted under us, or was closed while the API was away, and the Lease may still be ours."""
    cluster, server = known(view)
    if cluster.order is not None or cluster.current_primary != view.me.instance:
        return None
    if server.uuid not in cluster.primary_uuids:
        return Plan((), f"closed: this data directory ({server.uuid}) is not among the known primaries")
    if cluster.lease_holder not in ("", view.me.identity):
        return Plan((), f"closed: {cluster.lease_holder} opened last; waiting for an order to this Pod")
    if server.received - server.executed:
        return Plan((), "closed: received transactions are not applied yet")
    if view.now < view.memory.open_at:
        return Plan((), "closed: opening in place failed; trying again soon")
    return _tail(view, cluster, server) or Plan(
        (RenewLease(), ConfirmInPlace(view.stored_epoch), OpenServer()),
        "opening again in place",
        memory=replace(view.memory, problem=None),
        undo=(CloseServer(), Disarm()),
        wake=0.0,
    )


def _tail(view: View, cluster: ClusterFacts, server: ServerFacts) -> Plan | None:
    """A former primary must still have everything any reachable member received of it, its own UUID included."""
    others = tuple(name for name in cluster.instances if name != view.me.instance)
    if not others:
        return None
    asked = follow.fresh_round(view, others)
    if asked is None:
        return Plan((AskPeers(others),), "asking the others what they have received", wake=0.0)
    for name in others:
        answer = asked.answers[name]
        if isinstance(answer, Unknown) or isinstance(answer.received, Unknown):
            continue
        missing = answer.received - server.executed
        if missing:
            return Plan((), "closed: lost its tail", memory=replace(view.memory, problem=lost_tail(missing, name)))
    return None
