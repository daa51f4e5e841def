"""Snapshots for tests: a Cluster that a simulated world brought to Ready, and small changes to it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from manager.cluster.observe import read_spec
from manager.cluster.snapshot import Report, Snapshot, Unreachable, record
from tests.sim.operator_world import World
from tests.support.merge_patch import merge_patch

Json = dict[str, Any]
SPEC: Json = {"instances": 3, "storage": {"size": "1Gi"}}


@cache
def ready(instances: int = 3) -> Snapshot:
    """A Ready Cluster `shop/db` with this many instances."""
    world = World({**SPEC, "instances": instances})
    world.settle()
    assert world.phase == "Ready"
    return world.snapshot()


@cache
def new() -> Snapshot:
    """A Cluster nothing was made for yet."""
    return World(SPEC).snapshot()


def spec(s: Snapshot, **changes: Any) -> Snapshot:
    """With a spec changed by a merge patch."""
    meta = {**s.cluster["metadata"], "generation": s.generation + 1}
    cluster = {**s.cluster, "spec": merge_patch(s.cluster["spec"], changes), "metadata": meta}
    return replace(s, cluster=cluster, spec=read_spec(cluster))


def status(s: Snapshot, **changes: Any) -> Snapshot:
    """With a status changed by a merge patch."""
    changed = merge_patch(s.status, changes)
    return replace(s, cluster={**s.cluster, "status": changed}, record=record(changed))


def objects(s: Snapshot, field: str, **changes: Json | None) -> Snapshot:
    """With objects of one kind merge-patched (None removes). Names use `_` for `-`."""
    store: dict[str, Json] = dict(getattr(s.objects, field))
    for key, change in changes.items():
        name = key.replace("_", "-")
        if change is None:
            del store[name]
        else:
            store[name] = merge_patch(store.get(name, {"metadata": {"name": name, "uid": f"uid-{name}"}}), change)
    return replace(s, objects=replace(s.objects, **{field: store}))


def pod(s: Snapshot, name: str, change: Json | None) -> Snapshot:
    return objects(s, "pods", **{name: change})


def lease(s: Snapshot, holder: str) -> Snapshot:
    return objects(s, "leases", **{f"{s.name}-primary": {"spec": {"holderIdentity": holder}}})


def says(s: Snapshot, instance: str, **changes: Any) -> Snapshot:
    """With another report of one instance."""
    report = s.observations[instance]
    assert isinstance(report, Report)
    return replace(
        s,
        observations={**s.observations, instance: Report(report.status.model_copy(update=changes), report.seen)},
    )


def silent(s: Snapshot, *instances: str) -> Snapshot:
    """Without a stream to these instances."""
    gone = {i: Unreachable(s.clock - 1, "connection refused") for i in instances}
    return replace(s, observations={**s.observations, **gone})


def pod_uid(s: Snapshot, instance: str) -> str:
    return str(s.objects.pods[instance]["metadata"]["uid"])
