"""May anybody connect to the instances, or only those the spec names?"""

from __future__ import annotations

from cnmysql import names
from manager.actions import Delete
from manager.cluster import facts
from manager.cluster.desired import desired
from manager.cluster.outcome import Continue, Outcome
from manager.cluster.render import networkpolicies
from manager.cluster.rules.common import apply_all, target
from manager.cluster.snapshot import Snapshot


def decide(s: Snapshot) -> Outcome:
    """The policy is there exactly while the spec asks for it."""
    d = desired(s)
    if d.spec.network_policy.enabled:
        body = networkpolicies.policy(d.owner, d.spec.network_policy, s.operator_namespace)
        return Continue(tuple(apply_all(s, "network_policies", (body,))))
    name = names.network_policy(s.name)
    live = s.objects.network_policies.get(name)
    if live is None or facts.terminating(live) or not facts.owned(live, s.uid):
        return Continue()
    why = "spec.networkPolicy is not enabled"
    return Continue((Delete(target(s, "network_policies", name), facts.uid(live), why),))
