"""Which running Pod is replaced next because its template changed?

Replicas first, ascending, the primary last; never two at once and never one while another is not healthy. A Pod
that cannot become Ready may be replaced out of turn by a newer template: that is how a mistake is corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnmysql import names
from manager.actions import Delete
from manager.cluster import facts
from manager.cluster.desired import Desired, desired, pod_input
from manager.cluster.outcome import Continue, Notice, Outcome
from manager.cluster.render.pods import bootstrap_hash, template_hash
from manager.cluster.rules.common import target
from manager.cluster.rules.instances import lacks
from manager.cluster.snapshot import Snapshot


@dataclass(frozen=True)
class Next:
    """`instance` is empty when nothing is replaced now; `reason` then says what is waited for."""

    instance: str = ""
    reason: str = ""
    pending: int = 0


def decide(s: Snapshot) -> Outcome:
    """Delete one Pod; it comes back on its volume with the new template."""
    found = next_victim(s, desired(s))
    if not found.pending:
        return Continue()
    notice = Notice(found.reason, names.PHASE_UPGRADING)
    if not found.instance:
        return Continue(notice=notice)
    pod = s.objects.pods[found.instance]
    return Continue((Delete(target(s, "pods", found.instance), facts.uid(pod), "its template changed"),), notice)


def next_victim(s: Snapshot, d: Desired) -> Next:
    """None whose successor could not start: it would be gone for good."""
    found = _next(s, d)
    why = lacks(s, d, found.instance) if found.instance else ""
    return Next(reason=f"the new template waits: {why}", pending=found.pending) if why else found


def _next(s: Snapshot, d: Desired) -> Next:
    """Judged on the Pods that exist; a missing Pod is created with the new template anyway."""
    running = [i for i in d.members if i in s.objects.pods]
    outdated = [i for i in running if _outdated(s, d, i)]
    current_broken = [i for i in running if i not in outdated and not facts.healthy(s, i)]
    if not outdated:
        return Next()
    pending = len(outdated)
    absent = [i for i in d.members if i not in s.objects.pods]
    leaving = [i for i in facts.pods_of(s) if facts.terminating(s.objects.pods[i])]
    if leaving:
        return Next(reason=f"the new template waits until {leaving[0]} is back", pending=pending)
    for instance in (i for i in outdated if not facts.healthy(s, i)):
        why = facts.stuck(s, instance)
        if why:
            # Before everything that is waited for below: it may all be waiting for this Pod.
            return Next(instance, f"replacing {instance}, which cannot start ({why})", pending)
    if absent and s.record.has_history:
        return Next(reason=f"the new template waits until {absent[0]} is back", pending=pending)
    if current_broken:
        stuck = facts.stuck(s, current_broken[0])
        because = f" ({stuck})" if stuck else ""
        reason = f"the new template stops at {current_broken[0]}, which is not ready{because}"
        return Next(reason=reason, pending=pending)
    if s.record.change is not None and s.record.current_primary:
        return Next(reason="the new template waits for the role change to finish", pending=pending)
    return _choose(s, outdated)


def _choose(s: Snapshot, outdated: list[str]) -> Next:
    pending = len(outdated)
    sick = [i for i in outdated if not facts.healthy(s, i)]
    if sick:
        return Next(reason=f"the new template waits until {sick[0]} is ready", pending=pending)
    replicas = [i for i in outdated if i != s.record.current_primary]
    instance = replicas[0] if replicas else outdated[0]
    return Next(instance, f"replacing {instance} by one with the new template", pending)


def _outdated(s: Snapshot, d: Desired, instance: str) -> bool:
    """How its database was first made matters to a Pod until it has been made."""
    pod, wanted = s.objects.pods[instance], pod_input(s, d, instance)
    if facts.annotation(pod, names.ANN_POD_TEMPLATE_HASH) != template_hash(wanted):
        return True
    made_from = facts.annotation(pod, names.ANN_BOOTSTRAP_HASH)
    return bool(made_from) and not s.record.has_history and made_from != bootstrap_hash(wanted)
