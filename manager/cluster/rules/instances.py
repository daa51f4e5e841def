"""Which Pod is created or removed next?

Growing: ascending, each only when all others are healthy and there is a donor; all at once in a new Cluster.
Coming back: a Pod whose volume exists is created at once. Shrinking: the highest first, one at a time, never the
primary; volumes stay.
"""

from __future__ import annotations

from cnmysql import names
from manager.actions import Action, CreateOnce, Delete
from manager.cluster import facts
from manager.cluster.brought import unusable
from manager.cluster.desired import Desired, desired, pod_input
from manager.cluster.outcome import Continue, Notice, Outcome
from manager.cluster.render import pods, volumes
from manager.cluster.rules.common import target
from manager.cluster.rules.identity import mountable
from manager.cluster.rules.routing import recorded_role
from manager.cluster.rules.volumes import usable
from manager.cluster.snapshot import Snapshot


def decide(s: Snapshot) -> Outcome:
    """At most one step of growth or shrinking per pass; Pods that only lost their object all come back at once."""
    d = desired(s)
    ended = _ended(s)
    if ended:
        return Continue(ended)
    lost = [i for i in d.members if i not in s.objects.pods and _has_volume(s, i)]
    stuck = {i: why for i in lost if (why := lacks(s, d, i))}
    back = [i for i in lost if i not in stuck]
    if back:
        return Continue(tuple(_create(s, d, i) for i in back), Notice(f"bringing back {', '.join(back)}"))
    excess = _excess(s, d) if not stuck else None
    if excess is not None:
        return excess
    return _grow(s, d, stuck)


def _has_volume(s: Snapshot, instance: str) -> bool:
    """A claim that is being deleted counts for nothing: what a new Pod would mount is on its way out."""
    claim = s.objects.volumes.get(instance)
    return claim is not None and not facts.terminating(claim)


def _ended(s: Snapshot) -> tuple[Action, ...]:
    """A Pod that its kubelet will not start again (evicted, node shut down) makes room for a new one."""
    return tuple(
        Delete(target(s, "pods", i), facts.uid(s.objects.pods[i]), "it ended and will not be started again")
        for i in facts.pods_of(s)
        if facts.pod_ended(s.objects.pods[i]) and not facts.terminating(s.objects.pods[i])
    )


def _excess(s: Snapshot, d: Desired) -> Continue | None:
    extra = [i for i in facts.pods_of(s) if i not in d.members]
    if not extra:
        return None
    going = [i for i in extra if facts.terminating(s.objects.pods[i])]
    if going:
        return Continue(notice=Notice(f"waiting for {going[-1]} to stop"))
    if s.record.change is not None:
        return Continue(notice=Notice("scaling down waits for the role change to finish"))
    victim = extra[-1]
    delete = Delete(target(s, "pods", victim), facts.uid(s.objects.pods[victim]), "the Cluster is scaled down")
    return Continue((delete,), Notice(f"removing {victim}; its volume is kept"))


def _grow(s: Snapshot, d: Desired, stuck: dict[str, str]) -> Continue:
    """One joins at a time, because a donor serves one copy at a time. The first copies of a new Cluster are tiny:
    there all are created at once, so that whoever joins is prepared by the time there is a donor to wait for.
    `stuck`: those that have a volume and wait for something, and why."""
    missing = [i for i in d.members if i not in s.objects.pods and i not in stuck]
    if not missing:
        why_not = next(iter(stuck.values()), "")
        return Continue(notice=Notice(why_not) if why_not else _kept_primary(s, d))
    if s.record.has_history:
        why = _cannot_join(s, d, missing[0])
        if why is not None:
            return Continue(notice=why)
        missing = missing[:1]
    actions: list[Action] = []
    waiting: list[Notice] = []
    for instance in missing:
        if instance in s.objects.volumes:
            waiting.append(Notice(f"{instance} waits until its deleted volume is gone"))
        elif why_waits := lacks(s, d, instance):
            waiting.append(Notice(why_waits))
        else:
            claim = volumes.claim(d.owner, instance, d.spec.storage, recorded_role(s, instance))
            actions += (CreateOnce(target(s, "volumes", instance), claim), _create(s, d, instance))
    return Continue(tuple(actions), waiting[0] if waiting else Notice(f"creating {', '.join(missing)}"))


def _cannot_join(s: Snapshot, d: Desired, instance: str) -> Notice | None:
    """Why an instance without volume cannot be added to existing data now."""
    if instance == s.record.current_primary:
        reason = (
            f"DataMissing: {instance} is the recorded primary but its volume is gone; "
            "restore the volume, or restore the Cluster from a backup"
        )
        return Notice(reason, names.PHASE_BLOCKED)
    unhealthy = [i for i in d.members if i in s.objects.pods and not facts.answers(s, i)]
    if unhealthy:
        return Notice(f"{instance} is created when {unhealthy[0]} is ready")
    if not facts.donor(s):
        return Notice(f"{instance} is created when the primary is open and ready to be copied")
    return None


def lacks(s: Snapshot, d: Desired, instance: str) -> str:
    """Why a Pod of this instance could not start, or an empty text: it would mount what is not there, or not ours."""
    if not (mountable(s, instance) and names.config_map(instance) in s.objects.config_maps):
        return f"{instance} waits for its certificates"
    claim = s.objects.volumes.get(instance)
    if claim is None or facts.terminating(claim):
        return ""
    if not usable(s, claim):
        return f"{instance} waits for a volume of this Cluster"
    secret = unusable(s, d.spec) if facts.annotation(claim, names.ANN_ADOPTED_FROM) else None
    return f"{instance} waits for the passwords that adopted data gets: {secret}" if secret is not None else ""


def _create(s: Snapshot, d: Desired, instance: str) -> CreateOnce:
    first = instance == names.instance(s.name, 1)
    claim = s.objects.volumes.get(instance)
    adopt_from = facts.annotation(claim, names.ANN_ADOPTED_FROM) if claim is not None else None
    initialise = first and not s.record.has_history
    body = pods.pod(pod_input(s, d, instance), initialise=initialise, adopt_from=adopt_from or "")
    return CreateOnce(target(s, "pods", instance), body)


def _kept_primary(s: Snapshot, d: Desired) -> Notice | None:
    primary = s.record.current_primary
    if primary in d.members and names.ordinal(primary) > d.spec.instances:
        return Notice(f"{primary} is kept because it is the primary; lower ordinals were removed instead")
    return None
