"""Is there still a Cluster to look after, and is the ground clear of its predecessor?"""

from __future__ import annotations

from collections.abc import Sequence

from manager.actions import Delete, Target
from manager.cluster import facts
from manager.cluster.kinds import BY_KIND
from manager.cluster.outcome import Continue, Notice, Outcome, Stop
from manager.cluster.render.certificates import CERT_MANAGER, made_for
from manager.cluster.snapshot import Json, Snapshot


def deletion(s: Snapshot) -> Outcome:
    """Every object of ours names the Cluster as its owner; nothing has to be done and nothing may be created."""
    return Stop(Notice("the Cluster is being deleted")) if s.deleting else Continue()


def leftovers(s: Snapshot) -> Outcome:
    """Objects owned by a former Cluster of the same name are removed at once instead of waiting for the collector.

    Certificates go before their Secrets: cert-manager would make these again, as nobody's, and they would be in our
    way for good. A Cluster that runs does not wait for one that lingers: it has its own, and takes nobody's name.
    """
    if not s.leftovers:
        return Continue()
    certified = any(kind == "Certificate" for kind, _ in s.leftovers)
    deletes = removed(s.namespace, [(k, obj) for k, obj in s.leftovers if not (k == "Secret" and certified)])
    first = s.leftovers[0]
    notice = Notice(f"waiting for {first[0]} {first[1]['metadata']['name']} of a former Cluster of this name to go")
    return Continue(deletes, notice) if facts.runs(s) else Stop(notice, deletes)


def removed(namespace: str, objects: Sequence[tuple[str, Json]]) -> tuple[Delete, ...]:
    """Objects (kind, object) of a Cluster that is gone. One without an owner that cert-manager made, and whoever else
    wrote to it, may be somebody's copy of a key: only what cert-manager alone has written is deleted.
    """
    return tuple(
        Delete(
            Target(BY_KIND[kind], namespace, obj["metadata"]["name"]),
            obj["metadata"]["uid"],
            "it belongs to a former Cluster of this name",
            made_by=CERT_MANAGER if made_for(obj) else "",
        )
        for kind, obj in objects
        if not facts.terminating(obj)
    )
