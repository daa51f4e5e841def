"""Do shared objects (Pods, volumes, Secrets) carry the labels and annotations the spec asks for?

Other people's keys stay. Which inherited keys are ours is noted on the object, so that a key removed from the
spec is removed here too.
"""

from __future__ import annotations

from cnmysql import names
from manager.actions import Action, PatchOwned
from manager.cluster import facts
from manager.cluster.desired import Desired, desired, mounted_revision, pod_input
from manager.cluster.material import parts
from manager.cluster.outcome import Continue, Outcome
from manager.cluster.render import meta
from manager.cluster.render.certificates import made_for
from manager.cluster.rules import identity
from manager.cluster.rules.common import store, target
from manager.cluster.rules.routing import recorded_role
from manager.cluster.snapshot import Json, Snapshot


def decide(s: Snapshot) -> Outcome:
    """Merge patches of our own keys only."""
    d = desired(s)
    actions: list[Action] = []
    for instance in facts.pods_of(s):
        pod = s.objects.pods[instance]
        if not facts.terminating(pod):
            revision = mounted_revision(s, pod_input(s, d, instance))
            actions += _patch(s, d, "pods", pod, instance=instance, own={names.ANN_MOUNTED_REVISION: revision})
    for name, claim in s.objects.volumes.items():
        if facts.annotation(claim, names.ANN_CLUSTER_UID) == s.uid and names.is_instance_of(name, s.name):
            actions += _patch(s, d, "volumes", claim, instance=name, own={}, instance_role=recorded_role(s, name))
    generated = _generated(s, d)
    for name, secret in s.objects.secrets.items():
        if facts.owned(secret, s.uid) or _bereft(secret, name in generated):
            actions += _patch(s, d, "secrets", secret, instance=facts.label(secret, names.LABEL_INSTANCE), own={})
    return Continue(tuple(actions))


def _patch(
    s: Snapshot, d: Desired, field: str, live: Json, *, instance: str, own: dict[str, str], instance_role: str = ""
) -> list[Action]:
    note = meta.inherited_note(d.owner, {}, {})
    annotations = meta.annotations_for(d.owner, {**own, **({names.ANN_INHERITED: note} if note else {})})
    labels = meta.labels_for(d.owner, instance=instance, role=instance_role)
    patch = meta.metadata_patch(live, labels, annotations)
    if field == "secrets" and not facts.owned(live, s.uid):
        # A list is replaced whole, so only the version that was read may be written.
        patch["resourceVersion"] = str(live["metadata"]["resourceVersion"])
        patch["ownerReferences"] = [meta.reference(d.owner)]
    if not patch:
        return []
    name = live["metadata"]["name"]
    assert name in store(s, field)
    return [PatchOwned(target(s, field, name), facts.uid(live), {"metadata": patch})]


def _generated(s: Snapshot, d: Desired) -> frozenset[str]:
    """Secrets that this spec has us make, or cert-manager for us."""
    p = parts(s, d)
    authority = [names.secret_ca(s.name)] if p.own_authority else []
    passwords = (body["metadata"]["name"] for body in identity.passwords(d))
    return frozenset((*passwords, *authority, *(leaf.secret for leaf in p.kept)))


def _bereft(secret: Json, generated: bool) -> bool:
    """One of ours that somebody made again without its owner. A copy under another name has the labels too and is not
    ours, and neither is what belongs to somebody. What cert-manager made again has a rule of its own (`certificates`).
    """
    return generated and not secret["metadata"].get("ownerReferences") and not made_for(secret)
