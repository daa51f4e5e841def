"""What is left of instances that are no longer part of the Cluster?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cnmysql import names
from manager.actions import Action, Delete
from manager.cluster import facts
from manager.cluster.desired import desired
from manager.cluster.outcome import Continue, Outcome
from manager.cluster.rules.common import store, target
from manager.cluster.snapshot import Snapshot

_PER_INSTANCE: Final[Mapping[str, tuple[Callable[[str], str], ...]]] = {
    "certificates": (names.certificate_server, names.certificate_peer),
    "secrets": (names.secret_server_tls, names.secret_peer_tls),
    "services": (str,),
    "config_maps": (names.config_map,),
    "service_accounts": (names.service_account,),
}
"""What we make for an instance and how it is called. Certificates before the Secrets they would fill again. Volumes
are not here: they are kept."""


def decide(s: Snapshot) -> Outcome:
    """Objects of ours for an instance that is neither wanted nor has a Pod any more. A copy that somebody made of one
    carries its labels: owner and name tell them apart."""
    kept = set(desired(s).present)
    actions: list[Action] = []
    for field, called in _PER_INSTANCE.items():
        for name, obj in store(s, field).items():
            instance = facts.label(obj, names.LABEL_INSTANCE)
            ours = facts.owned(obj, s.uid) and name in {call(instance) for call in called}
            gone = names.is_instance_of(instance, s.name) and instance not in kept
            if ours and gone and not facts.terminating(obj):
                actions.append(Delete(target(s, field, name), facts.uid(obj), f"{instance} was removed"))
    return Continue(tuple(actions))
