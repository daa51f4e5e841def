"""One pass: what is done with plans that fail, and who is told about what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cnmysql import names
from cnmysql.errors import Conflict, Forbidden, Refused, Transient
from manager.actions import Delete, Plan
from manager.cluster.reconcile import Reconciler, leaving, peers
from manager.cluster.snapshot import Departed, Snapshot
from tests.unit.manager.snapshots import lease, new, pod, ready


class Observer:
    def __init__(self, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot
        self.left: list[dict[str, Any]] = []

    def observe(self, _: str) -> Snapshot | None:
        return self.snapshot

    def remains(self, _: str) -> list[dict[str, Any]]:
        return self.left


class Executor:
    """Fails on the first plan with `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.plans: list[Plan] = []
        self.buried: list[tuple[str, str, Plan]] = []

    async def bury(self, namespace: str, name: str, plan: Plan) -> None:
        self.buried.append((namespace, name, plan))
        if self.error is not None and len(self.buried) == 1:
            raise self.error

    async def run(self, plan: Plan, _: dict[str, Any]) -> None:
        self.plans.append(plan)
        if self.error is not None and len(self.plans) == 1:
            raise self.error


class Streams:
    def __init__(self) -> None:
        self.synced: list[list[str]] = []

    def sync(self, _: str, found: Any, leaving: Any = ()) -> None:
        self.synced.append([p.instance for p in found])


class Bench:
    def __init__(self, snapshot: Snapshot | None, error: Exception | None = None) -> None:
        self.observer, self.executor, self.streams = Observer(snapshot), Executor(error), Streams()
        self.referred: list[Snapshot | None] = []
        self.planned: list[Plan | None] = []
        self.forgotten: list[str] = []
        self.reconcile = Reconciler(
            self.observer,  # type: ignore[arg-type]
            self.executor,  # type: ignore[arg-type]
            self.streams,  # type: ignore[arg-type]
            refer=lambda _, s: self.referred.append(s),
            planned=lambda _, __, p: self.planned.append(p),
            forget=self.forget,
        )

    async def forget(self, key: str) -> None:
        self.forgotten.append(key)


async def test_a_cluster_that_is_gone_is_forgotten_everywhere() -> None:
    bench = Bench(None)
    assert (await bench.reconcile("shop/db")).requeue_after is None
    assert (bench.streams.synced, bench.referred, bench.planned, bench.executor.plans) == ([[]], [None], [None], [])
    assert bench.forgotten == ["shop/db"]


async def test_what_a_cluster_that_is_gone_left_is_removed_and_tried_again() -> None:
    notes = {"cert-manager.io/certificate-name": "db-ca", names.ANN_CLUSTER_UID: "former"}
    bench = Bench(None, Transient("no answer"))
    bench.observer.left = [
        {"metadata": {"name": "db-ca", "uid": "u", "labels": names.labels("db"), "annotations": notes}}
    ]
    assert (await bench.reconcile("shop/db")).requeue_after is not None
    assert (await bench.reconcile("shop/db")).requeue_after is None
    (first, second) = bench.executor.buried
    assert first == second and first[:2] == ("shop", "db")
    (delete,) = first[2].actions
    assert isinstance(delete, Delete)
    assert (str(delete.target), delete.uid, delete.made_by) == ("Secret shop/db-ca", "u", "cert-manager")


async def test_what_may_not_be_removed_is_not_tried_for_ever() -> None:
    bench = Bench(None, Refused("NameTaken: somebody wrote it"))
    bench.observer.left = [{"metadata": {"name": "db-ca", "uid": "u"}}]
    assert (await bench.reconcile("shop/db")).requeue_after is None
    assert len(bench.executor.buried) == 1


async def test_streams_follow_the_pods_that_have_an_address() -> None:
    s = pod(ready(), "db-2", {"status": {"podIP": None}})
    s = pod(s, "db-3", {"status": {"phase": "Failed"}})
    assert [p.instance for p in peers("shop/db", s)] == ["db-1"]
    bench = Bench(ready())
    await bench.reconcile("shop/db")
    assert bench.streams.synced == [["db-1", "db-2", "db-3"]]


async def test_the_holder_whose_pod_was_deleted_by_force_is_heard_for_a_while() -> None:
    s = ready()
    before = next(p for p in peers("shop/db", s) if p.instance == "db-1")
    left = {before.pod_uid: Departed(s.objects.pods["db-1"], at=s.clock - 29)}
    s = pod(s, "db-1", None)
    assert leaving("shop/db", replace(s, departed=left)) == [before], "the same connection goes on"
    assert leaving("shop/db", replace(s, departed=left, clock=s.clock + 2)) == []
    assert leaving("shop/db", lease(replace(s, departed=left), "")) == []
    assert leaving("shop/db", s) == []


async def test_a_refusal_is_shown_to_people_and_looked_at_again() -> None:
    bench = Bench(new(), Refused("NameTaken: Service shop/db-rw exists"))
    result = await bench.reconcile("shop/db")
    assert result.requeue_after == 30
    status = bench.executor.plans[1].actions[0].patch  # type: ignore[union-attr]
    assert (status["phase"], status["phaseReason"]) == ("Blocked", "NameTaken: Service shop/db-rw exists")


@pytest.mark.parametrize(
    "message",
    [
        'pods "db-1" is forbidden: unable to create new content in namespace x because it is being terminated',
        "POST /api/v1/namespaces/x/secrets: 403 Forbidden: refused fields: metadata.namespace",
    ],
)
async def test_a_namespace_that_ends_is_left_in_peace(message: str) -> None:
    """One refused write, however many of its objects go; but a Cluster of the same name made later is another one."""
    s = new()
    bench = Bench(s, Forbidden(message))

    async def passes(after: float, **metadata: str) -> int:
        cluster = {**s.cluster, "metadata": {**s.cluster["metadata"], **metadata}}
        bench.observer.snapshot = replace(s, clock=s.clock + after, cluster=cluster)
        assert (await bench.reconcile("shop/db")).requeue_after is None
        return len(bench.executor.plans)

    assert [await passes(second) for second in (0, 0, 1, 29)] == [1, 1, 1, 1]
    assert await passes(29, deletionTimestamp="2026-01-01T00:00:00Z") == 2
    assert await passes(29, uid="another") == 3
    assert await passes(31) == 4


@pytest.mark.parametrize("error", [Conflict("raced"), Transient("overloaded")])
async def test_what_may_pass_is_tried_again_within_seconds(error: Exception) -> None:
    bench = Bench(new(), error)
    waits = []
    for _ in range(20):
        bench.executor.plans.clear()
        waits.append((await bench.reconcile("shop/db")).requeue_after or 0.0)
        assert len(bench.executor.plans) == 1
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.02, 10)
    bench.executor.error = None
    await bench.reconcile("shop/db")
    bench.executor.error = error
    bench.executor.plans.clear()
    assert (await bench.reconcile("shop/db")).requeue_after == 0.02


async def test_the_wait_a_server_asks_for_is_kept() -> None:
    bench = Bench(new(), Transient("429", retry_after=17))
    assert (await bench.reconcile("shop/db")).requeue_after == 17
