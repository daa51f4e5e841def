"""Who is primary? The life of `status.roleChange` (bootstrap, reopen) and of the hold on the primary Lease.

Every step is one compare-and-swap, taken only by a leader whose leadership is fresh and on reports that are
fresh. A missing report is no evidence of anything.
"""

from __future__ import annotations

from typing import Any

from cnmysql import names
from cnmysql.clock import rfc3339
from cnmysql.mysql.gtid import GtidSet
from cnmysql.protocol.report import InstanceStatus
from manager.actions import ClearHold, Commit, CreateOnce, Emit
from manager.cluster import facts
from manager.cluster.outcome import Continue, Decide, Notice, Outcome
from manager.cluster.render import lease as render
from manager.cluster.render.meta import Owner
from manager.cluster.rules import proofs
from manager.cluster.rules.common import target
from manager.cluster.snapshot import Snapshot

_SETTLE = 2.0
"""Seconds until we look again when a report may just be late."""


def decide(s: Snapshot) -> Outcome:
    """The next step of the role in force, if any."""
    if not s.leader_fresh:
        return Continue(notice=Notice("leadership is being confirmed", wake_after=1.0))
    lease = s.objects.leases.get(names.primary_lease(s.name))
    if lease is None:
        return Continue((_make_lease(s),))
    ahead = _ahead(s)
    if ahead:
        return Continue(notice=_blocked(ahead))
    if s.record.change is not None:
        return _finish(s, _holder(lease))
    if s.record.current_primary:
        return _reopen(s, lease)
    return _bootstrap(s)


