"""What is left of instances that are no longer part of the Cluster?"""

from __future__ import annotations

from typing import Final

from cnmysql import names
from manager.actions import Action, Delete
from manager.cluster import facts
from manager.cluster.desired import desired
from manager.cluster.outcome import Continue, Outcome
from manager.cluster.rules.common import store, target
from manager.cluster.snapshot import Snapshot

_PER_INSTANCE: Final = ("certificates", "secrets", "services", "config_maps", "service_accounts")
"""Certificates before the Secrets they would fill again. Volumes are not here: they are kept."""


def decide(s: Snapshot) -> Outcome:
    """Objects labelled with an instance that is neither wanted nor has a Pod any more."""
    kept = set(desired(s).present)
    actions: list[Action] = []
    for field in _PER_INSTANCE:
        for name, obj in store(s, field).items():
            instance = facts.label(obj, names.LABEL_INSTANCE)
            if names.is_instance_of(instance, s.name) and instance not in kept and not facts.terminating(obj):
                actions.append(Delete(target(s, field, name), facts.uid(obj), f"{instance} was removed"))
    return Continue(tuple(actions))
