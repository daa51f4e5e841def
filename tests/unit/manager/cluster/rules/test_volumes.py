"""Whose volumes these are, how large, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from cnmysql import names
from cnmysql.protocol.report import MysqldReport
from manager.actions import PatchOwned
from manager.cluster.outcome import Continue, Hold
from manager.cluster.rules import volumes
from tests.unit.manager.snapshots import new, objects, ready, says, silent, spec

OTHER = {"metadata": {"annotations": {names.ANN_CLUSTER_UID: "other"}}}
OURS = {"apiVersion": names.API_VERSION, "kind": "Cluster", "name": "db", "uid": "cluster-db"}


def patch(outcome: object) -> dict[str, Any]:
    assert isinstance(outcome, Continue | Hold)
    assert outcome.actions
    action = outcome.actions[0]
    assert isinstance(action, PatchOwned)
    return dict(action.patch)


def test_at_rest() -> None:
    assert volumes.decide(ready()) == Continue()


@pytest.mark.parametrize("annotation", ["other", None])
@pytest.mark.parametrize("running", [False, True])
def test_a_foreign_volume_holds_everything_until_something_runs(annotation: str | None, running: bool) -> None:
    found = {"db_2": {"metadata": {"name": "db-2", "annotations": {names.ANN_CLUSTER_UID: annotation}}}}
    outcome = volumes.decide(objects(ready() if running else new(), "volumes", **found))
    assert isinstance(outcome, Continue if running else Hold)
    assert outcome.actions == ()
    assert outcome.notice is not None
    assert outcome.notice.phase == names.PHASE_BLOCKED
    assert outcome.notice.reason.startswith("VolumeOfAnotherCluster: volume db-2 was made for a Cluster with uid")
    assert (
        "kubectl -n shop annotate pvc db-2 mysql.cloudnative-mysql.io/adopt-volume=cluster-db" in outcome.notice.reason
    )


def test_a_foreign_volume_beyond_the_members_is_nobodys_business() -> None:
    s = objects(ready(2), "volumes", db_3={**OTHER, "spec": {}})
    assert volumes.decide(s) == Continue()


def test_adoption_needs_this_very_uid() -> None:
    s = objects(
        ready(),
        "volumes",
        db_2={"metadata": {"annotations": {names.ANN_CLUSTER_UID: "other", names.ANN_ADOPT_VOLUME: "x"}}},
    )
    assert volumes.decide(s).actions == ()
    assert not volumes.usable(s, s.objects.volumes["db-2"])


@pytest.mark.parametrize(
    ("before", "formers"),
    [
        ({names.ANN_CLUSTER_UID: "other"}, "other"),
        ({names.ANN_CLUSTER_UID: "other", names.ANN_ADOPTED_FROM: "first"}, "first,other"),
        ({names.ANN_CLUSTER_UID: "other", names.ANN_ADOPTED_FROM: "other"}, "other"),
        ({names.ANN_CLUSTER_UID: None}, "unknown"),
        ({names.ANN_CLUSTER_UID: "cluster-db"}, "unknown"),
    ],
)
def test_taking_over_is_one_write_that_remembers_whose_it_was_and_comes_before_any_pod(
    before: dict[str, str | None], formers: str
) -> None:
    annotations = {**before, names.ANN_ADOPT_VOLUME: "cluster-db"}
    s = objects(ready(), "volumes", db_2={"metadata": {"annotations": annotations}})
    outcome = volumes.decide(s)
    expected = {names.ANN_CLUSTER_UID: "cluster-db", names.ANN_ADOPT_VOLUME: None, names.ANN_ADOPTED_FROM: formers}
    assert patch(outcome) == {"metadata": {"annotations": expected}}
    assert not volumes.usable(s, s.objects.volumes["db-2"])
    assert isinstance(outcome, Continue)
    assert outcome.notice is not None
    assert outcome.notice.reason == "taking over db-2"
    first = volumes.decide(objects(new(), "volumes", db_2=s.objects.volumes["db-2"]))
    assert isinstance(first, Hold)
    assert patch(first) == patch(outcome)


def test_what_was_adopted_is_forgotten_once_a_server_runs_on_it() -> None:
    s = objects(ready(), "volumes", db_2={"metadata": {"annotations": {names.ANN_ADOPTED_FROM: "other"}}})
    assert patch(volumes.decide(s)) == {"metadata": {"annotations": {names.ANN_ADOPTED_FROM: None}}}
    assert volumes.decide(silent(s, "db-2")) == Continue()
    provisioning = MysqldReport(state="provisioning", since="now")
    assert volumes.decide(says(s, "db-2", mysqld=provisioning)) == Continue()


@pytest.mark.parametrize(
    ("size", "grows"), [("1Gi", False), ("1024Mi", False), ("1073741824", False), ("1025Mi", True)]
)
def test_growth_compares_quantities_and_not_texts(size: str, grows: bool) -> None:
    outcome = volumes.decide(spec(ready(), storage={"size": size}))
    assert bool(outcome.actions) == grows
    if grows:
        assert patch(outcome) == {"spec": {"resources": {"requests": {"storage": size}}}}


def test_the_owner_follows_when_deleted_and_other_owners_stay() -> None:
    theirs = {"kind": "Other", "uid": "theirs"}
    s = objects(ready(1), "volumes", db_1={"metadata": {"ownerReferences": [theirs]}})
    assert volumes.decide(s) == Continue()
    owners = patch(volumes.decide(spec(s, storage={"whenDeleted": "Delete"})))["metadata"]["ownerReferences"]
    assert owners[0] == theirs
    assert owners[1]["uid"] == "cluster-db"
    s = objects(ready(1), "volumes", db_1={"metadata": {"ownerReferences": [theirs, OURS]}})
    assert patch(volumes.decide(s)) == {"metadata": {"ownerReferences": [theirs]}}
