"""Deleted Clusters, and what former ones left."""

from __future__ import annotations

from dataclasses import replace

from manager.actions import CreateOnce, Delete
from manager.cluster.outcome import Continue, Stop
from manager.cluster.plan import plan
from manager.cluster.rules import lifecycle
from tests.unit.manager.snapshots import new, pod, ready

OLD = {"metadata": {"name": "db-1", "namespace": "shop", "uid": "old"}}


def test_a_deleted_cluster_gets_no_action_at_all() -> None:
    s = new()
    deleted = replace(s, cluster={**s.cluster, "metadata": {**s.cluster["metadata"], "deletionTimestamp": "now"}})
    assert isinstance(lifecycle.deletion(deleted), Stop)
    assert plan(deleted).actions == ()


def test_leftovers_go_by_uid_before_anything_is_made() -> None:
    s = replace(
        new(), leftovers=(("Pod", OLD), ("Service", {"metadata": {**OLD["metadata"], "deletionTimestamp": "x"}}))
    )
    outcome = lifecycle.leftovers(s)
    assert isinstance(outcome, Stop)
    (delete,) = outcome.actions
    assert isinstance(delete, Delete)
    assert (delete.target.resource.kind, delete.uid) == ("Pod", "old")
    assert {type(a).__name__ for a in plan(s).actions} == {"Delete", "PatchStatus", "Emit"}


def test_a_certificate_goes_before_the_secret_it_would_fill_again() -> None:
    def removed(*kinds: str) -> list[str]:
        outcome = lifecycle.leftovers(replace(new(), leftovers=tuple((kind, OLD) for kind in kinds)))
        assert isinstance(outcome, Stop)
        return [action.target.resource.kind for action in outcome.actions if isinstance(action, Delete)]

    assert removed("Secret", "Certificate", "Pod") == ["Certificate", "Pod"]
    assert removed("Secret", "Pod") == ["Secret", "Pod"]


def test_a_cluster_that_runs_does_not_wait_for_a_leftover_that_lingers() -> None:
    lingering = {"metadata": {**OLD["metadata"], "name": "x", "deletionTimestamp": "now"}}
    s = replace(pod(ready(), "db-2", None), leftovers=(("Secret", OLD), ("Secret", lingering)))
    made = [(type(a), a.target.name) for a in plan(s).actions if isinstance(a, CreateOnce | Delete)]
    assert made == [(Delete, "db-1"), (CreateOnce, "db-2")]
    assert plan(s).reason.startswith("waiting for Secret db-1 of a former Cluster")


def test_without_leftovers_it_goes_on() -> None:
    assert lifecycle.leftovers(ready()) == Continue()
    assert lifecycle.deletion(ready()) == Continue()
