"""Bad input is refused at the earliest point that can know, changes nothing, and can be corrected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cnmysql import names
from tests.support.cluster import Cluster
from tests.support.kube import ApiError, Kube, eventually

MakeCluster = Callable[..., Cluster]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"instances": 0}, "instances"),
        ({"storage": {}}, "storage"),
        ({"storage": {"size": "lots"}}, "size"),
        ({"mysql": {"parameters": {"server_id": "7"}}}, "server_id"),
        ({"mysql": {"parameters": {"loose-Super-Read-Only": "0"}}}, "Super-Read-Only"),
        ({"mysql": {"parameters": {"plugin_load": "evil.so"}}}, "plugin_load"),
        ({"mysql": {"parameters": {"max_connections": "10\n[mysqld]\nskip-grant-tables"}}}, "max_connections"),
        ({"bootstrap": {"initdb": {"owner": "app"}}}, "owner"),
        ({"bootstrap": {"initdb": {"database": "app", "owner": "cnmysql_repl"}}}, "cnmysql_"),
        ({"logLevel": "loud"}, "logLevel"),
        ({"imageName": "docker.io/library/mysql:5.7"}, "8.0.22"),
    ],
)
def test_refused_at_apply(make_cluster: MakeCluster, spec: dict[str, Any], said: str) -> None:
    cluster = make_cluster()
    manifest = cluster.manifest(1)
    manifest["spec"].update(spec)
    with pytest.raises(ApiError) as refusal:
        cluster.kube.create("Cluster", cluster.ns, manifest)
    assert refusal.value.code in (403, 422)
    assert said in refusal.value.message
    assert cluster.kube.find("Cluster", cluster.ns, cluster.name) is None


@pytest.mark.parametrize("name", ["db.one", "1db", "x" * 51])
def test_names_that_cannot_become_services_are_refused(make_cluster: MakeCluster, name: str) -> None:
    with pytest.raises(ApiError) as refusal:
        make_cluster(name).create(1)
    assert "name" in refusal.value.message


def test_a_volume_never_shrinks(trio: Cluster) -> None:
    with pytest.raises(ApiError, match="shrink"):
        trio.patch({"spec": {"storage": {"size": "512Mi"}}})


def test_a_missing_secret_blocks_before_anything_exists_and_its_arrival_unblocks(
    kube: Kube, make_cluster: MakeCluster
) -> None:
    cluster = make_cluster().create(1, rootPasswordSecret={"name": "mine"})
    cluster.wait_phase(names.PHASE_BLOCKED, "mine")
    assert not cluster.pods()
    kube.create("Secret", cluster.ns, {"metadata": {"name": "mine"}, "stringData": {"wrong": "x"}})
    cluster.wait_phase(names.PHASE_BLOCKED, "password")
    kube.patch("Secret", cluster.ns, "mine", {"stringData": {"password": "chosen-by-me"}})
    cluster.wait_ready(1)
    assert kube.find("Secret", cluster.ns, names.secret_root(cluster.name)) is None
    assert not kube.get("Secret", cluster.ns, "mine")["metadata"].get("ownerReferences")


def test_an_invalid_edit_leaves_what_runs_alone_and_its_correction_is_ready_again(trio: Cluster) -> None:
    uids = {i: p["metadata"]["uid"] for i, p in trio.pods().items()}
    with trio.writer() as writer:
        writer.wait_for_more()
        trio.patch({"spec": {"rootPasswordSecret": {"name": "not-there"}}})
        seen = trio.wait_accounts(names.ACCOUNTS_MISSING)
        assert seen["status"]["phase"] == names.PHASE_READY, "no running server reads that Secret"
        writer.wait_for_more()
        trio.patch({"spec": {"rootPasswordSecret": None}})
        trio.wait_accounts(names.ACCOUNTS_IN_ORDER)
        trio.wait_ready(3)
        writer.wait_for_more()
    assert not writer.errors
    assert {i: p["metadata"]["uid"] for i, p in trio.pods().items()} == uids


def test_an_unknown_word_blocks_with_the_words_that_are_known_and_reaches_no_server(trio: Cluster) -> None:
    before = {i: trio.control(i, "SELECT @@GLOBAL.transaction_isolation") for i in trio.status["instanceNames"]}
    trio.patch({"spec": {"mysql": {"parameters": {"transaction_isolation": "banana"}}}})
    seen = trio.wait_phase(names.PHASE_BLOCKED, "'transaction_isolation' has the value 'banana'")
    assert "READ-COMMITTED" in seen["status"]["phaseReason"]
    assert {i: trio.control(i, "SELECT @@GLOBAL.transaction_isolation") for i in before} == before
    trio.patch({"spec": {"mysql": {"parameters": {"transaction_isolation": None}}}})
    trio.wait_ready(3)


def test_a_volume_of_another_cluster_is_never_used(kube: Kube, make_cluster: MakeCluster) -> None:
    first = make_cluster().create(1).wait_ready(1)
    first.control("db-1", "CREATE TABLE app.kept (a INT)")
    claim = kube.get("PersistentVolumeClaim", first.ns, "db-1")
    first.delete()
    eventually(lambda: not first.pods(), 60, "the Pod to be gone")
    assert kube.find("PersistentVolumeClaim", first.ns, "db-1"), "storage.whenDeleted is Retain by default"

    second = make_cluster().create(1)
    second.wait_phase(names.PHASE_BLOCKED, "db-1")
    assert not second.pods()
    uid = second.get()["metadata"]["uid"]
    kube.patch("PersistentVolumeClaim", second.ns, "db-1", {"metadata": {"annotations": {names.ANN_ADOPT_VOLUME: uid}}})
    second.wait_ready(1)
    assert kube.get("PersistentVolumeClaim", second.ns, "db-1")["metadata"]["uid"] == claim["metadata"]["uid"]
    assert second.control("db-1", "SHOW TABLES FROM app").split() == ["kept"]


def test_whendeleted_delete_takes_the_volumes_along(kube: Kube, make_cluster: MakeCluster) -> None:
    cluster = make_cluster().create(1, storage={"size": "1Gi", "whenDeleted": "Delete"}).wait_ready(1)
    cluster.delete()
    eventually(lambda: not kube.list("PersistentVolumeClaim", cluster.ns), 60, "the claims to be gone")


def test_an_instance_cannot_be_started_on_an_empty_volume_where_data_is_known(
    kube: Kube, make_cluster: MakeCluster
) -> None:
    """The only copy is gone: say so, and never make an empty database in its place."""
    cluster = make_cluster().create(1).wait_ready(1)
    pod = cluster.uid("db-1")
    kube.delete("PersistentVolumeClaim", cluster.ns, "db-1")
    kube.delete("Pod", cluster.ns, "db-1")
    eventually(lambda: cluster.pods().get("db-1", {}).get("metadata", {}).get("uid") != pod, 60, "the Pod to be gone")
    seen = cluster.wait(
        lambda c: (
            c["status"].get("phase") in (names.PHASE_BLOCKED, names.PHASE_DEGRADED)
            and "db-1" in c["status"].get("phaseReason", "")
        ),
        90,
        "the lost volume to be named",
    )
    assert not cluster.open_instances()
    assert seen["status"]["currentPrimary"] == "db-1"


def test_one_bad_cluster_does_not_disturb_another(make_cluster: MakeCluster) -> None:
    make_cluster("bad").create(1, rootPasswordSecret={"name": "nowhere"})
    make_cluster("stuck").create(1, storage={"size": "1Gi", "storageClass": "no-such-class"})
    make_cluster("good").create(1).wait_ready(1)
    make_cluster("bad").wait_phase(names.PHASE_BLOCKED, "nowhere")
