"""The order in which questions about a Cluster are asked. This tuple is the only place where that order lives."""

from __future__ import annotations

from typing import Final

from manager.actions import Action, Plan
from manager.cluster import status
from manager.cluster.outcome import Continue, Decide, Hold, Notice, Row, Stop
from manager.cluster.rules import (
    accounts,
    certificates,
    cleanup,
    configuration,
    identity,
    instances,
    lifecycle,
    metadata,
    network,
    roles,
    rollout,
    routing,
    services,
    validation,
    volumes,
)
from manager.cluster.snapshot import Snapshot

RULES: Final[tuple[Row, ...]] = (
    Row("deletion", lifecycle.deletion, "the garbage collector owns a Cluster that is being deleted", guards=True),
    Row("leftovers", lifecycle.leftovers, "objects of a former Cluster of this name must go before ours can be made"),
    Row("validation", validation.decide, "nothing is built from a spec that cannot work; what runs is kept running"),
    Row(
        "roles",
        roles.decide,
        "who may write is settled before anything else changes, even under a bad spec",
        guards=True,
    ),
    Row("routing", routing.decide, "clients follow the roles that were just read", guards=True),
    Row("accounts", accounts.decide, "a changed password must not wait for anything but the roles", guards=True),
    Row(
        "certificates",
        certificates.decide,
        "nothing connects without them; what lacks them stops what does not run yet",
    ),
    Row("identity", identity.decide, "Pods mount Secrets and use accounts that must exist before them"),
    Row("volumes", volumes.decide, "no Pod touches a foreign volume; in a new Cluster one stops everything"),
    Row("services", services.decide, "instances find each other by the names of their Services"),
    Row("network", network.decide, "no Pod runs a moment without the walls its spec asks for"),
    Row("configuration", configuration.decide, "a Pod mounts its my.cnf; a running one gets what it can take live"),
    Row("metadata", metadata.decide, "labels and annotations follow the spec without any restart"),
    Row("instances", instances.decide, "Pods are created, brought back and removed one step at a time"),
    Row("rollout", rollout.decide, "running Pods are replaced only when nothing is missing and all are healthy"),
    Row("cleanup", cleanup.decide, "what belonged to a removed instance goes after its Pod has gone"),
)


def plan(s: Snapshot) -> Plan:
    """Ask the rules in order and add the one status write of the pass."""
    actions: list[Action] = []
    notices: list[Notice] = []
    held = False
    for row in RULES:
        if held and not row.guards:
            continue
        outcome = row.decide(s)
        if isinstance(outcome, Decide):
            return Plan(outcome.actions, wake_after=outcome.notice.wake_after, reason=outcome.notice.reason)
        actions.extend(outcome.actions)
        if outcome.notice is not None:
            notices.append(outcome.notice)
        if isinstance(outcome, Hold):
            held = True
        elif isinstance(outcome, Stop):
            break
        else:
            assert isinstance(outcome, Continue)
    verdict = status.decide(s, tuple(notices), held=held)
    return Plan(
        (*actions, *verdict.actions),
        wake_after=_soonest(*(n.wake_after for n in notices), verdict.wake_after),
        phase=verdict.phase,
        reason=verdict.reason,
        notes=tuple(n.reason for n in notices),
    )


def _soonest(*times: float | None) -> float | None:
    return min((t for t in times if t is not None), default=None)
