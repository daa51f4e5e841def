"""What an instance does next: one pure pass from View to Plan. The safety order is the order of RULES.

Opening and closing follow docs/high-availability.md: at no instant are two instances of a Cluster open. So every
rule that closes stands before every rule that opens, and what closes needs less to be known than what opens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from instance.role import follow, idle, opening, timing
from instance.role.actions import (
    Action,
    CloseServer,
    Disarm,
    KillServer,
    Leave,
    ReleaseLease,
    RestLease,
    StopReplication,
    StoreEpoch,
)
from instance.role.judge import called_closed, known, may_be_open, ordered_away
from instance.role.outcome import Plan
from instance.role.view import ClusterFacts, ServerFacts, Unknown, View

_SHUT: Final[tuple[Action, ...]] = (CloseServer(), Disarm())
_SHUT_AND_RELEASE: Final[tuple[Action, ...]] = (*_SHUT, ReleaseLease())


@dataclass(frozen=True)
class Rule:
    """`decide` returns a plan, or None to pass the question on."""

    decide: Callable[[View], Plan | None]
    why: str


def plan(view: View) -> Plan:
    """The first rule that has an answer decides."""
    for rule in RULES:
        decided = rule.decide(view)
        if decided is not None:
            return idle.used(view, replace(decided, rule=rule.decide.__name__.lstrip("_")))
    raise AssertionError("the last rule always answers")


def _replaced(view: View) -> Plan | None:
    if not view.pod_replaced:
        return None
    return _leave(view, "another Pod of this instance has taken over its volume")


def _unguarded(view: View) -> Plan | None:
    if view.watchdog_alive:
        return None
    return _leave(view, "the watchdog process died")


def _leave(view: View, reason: str) -> Plan:
    """Close, clear the hold if the API server answers, and go in any case."""
    shut = _SHUT_AND_RELEASE if may_be_open(view) else (Disarm(), ReleaseLease())
    return Plan((*shut, Leave(reason)), f"leaving: {reason}", undo=(Leave(reason),))


def _undead(view: View) -> Plan | None:
    if not view.mysqld.undead:
        return None
    return Plan((RestLease(),), "mysqld was killed and does not die: the volume hangs", wake=timing.TICK)


def _dead(view: View) -> Plan | None:
    if view.mysqld.state == "running" or not view.lease.armed:
        return None
    return Plan((Disarm(),), "mysqld died", wake=0.0)


def _lease_lost(view: View) -> Plan | None:
    if not (may_be_open(view) and view.lease.lost):
        return None
    return Plan(_SHUT, f"closing: the primary Lease is lost: {view.lease.lost}", wake=0.0)


def _lease_late(view: View) -> Plan | None:
    sent = view.lease.sent
    if not may_be_open(view) or (sent is not None and view.now - sent < timing.CLOSE_AFTER):
        return None
    age = "never" if sent is None else f"{view.now - sent:.1f} s ago"
    return Plan(_SHUT, f"closing: the primary Lease was last renewed {age}", wake=0.0)


def _shutdown(view: View) -> Plan | None:
    if view.stopping != "closing":
        return None
    actions: list[Action] = []
    server = view.server
    if may_be_open(view) or (isinstance(server, ServerFacts) and not server.closed):
        actions += _SHUT
    if isinstance(server, ServerFacts) and server.channel is not None and server.channel.any_running:
        actions.append(StopReplication())
    if view.lease.held:
        actions.append(ReleaseLease())
    return Plan(tuple(actions), "closed for shutdown", wake=timing.TICK if not actions else 0.0, settled=not actions)


def _called(view: View) -> Plan | None:
    if not called_closed(view):
        return None
    if may_be_open(view):
        return Plan(_SHUT_AND_RELEASE, f"closing: called under epoch {view.close_epoch}", wake=0.0)
    if view.lease.held:
        return Plan((ReleaseLease(),), f"closed: called under epoch {view.close_epoch}", wake=0.0)
    cluster = view.cluster
    if isinstance(cluster, ClusterFacts) and ordered_away(view) and cluster.current_primary != view.me.instance:
        return None
    return Plan((), f"closed: called under epoch {view.close_epoch}; waiting for an order")


def _away(view: View) -> Plan | None:
    if not (ordered_away(view) and may_be_open(view)):
        return None
    return Plan(_SHUT, f"closing: {_named(view)}", wake=0.0)


def _new_epoch(view: View) -> Plan | None:
    if isinstance(view.cluster, Unknown) or view.cluster.epoch <= view.stored_epoch:
        return None
    return Plan((StoreEpoch(view.cluster.epoch),), f"storing epoch {view.cluster.epoch}", wake=0.0)


def _clear(view: View) -> Plan | None:
    """A hold left from when we were open is cleared, which is our word that we are closed."""
    if not (ordered_away(view) and (view.lease.held or view.lease.armed)):
        return None
    return Plan((Disarm(), ReleaseLease()), f"closed: {_named(view)}", wake=0.0)


def _named(view: View) -> str:
    assert isinstance(view.cluster, ClusterFacts)
    order = view.cluster.order
    name = (order.to or "nobody yet") if order else (view.cluster.current_primary or "nobody")
    return f"epoch {view.cluster.epoch} names {name}"


def _down(view: View) -> Plan | None:
    return Plan((), "mysqld is not running") if view.mysqld.state != "running" else None


def _hung(view: View) -> Plan | None:
    silent = view.now - view.silent_since
    if silent < timing.HUNG_AFTER:
        return None
    return Plan((KillServer(), Disarm()), f"mysqld has not answered for {silent:.0f} s: killed", wake=0.0)


def _silent(view: View) -> Plan | None:
    return Plan((), f"mysqld does not answer yet: {view.server.why}") if isinstance(view.server, Unknown) else None


def _unseen(view: View) -> Plan | None:
    return Plan((), f"the Cluster is not known yet: {view.cluster.why}") if isinstance(view.cluster, Unknown) else None


def _rolled_back(view: View) -> Plan | None:
    cluster, _ = known(view)
    if cluster.epoch >= view.stored_epoch:
        return None
    return Plan((), f"the status shows epoch {cluster.epoch}, but this instance has seen {view.stored_epoch}")


def _stays_away(view: View) -> Plan | None:
    cluster, _ = known(view)
    if ordered_away(view) and cluster.current_primary == view.me.instance:
        return Plan((), f"closed: {_named(view)}")
    return None


def _draining(view: View) -> Plan | None:
    return Plan((), "waiting for running transactions before shutdown") if view.stopping == "draining" else None


RULES: Final[tuple[Rule, ...]] = (
    Rule(_replaced, "two Pods never share a data directory: the older one closes and goes"),
    Rule(_unguarded, "without a watchdog a frozen manager could keep an open server alive"),
    Rule(_undead, "a server that cannot be killed must not look alive through our renewals"),
    Rule(_dead, "a dead mysqld is closed and the next one boots closed: the watchdog must not kill that"),
    Rule(_lease_lost, "whoever is not the holder is not open"),
    Rule(_lease_late, "without a renewal the others may soon presume us gone"),
    Rule(_shutdown, "SIGTERM: nothing is opened any more, the hold is cleared"),
    Rule(_called, "the operator's call to close holds until an order of that epoch or later"),
    Rule(_away, "named is somebody else, or nobody: closing cannot wait for the epoch to be stored"),
    Rule(_new_epoch, "an epoch is on disk before anything else is done or said under it"),
    Rule(_clear, "the hold is cleared once closed, which is the proof the operator waits for"),
    Rule(_down, "nothing below can be done without mysqld"),
    Rule(_hung, "a server that answered and went silent is restarted"),
    Rule(_silent, "nothing below can be judged without the server's own state"),
    Rule(_unseen, "nothing below can be judged without the Cluster"),
    Rule(_rolled_back, "an epoch below the stored one is not obeyed"),
    Rule(_stays_away, "a primary that is being replaced neither opens nor follows"),
    Rule(_draining, "no role begins on the way down"),
    Rule(opening.is_open, "the steady primary"),
    Rule(opening.ordered, "the only way to become primary"),
    Rule(opening.in_place, "the only way to open without an order: same Pod, own hold, nothing lost"),
    Rule(follow.no_primary, "before the first primary exists there is nothing to follow"),
    Rule(follow.untested, "received transactions are compared with the source's before anything of it is applied"),
    Rule(follow.diverged, "a diverged instance neither replicates nor serves"),
    Rule(follow.repoint, "the channel leads to the current primary"),
    Rule(follow.broken, "what a restart cannot heal is left for a human"),
    Rule(follow.stopped, "threads that stopped for a passing reason are started again, ever more slowly"),
    Rule(follow.renewed_credentials, "a receiver keeps its old certificate until it connects again"),
    Rule(follow.serve, "a following replica takes readers"),
    Rule(follow.steady, "the steady replica"),
)
