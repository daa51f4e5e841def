"""Are the volumes ours, as large as wanted, and will they live as long as wanted?"""

from __future__ import annotations

from typing import Any

from cnmysql import names
from manager.actions import Action, PatchOwned
from manager.cluster import facts
from manager.cluster.desired import Desired, desired
from manager.cluster.outcome import Continue, Hold, Notice, Outcome
from manager.cluster.quantity import parse_quantity
from manager.cluster.render.meta import reference
from manager.cluster.render.volumes import deleted_with_cluster, requested_size
from manager.cluster.rules.common import target
from manager.cluster.snapshot import Json, Snapshot


def decide(s: Snapshot) -> Outcome:
    """A volume made for another Cluster is never touched until somebody says that it is meant.

    Taking over is one write: the claim becomes ours and remembers whose it was, and no Pod is created before that
    write was seen. So its first Pod is told whose data it may adopt, whenever we are interrupted.
    Before there are Pods this holds everything; later only the instance whose volume it is waits (`usable`).
    """
    d = desired(s)
    actions: list[Action] = []
    taken: list[str] = []
    foreign: list[str] = []
    for instance in d.members:
        claim = s.objects.volumes.get(instance)
        if claim is None or facts.terminating(claim):
            continue
        if facts.annotation(claim, names.ANN_ADOPT_VOLUME) == s.uid:
            patch = _taken_over(s, claim)
            taken.append(instance)
        elif facts.annotation(claim, names.ANN_CLUSTER_UID) == s.uid:
            patch = _wanted(d, claim) or _settled(s, instance, claim)
        else:
            foreign.append(_foreign(s, instance, claim))
            continue
        if patch:
            actions.append(PatchOwned(target(s, "volumes", instance), facts.uid(claim), patch))
    notice = Notice(foreign[0], names.PHASE_BLOCKED) if foreign else None
    if taken and notice is None:
        notice = Notice(f"taking over {', '.join(taken)}")
    if notice is None or facts.runs(s):
        return Continue(tuple(actions), notice)
    return Hold(notice, tuple(actions))


def usable(s: Snapshot, claim: Json) -> bool:
    """A Pod may mount it: it is ours, and whatever it was before has been noted on it."""
    ours = facts.annotation(claim, names.ANN_CLUSTER_UID) == s.uid
    return ours and facts.annotation(claim, names.ANN_ADOPT_VOLUME) != s.uid


def _taken_over(s: Snapshot, claim: Json) -> dict[str, Any]:
    """Formers add up: a Cluster that took a volume over may have gone before it put its own mark on the data."""
    earlier = (facts.annotation(claim, names.ANN_ADOPTED_FROM) or "").split(",")
    named = facts.annotation(claim, names.ANN_CLUSTER_UID)
    former = named if named and named != s.uid else names.ANY_CLUSTER
    formers = ",".join(dict.fromkeys(uid for uid in (*earlier, former) if uid))
    ours = {names.ANN_CLUSTER_UID: s.uid, names.ANN_ADOPT_VOLUME: None, names.ANN_ADOPTED_FROM: formers}
    return {"metadata": {"annotations": ours}}


def _settled(s: Snapshot, instance: str, claim: Json) -> dict[str, Any]:
    """A server runs on data of ours only: once it does, nothing is left to adopt."""
    report = facts.fresh_report(s, instance)
    if not facts.annotation(claim, names.ANN_ADOPTED_FROM) or report is None or report.mysqld.state != "running":
        return {}
    return {"metadata": {"annotations": {names.ANN_ADOPTED_FROM: None}}}


def _foreign(s: Snapshot, instance: str, claim: Json) -> str:
    former = facts.annotation(claim, names.ANN_CLUSTER_UID) or "unknown"
    return (
        f"VolumeOfAnotherCluster: volume {instance} was made for a Cluster with uid {former}. Delete it, rename the "
        f"Cluster, or take it over with: kubectl -n {s.namespace} annotate pvc {instance} "
        f"{names.ANN_ADOPT_VOLUME}={s.uid}"
    )


def _wanted(d: Desired, claim: Json) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    size = requested_size(d.spec.storage)
    present = str(claim["spec"].get("resources", {}).get("requests", {}).get("storage", "0"))
    if parse_quantity(size) > parse_quantity(present):
        patch["spec"] = {"resources": {"requests": {"storage": size}}}
    owners = claim["metadata"].get("ownerReferences") or []
    others = [o for o in owners if o.get("uid") != d.owner.uid]
    if deleted_with_cluster(d.spec.storage) != (len(others) < len(owners)):
        ours = [reference(d.owner)] if deleted_with_cluster(d.spec.storage) else []
        patch["metadata"] = {"ownerReferences": [*others, *ours]}
    return patch
