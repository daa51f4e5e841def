"""Does every instance have its name, and do clients have theirs?"""

from __future__ import annotations

from manager.cluster.desired import desired
from manager.cluster.outcome import Continue, Outcome
from manager.cluster.render import services
from manager.cluster.rules.common import apply_all
from manager.cluster.rules.routing import recorded_role
from manager.cluster.snapshot import Snapshot


def decide(s: Snapshot) -> Outcome:
    """Headless Services before Pods, so that names resolve from the first moment."""
    d = desired(s)
    bodies = [*services.routing(d.owner), *(services.headless(d.owner, i, recorded_role(s, i)) for i in d.present)]
    return Continue(tuple(apply_all(s, "services", bodies)))
