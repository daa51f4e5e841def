"""Which Pods do the routing Services reach, and as what? Every Pod is judged on its own."""

from __future__ import annotations

from cnmysql import names
from manager.actions import Action, Emit, PatchOwned
from manager.cluster import facts
from manager.cluster.outcome import Continue, Outcome
from manager.cluster.rules.common import target
from manager.cluster.snapshot import Snapshot


def decide(s: Snapshot) -> Outcome:
    """`role` follows the opening of the recorded primary; `routable` stays on while the data can be trusted."""
    actions: list[Action] = []
    for instance in facts.pods_of(s):
        pod = s.objects.pods[instance]
        want = {names.LABEL_ROLE: role(s, instance), names.LABEL_ROUTABLE: _routable(s, instance)}
        changed = {k: v for k, v in want.items() if facts.label(pod, k) != v}
        if changed:
            actions.append(PatchOwned(target(s, "pods", instance), facts.uid(pod), {"metadata": {"labels": changed}}))
    return Continue((*actions, *_unrouted(s)))


def _unrouted(s: Snapshot) -> tuple[Action, ...]:
    """No client reaches a Pod that only carries our labels. Admission refuses them; it may not have been there."""
    actions: list[Action] = []
    for pod in s.strangers:
        carried = {
            k: None for k in (names.LABEL_INSTANCE, names.LABEL_ROLE, names.LABEL_ROUTABLE) if facts.label(pod, k)
        }
        if not carried:
            continue
        name = str(pod["metadata"]["name"])
        actions.append(PatchOwned(target(s, "pods", name), facts.uid(pod), {"metadata": {"labels": carried}}))
        actions.append(Emit("StrangerUnrouted", f"Pod {name} is none of ours; its routing labels were removed", True))
    return tuple(actions)


def role(s: Snapshot, instance: str) -> str:
    """Primary from the moment it is open; a Pod that was labelled so keeps it through a restart in place.

    While it is closed it is not Ready, so no client reaches it whatever its label says.
    """
    if instance != s.record.current_primary:
        return names.ROLE_REPLICA
    if s.record.change is not None and s.record.change.to != instance:
        return names.ROLE_REPLICA
    report = facts.fresh_report(s, instance)
    if report is not None and report.open:
        return names.ROLE_PRIMARY
    pod = s.objects.pods.get(instance)
    labelled = pod is not None and facts.label(pod, names.LABEL_ROLE) == names.ROLE_PRIMARY
    return names.ROLE_PRIMARY if labelled else names.ROLE_REPLICA


def recorded_role(s: Snapshot, instance: str) -> str:
    """For the objects around a Pod: the record alone, so that a restart moves no label."""
    return names.ROLE_PRIMARY if instance == s.record.current_primary else names.ROLE_REPLICA


def _routable(s: Snapshot, instance: str) -> str:
    """An instance with transactions of its own is taken out; without a fresh word the label stays as it is."""
    report = facts.fresh_report(s, instance)
    if report is None:
        return facts.label(s.objects.pods[instance], names.LABEL_ROUTABLE) or "true"
    diverged = report.problem is not None and report.problem.reason in {"Diverged", "LostTail"}
    return "false" if diverged or report.errant else "true"