def _holder(lease: dict[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _blocked(reason: str) -> Notice:
    return Notice(reason, names.PHASE_BLOCKED)


def _make_lease(s: Snapshot) -> CreateOnce:
    owner = Owner(s.name, s.namespace, s.uid)
    lease_target = target(s, "leases", names.primary_lease(s.name))
    return CreateOnce(lease_target, render.lease(owner, s.record.lease_holder))


def _ahead(s: Snapshot) -> str:
    """An instance that stored a higher epoch than the status has: the status was restored from the past."""
    for instance in facts.pods_of(s):
        report = facts.fresh_report(s, instance)
        if report is not None and report.epoch > s.record.epoch:
            return (
                f"StatusRolledBack: {instance} has stored epoch {report.epoch}, the status says {s.record.epoch}. "
                "The Cluster's status is older than its data; restore status.epoch, currentPrimary and primaryUUIDs"
            )
    return ""


def _bootstrap(s: Snapshot) -> Outcome:
    """The first opening: instance 1, freshly initialised, in a Cluster where no data is known to exist."""
    if s.record.has_history:
        return Continue(
            notice=_blocked(
                "NoPrimary: status.primaryUUIDs knows data but no instance is recorded as primary; "
                "set status.currentPrimary to the instance that has the data"
            )
        )
    first = names.instance(s.name, 1)
    if why := facts.hopeless(s, first):
        return Continue(notice=_blocked(f"{first} cannot open: {why}"))
    report = facts.fresh_report(s, first)
    if report is None or not _ready_to_open(report):
        return Continue()
    if report.problem is not None:
        return Continue(notice=_blocked(f"{report.problem.reason}: {report.problem.message}"))
    assert report.server_uuid is not None
    return _order(s, "bootstrap", first, "a new Cluster opens its first instance", server_uuid=report.server_uuid)


def _ready_to_open(report: InstanceStatus) -> bool:
    return report.mysqld.state == "running" and report.closed and not report.open and report.server_uuid is not None


def _order(
    s: Snapshot, kind: str, to: str, reason: str, *, server_uuid: str, source: str = "", required: str = ""
) -> Decide:
    """Raise the epoch and name the instance that may open, in one write."""
    epoch = s.record.epoch + 1
    patch: dict[str, Any] = {
        "epoch": epoch,
        "roleChange": {
            "epoch": epoch,
            "kind": kind,
            "from": source,
            "to": to,
            "requiredGTIDs": required,
            "stage": "ordered",
            "reason": reason,
            "since": rfc3339(s.now),
        },
    }
    if server_uuid not in s.record.primary_uuids:
        patch["primaryUUIDs"] = [*s.record.primary_uuids, server_uuid]
    why = f"{kind} of {to} under epoch {epoch}: {reason}"
    return Decide((Commit(patch, s.resource_version, why), Emit("RoleChange", why)), Notice(why))


def _finish(s: Snapshot, holder: str) -> Outcome:
    """The order is done when the instance says it is open under it, is recorded, and holds the Lease."""
    change = s.record.change
    assert change is not None
    pod = s.objects.pods.get(change.to)
    waiting = Notice(f"waiting for {change.to} to open ({change.kind}, epoch {change.epoch})")
    if pod is None:
        return Continue(notice=waiting)
    identity = names.holder_identity(change.to, facts.uid(pod))
    report = facts.fresh_report(s, change.to)
    if report is not None and report.open and report.epoch == change.epoch:
        if s.record.current_primary == change.to and holder == identity:
            why = f"{change.to} is open ({change.kind}, epoch {change.epoch})"
            patch = {"roleChange": None, "leaseHolder": identity}
            return Decide((Commit(patch, s.resource_version, why), Emit("RoleChanged", why)), Notice(why))
        return Continue(notice=waiting)
    if report is not None and report.problem is not None:
        return Continue(notice=_blocked(f"{change.to} cannot open: {report.problem.reason}: {report.problem.message}"))
    # Its own hold as well once its container has ended: the proof goes with the Pod.
    if holder and (holder != identity or proofs.ended(s, holder)):
        return _clear_foreign(s, holder)
    if why := facts.hopeless(s, change.to):
        return Continue(notice=_blocked(f"{change.to} cannot open: {why}"))
    return Continue(notice=waiting)


def _reopen(s: Snapshot, lease: dict[str, Any]) -> Outcome:
    """The recorded primary is closed: give it a new order once nobody else can be open and it has everything."""
    primary = s.record.current_primary
    pod = s.objects.pods.get(primary)
    holder = _holder(lease)
    identity = names.holder_identity(primary, facts.uid(pod)) if pod is not None else ""
    if holder and (holder != identity or proofs.closed(s, holder)):
        return _clear_foreign(s, holder)
    if why := facts.hopeless(s, primary):
        return Continue(notice=_blocked(f"{primary} stays closed: {why}"))
    report = facts.fresh_report(s, primary)
    if pod is None or facts.terminating(pod) or report is None or not _ready_to_open(report):
        return Continue()
    if report.problem is not None:
        return Continue(notice=_blocked(f"{primary} stays closed: {report.problem.reason}: {report.problem.message}"))
    if holder == identity:
        return Continue(notice=Notice(f"{primary} is about to open again by itself", wake_after=_SETTLE))
    return _judge_reopen(s, primary, report)


def _judge_reopen(s: Snapshot, primary: str, report: InstanceStatus) -> Outcome:
    if report.server_uuid not in s.record.primary_uuids:
        return Continue(
            notice=_blocked(
                f"DataMissing: {primary} runs on data of server {report.server_uuid}, which never was primary of this "
                "Cluster; give it back its own volume, or restore"
            )
        )
    if report.gtid_executed is None:
        return Continue(notice=Notice(f"waiting for the GTID set of {primary}", wake_after=_SETTLE))
    executed = GtidSet.parse(report.gtid_executed)
    required = GtidSet()
    for other in facts.pods_of(s):
        peer = facts.fresh_report(s, other) if other != primary else None
        if peer is None or peer.mysqld.state != "running" or peer.provisioning is not None:
            continue
        if peer.received is None:
            return Continue(notice=Notice(f"waiting for the received set of {other}", wake_after=_SETTLE))
        received = GtidSet.parse(peer.received)
        lost = received.subtract(executed)
        if lost:
            return Continue(
                notice=_blocked(
                    f"LostTail: {primary} lacks transactions that {other} has ({lost}); opening it would lose them. "
                    f"Restore the volume of {primary}, or copy the missing transactions from {other}"
                )
            )
        required = required.union(received)
    assert report.server_uuid is not None
    why = f"{primary} came back closed with all that its peers received"
    return _order(s, "reopen", primary, why, server_uuid=report.server_uuid, source=primary, required=str(required))


def _clear_foreign(s: Snapshot, holder: str) -> Outcome:
    """A hold by a Pod that is not the present one is taken away with a proof, never without."""
    lease = s.objects.leases[names.primary_lease(s.name)]
    proof = proofs.closed(s, holder)
    if not proof:
        instance, _, pod_uid = holder.partition("/")
        left = s.departed.get(pod_uid)
        if left is not None and s.clock - left.at < facts.CLOSING_SECONDS:
            # Its Pod was deleted by force and its manager may be closing right now: it will say so in the Lease.
            notice = Notice(f"waiting for {instance} (Pod uid {pod_uid}) to close", wake_after=facts.CLOSING_SECONDS)
            return Continue(notice=notice)
        return Continue(
            notice=_blocked(
                f"LeaseHeld: the primary Lease is held by {instance} (Pod uid {pod_uid}) and nothing proves that it "
                f"is closed: neither its own word nor its kubelet's. When you are sure that no container of that Pod "
                f"runs any more, clear spec.holderIdentity of Lease {names.primary_lease(s.name)}"
            )
        )
    lease_target = target(s, "leases", names.primary_lease(s.name))
    clear = ClearHold(lease_target, lease["metadata"]["resourceVersion"], holder, proof, s.record.epoch)
    why = f"hold of {holder} cleared under epoch {s.record.epoch}, {proof}"
    return Decide((clear, Emit("LeaseCleared", why)), Notice(why))
