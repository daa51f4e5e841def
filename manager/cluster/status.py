"""The observed part of `Cluster.status`: one merge patch per pass, only of what differs, and Events on transitions.

The operator owns everything in the status except currentPrimary and its timestamp. The fields that decide roles
(epoch, roleChange, leaseHolder, primaryUUIDs) are written only by the commits of the roles rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cnmysql import names
from cnmysql.clock import rfc3339
from manager.actions import Action, Emit, PatchStatus
from manager.cluster import facts, mirror, space, validity
from manager.cluster.image import in_force
from manager.cluster.outcome import Condition, Notice
from manager.cluster.rules import accounts, configuration
from manager.cluster.snapshot import Json, Malformed, Snapshot, Unreachable
from manager.cluster.validity import Validity


@dataclass(frozen=True)
class Verdict:
    phase: str
    reason: str
    actions: tuple[Action, ...]
    wake_after: float | None = None


def decide(s: Snapshot, notices: tuple[Notice, ...], *, held: bool) -> Verdict:
    """Phase, reason and the patch that brings the stored status up to what is seen now. `held`: the spec is not being
    carried out, so nothing of it is recorded as accepted."""
    if s.deleting or _is_still_listening(s):
        return Verdict("", "", ())
    applied = configuration.condition(s)
    phase, reason = _phase(s, notices, applied)
    certificates, room = validity.assess(s), space.condition(s)
    wanted = _fields(s, phase, reason)
    wanted["certificates"] = validity.status(s, certificates)
    said = {
        names.CONDITION_CERTIFICATES: certificates,
        names.CONDITION_ACCOUNTS: accounts.condition(s),
        names.CONDITION_PARAMETERS: applied,
        names.CONDITION_STORAGE: room,
    }
    wanted["conditions"] = _conditions(s, phase, reason, said)
    if not isinstance(s.spec, Malformed) and not held:
        wanted["image"] = in_force(s, s.spec.image_name)
    progress, wake_after = mirror.provisioning(s)
    wanted["provisioning"] = progress
    turns = certificates.wake_after if certificates is not None else None
    wake_after = min((w for w in (wake_after, turns) if w is not None), default=None)
    patch = {k: v for k, v in wanted.items() if _differs(s.status.get(k), v)}
    if not patch:
        return Verdict(phase, reason, (), wake_after)
    patch |= mirror.positions(s)
    actions: list[Action] = [PatchStatus(_replace_maps(s.status, patch), s.resource_version)]
    if s.status.get("phase") != phase:
        actions.append(Emit(phase, reason or f"the Cluster is {phase}", warning=phase in names.WARNING_PHASES))
    if certificates is not None:
        actions += validity.events(s, certificates)
    actions += configuration.events(s, applied)
    actions += space.events(s, room)
    return Verdict(phase, reason, tuple(actions), wake_after)


def _is_still_listening(s: Snapshot) -> bool:
    """We have just begun to follow an instance and know neither that it answers nor that it does not.

    After a start of the operator this is so for all instances; what the status says stays until we have listened.
    """
    addressed = [i for i in facts.pods_of(s) if (s.objects.pods[i].get("status") or {}).get("podIP")]
    ended = [i for i in addressed if facts.pod_ended(s.objects.pods[i])]
    return bool(s.status.get("phase")) and any(i not in s.observations and i not in ended for i in addressed)


def _differs(have: object, want: object) -> bool:
    return have != want and not (have is None and want in (None, [], {}, ""))


def _replace_maps(status: Json, patch: Json) -> Json:
    """A merge patch adds keys to a map; keys that are gone have to be named with null."""
    result = dict(patch)
    for key, value in patch.items():
        have = status.get(key)
        if isinstance(value, dict) and isinstance(have, dict):
            result[key] = _replace_maps(have, {**{k: None for k in have if k not in value}, **value})
    return result


def _phase(s: Snapshot, notices: tuple[Notice, ...], applied: Condition | None) -> tuple[str, str]:
    """The first notice with a phase of its own decides; otherwise what is observed, explained by the first notice."""
    for notice in notices:
        if notice.phase:
            return notice.phase, notice.reason
    phase = _observed(s)
    if phase == names.PHASE_READY:
        return phase, next((n.reason for n in notices if "kept because" in n.reason), _refused_parameters(applied))
    said = [n.reason for n in notices if n.reason]
    return phase, said[0] if said else _why_not_ready(s)


def _refused_parameters(applied: Condition | None) -> str:
    """The database serves, and not as its spec asks."""
    return applied.message if applied is not None and applied.reason == names.PARAMETER_REJECTED else ""


def _observed(s: Snapshot) -> str:
    members = _members(s)
    ready = _ready(s, members)
    if mirror.disk_full(s):
        return names.PHASE_DISK_FULL
    if mirror.diverged(s):
        return names.PHASE_DEGRADED
    if members and len(ready) == len(members) and s.record.change is None:
        return names.PHASE_READY
    if s.status.get("establishedAt"):
        return names.PHASE_PROVISIONING if _is_growing(s, members, ready) else names.PHASE_DEGRADED
    return names.PHASE_PROVISIONING if ready else names.PHASE_PENDING


def _is_growing(s: Snapshot, members: tuple[str, ...], ready: list[str]) -> bool:
    """Nothing is wrong, there are only instances on their way that have not been ready yet.

    It begins with an edit of the spec and lasts until all are ready; what is degraded stays so until then.
    """
    edited = s.status.get("observedGeneration") != s.generation
    growing = s.status.get("phase") == names.PHASE_PROVISIONING
    return (edited or growing) and facts.donor(s) and all(i in ready or _is_coming(s, i) for i in members)


def _is_coming(s: Snapshot, instance: str) -> bool:
    pod = s.objects.pods.get(instance)
    if pod is None:
        return True
    report = facts.fresh_report(s, instance)
    unwell = report is not None and (report.problem is not None or bool(report.errant))
    return not facts.terminating(pod) and not facts.stuck(s, instance) and not unwell


def _why_not_ready(s: Snapshot) -> str:
    for instance in _members(s):
        if facts.healthy(s, instance):
            continue
        pod = s.objects.pods.get(instance)
        if pod is None:
            return f"{instance} has no Pod"
        stuck = facts.stuck(s, instance)
        if stuck:
            return f"{instance} is not ready: {stuck}"
        report = facts.fresh_report(s, instance)
        if report is None:
            silence = s.observations.get(instance)
            why = f" ({silence.reason})" if isinstance(silence, Unreachable) else ""
            return f"{instance} is not ready: no word from its instance manager{why}"
        if report.problem is not None:
            return f"{instance} is not ready: {report.problem.reason}: {report.problem.message}"
        if report.provisioning is not None:
            return f"{instance} is being provisioned"
        if report.is_ready:
            return f"{instance} is not ready: its readiness probe has not passed yet"
        return f"{instance} is not ready: {report.not_ready_reason or f'mysqld is {report.mysqld.state}'}"
    return ""


def _members(s: Snapshot) -> tuple[str, ...]:
    if isinstance(s.spec, Malformed):
        return tuple(facts.pods_of(s))
    return facts.wanted(s, s.spec.instances)


def _ready(s: Snapshot, members: Iterable[str]) -> list[str]:
    """Ready instances; one that ought to be primary counts only while it is open."""
    ready = []
    for instance in members:
        report = facts.fresh_report(s, instance)
        primary = instance == s.record.current_primary
        if facts.healthy(s, instance) and (not primary or (report is not None and report.open)):
            ready.append(instance)
    return ready if s.record.current_primary else []


def _fields(s: Snapshot, phase: str, reason: str) -> dict[str, Any]:
    members = _members(s)
    ready = _ready(s, members)
    present = facts.pods_of(s)
    fields: dict[str, Any] = {
        "instances": len(present),
        "readyInstances": len(ready),
        "instanceNames": present,
        "labelSelector": f"{names.LABEL_CLUSTER}={s.name}",
        "latestGeneratedNode": max(
            [int(s.status.get("latestGeneratedNode") or 0), *(names.ordinal(i) for i in present)]
        ),
        "phase": phase,
        "phaseReason": reason,
        "divergedInstances": mirror.diverged(s),
        "replicationBrokenInstances": mirror.sticky(s, "replicationBrokenInstances", {"ReplicationBroken"}),
        "failedInstances": [i for i in present if facts.stuck(s, i)],
        "resizingPVC": mirror.resizing(s),
        "observedGeneration": s.generation,
        "executableHashByInstance": mirror.hashes(s),
        "operatorExecutableHash": s.tree_digest,
    }
    if phase == names.PHASE_READY and not s.status.get("establishedAt"):
        fields["establishedAt"] = rfc3339(s.now)
    return fields


def _conditions(s: Snapshot, phase: str, reason: str, said: Mapping[str, Condition | Validity | None]) -> list[Json]:
    """Those of the phase, and `said` by type; one of which nothing can be said stays as it is stored."""
    established = bool(s.status.get("establishedAt"))
    ready = phase == names.PHASE_READY
    blocked = phase == names.PHASE_BLOCKED
    wanted = {
        names.CONDITION_READY: (ready, phase, reason),
        names.CONDITION_PROGRESSING: (not ready and not blocked, phase, reason),
        names.CONDITION_DEGRADED: (phase == names.PHASE_DEGRADED or (blocked and established), phase, reason),
    }
    wanted |= {kind: (found.holds, found.reason, found.message) for kind, found in said.items() if found is not None}
    before = {c["type"]: c for c in s.status.get("conditions") or ()}
    ours = [_condition(s, before.get(kind), kind, said) for kind, said in wanted.items()]
    kept = [c for kind, c in before.items() if kind not in wanted]
    return [*ours, *kept]


def _condition(s: Snapshot, before: Json | None, kind: str, said: tuple[bool, str, str]) -> Json:
    holds, reason, message = said
    state = "True" if holds else "False"
    changed = before is None or before.get("status") != state
    since = rfc3339(s.now) if changed or before is None else before["lastTransitionTime"]
    return {
        "type": kind,
        "status": state,
        "reason": reason,
        "message": message,
        "observedGeneration": s.generation,
        "lastTransitionTime": since,
    }
