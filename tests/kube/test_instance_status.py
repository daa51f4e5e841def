"""What an instance may write to the status of a Cluster, with the token of a real Pod and more rights than it needs.

Every refusal here is admission's: the account may do anything as far as RBAC is concerned.
"""

from __future__ import annotations

from typing import Any

import pytest

from cnmysql.api.admission import INSTANCE_STATUS
from manager.cluster.render.meta import Owner
from tests.kube.api import Answer, Json, Server, cluster, clusters
from tests.kube.instances import ANY, Instance, grant, make_cluster, make_instance, order, token

NOW = "2026-01-02T00:00:00Z"
LATER = "2026-01-02T00:00:09Z"


def _write(instance: Instance, owner: Owner, status: Json) -> Answer:
    return instance.api.patch(clusters(owner.namespace, owner.name, "status"), {"status": status})


def _refused(answer: Answer, *words: str) -> None:
    assert answer.code == 403, answer
    assert f"ValidatingAdmissionPolicy '{INSTANCE_STATUS.name}'" in answer.message
    for word in words:
        assert word in answer.message


def _settle(server: Server, owner: Owner, **status: Any) -> None:
    server.admin.patch(clusters(owner.namespace, owner.name, "status"), {"status": status}).must()


def test_it_records_that_it_opens_when_ordered(server: Server, owner: Owner, instance: Instance) -> None:
    order(server, owner, "sample-1")
    answer = _write(instance, owner, {"currentPrimary": "sample-1", "currentPrimaryTimestamp": NOW})
    assert answer.must()["status"]["currentPrimary"] == "sample-1"
    again = _write(instance, owner, {"currentPrimary": "sample-1", "currentPrimaryTimestamp": NOW})
    assert again.ok


def test_it_records_a_reopening_of_itself(server: Server, owner: Owner, instance: Instance) -> None:
    _settle(server, owner, currentPrimary="sample-1", currentPrimaryTimestamp=NOW)
    order(server, owner, "sample-1", epoch=2)
    assert _write(instance, owner, {"currentPrimary": "sample-1", "currentPrimaryTimestamp": LATER}).ok


def test_it_takes_over_from_another_when_ordered(server: Server, owner: Owner, instance: Instance) -> None:
    _settle(server, owner, currentPrimary="sample-2", currentPrimaryTimestamp=NOW)
    order(server, owner, "sample-1", epoch=2)
    assert _write(instance, owner, {"currentPrimary": "sample-1", "currentPrimaryTimestamp": LATER}).ok


def test_not_without_an_order(server: Server, owner: Owner, instance: Instance) -> None:
    mine = {"currentPrimary": "sample-1", "currentPrimaryTimestamp": NOW}
    _refused(_write(instance, owner, mine), "sample-1 is not ordered to open", "(none)")
    order(server, owner, "")
    _refused(_write(instance, owner, mine), "sample-1 is not ordered to open")
    order(server, owner, "sample-2", epoch=2)
    _refused(_write(instance, owner, mine), "sample-1 is not ordered to open", "sample-2")


def test_not_with_an_order_of_its_own_making(server: Server, owner: Owner, instance: Instance) -> None:
    forged = {"epoch": 9, "kind": "bootstrap", "to": "sample-1"}
    mine = {"currentPrimary": "sample-1", "currentPrimaryTimestamp": NOW, "epoch": 9, "roleChange": forged}
    _refused(_write(instance, owner, mine), "may not change status fields: ", "roleChange", "epoch")


def test_not_in_the_name_of_another(server: Server, owner: Owner, instance: Instance) -> None:
    order(server, owner, "sample-1")
    other = {"currentPrimary": "sample-2", "currentPrimaryTimestamp": NOW}
    _refused(_write(instance, owner, other), "may not write status.currentPrimary sample-2")
    order(server, owner, "sample-2", epoch=2)
    _refused(_write(instance, owner, other), "may not write status.currentPrimary sample-2")


def test_not_one_of_the_two_without_the_other(server: Server, owner: Owner, instance: Instance) -> None:
    order(server, owner, "sample-1")
    _refused(_write(instance, owner, {"currentPrimary": "sample-1"}), "changes without status.currentPrimaryTimestamp")
    _refused(_write(instance, owner, {"currentPrimaryTimestamp": NOW}), "may not write status.currentPrimary (none)")
    _settle(server, owner, currentPrimary="sample-2", currentPrimaryTimestamp=NOW)
    _refused(_write(instance, owner, {"currentPrimary": "sample-1"}), "changes without status.currentPrimaryTimestamp")
    _refused(
        _write(instance, owner, {"currentPrimaryTimestamp": LATER}), "may not write status.currentPrimary sample-2"
    )


def test_nothing_of_it_may_be_removed(server: Server, owner: Owner, instance: Instance) -> None:
    _settle(server, owner, currentPrimary="sample-1", currentPrimaryTimestamp=NOW)
    order(server, owner, "sample-1", epoch=2)
    _refused(_write(instance, owner, {"currentPrimary": None}), "may not write status.currentPrimary (none)")
    _refused(_write(instance, owner, {"currentPrimaryTimestamp": None}), "must not be empty")
    whole = instance.api.get(clusters(owner.namespace, owner.name)).must()
    whole["status"] = {}
    _refused(instance.api.put(clusters(owner.namespace, owner.name, "status"), whole), "may not change status fields")


OTHER_FIELDS: tuple[Json, ...] = (
    {"phase": "Ready"},
    {"epoch": 7},
    {"roleChange": None},
    {"leaseHolder": "sample-1/x"},
    {"primaryUUIDs": ["x"]},
    {"instances": 1},
    {"instanceNames": ["sample-1"]},
    {"divergedInstances": []},
    {"observedGeneration": 99},
    {"image": "mysql:9.7"},
    {"certificates": {"serverCASecret": "x"}},
    {"provisioning": {"sample-1": {"stage": "x"}}},
    {"conditions": [{"type": "Ready", "status": "True", "reason": "x", "lastTransitionTime": NOW}]},
)


@pytest.mark.parametrize("status", OTHER_FIELDS, ids=lambda status: next(iter(status)))
def test_no_other_field(server: Server, owner: Owner, instance: Instance, status: Json) -> None:
    _settle(server, owner, phase="Pending", divergedInstances=["sample-2"])
    order(server, owner, "sample-1")
    field = next(iter(status))
    _refused(_write(instance, owner, status), f"may not change status fields: {field}")
    mine = {"currentPrimary": "sample-1", "currentPrimaryTimestamp": NOW, **status}
    _refused(_write(instance, owner, mine), f"may not change status fields: {field}")


def test_not_the_spec_nor_the_object(server: Server, owner: Owner, instance: Instance) -> None:
    path = clusters(owner.namespace, owner.name)
    _refused(instance.api.patch(path, {"spec": {"instances": 1}}), "may only update the status")
    _refused(instance.api.patch(path, {"metadata": {"labels": {"a": "b"}}}), "may only update the status")
    _refused(instance.api.delete(path), "may only update the status")
    _refused(instance.api.patch(path + "/scale", {"spec": {"replicas": 1}}), "may only update the status")
    _refused(instance.api.post(clusters(owner.namespace), cluster(owner.namespace, "x")), "may not write Cluster")
    server.admin.delete(path).must()
    _refused(instance.api.post(clusters(owner.namespace), cluster(owner.namespace)), "may only update the status")


def test_metadata_is_not_written_through_the_status(server: Server, owner: Owner, instance: Instance) -> None:
    order(server, owner, "sample-1")
    patch: Json = {"metadata": {"labels": {"a": "b"}, "finalizers": ["x.io/y"]}}
    patch["status"] = {"currentPrimary": "sample-1", "currentPrimaryTimestamp": NOW}
    after = instance.api.patch(clusters(owner.namespace, owner.name, "status"), patch).must()
    assert "labels" not in after["metadata"]
    assert "finalizers" not in after["metadata"]


def test_no_other_cluster_however_alike_its_name(server: Server, namespace: str) -> None:
    short, long = make_cluster(server, namespace, "db"), make_cluster(server, namespace, "db-1")
    of_short = make_instance(server, short, "db-1", wide=True)
    of_long = make_instance(server, long, "db-1-1", wide=True)
    order(server, short, "db-1-1")
    order(server, long, "db-1")
    stranger = {"currentPrimary": "db-1-1", "currentPrimaryTimestamp": NOW}
    _refused(_write(of_long, short, stranger), f"db-1-1 may not write Cluster {namespace}/db")
    stranger = {"currentPrimary": "db-1", "currentPrimaryTimestamp": NOW}
    _refused(_write(of_short, long, stranger), f"db-1 may not write Cluster {namespace}/db-1")
    order(server, short, "db-1", epoch=2)
    order(server, long, "db-1-1", epoch=2)
    assert _write(of_short, short, {"currentPrimary": "db-1", "currentPrimaryTimestamp": NOW}).ok
    assert _write(of_long, long, {"currentPrimary": "db-1-1", "currentPrimaryTimestamp": NOW}).ok


def test_no_cluster_of_that_name_in_another_namespace(server: Server, owner: Owner, instance: Instance) -> None:
    away = f"{owner.namespace}-b"
    server.admin.post("/api/v1/namespaces", {"metadata": {"name": away}}).must()
    twin = make_cluster(server, away)
    order(server, twin, "sample-1")
    mine = {"currentPrimary": "sample-1", "currentPrimaryTimestamp": NOW}
    _refused(_write(instance, twin, mine), f"may not write Cluster {away}/sample")


@pytest.mark.parametrize(
    "account", ["sample-1-instances", "sample-instance", "sample-01-instance", "x-sample-1-instanc"]
)
def test_others_are_left_to_rbac(server: Server, owner: Owner, account: str) -> None:
    server.admin.post(f"/api/v1/namespaces/{owner.namespace}/serviceaccounts", {"metadata": {"name": account}}).must()
    grant(server, f"everything-{owner.namespace}-{account}", ANY, account, owner.namespace)
    api = server.as_token(token(server, owner.namespace, account))
    assert api.patch(clusters(owner.namespace, owner.name, "status"), {"status": {"phase": "Ready"}}).ok


def test_an_order_counts_at_once(server: Server, owner: Owner, instance: Instance) -> None:
    """The stored status is judged, not an informer's copy: no window in which a fresh order is refused."""
    for epoch in range(1, 6):
        order(server, owner, "sample-1", epoch)
        stamp = {"currentPrimary": "sample-1", "currentPrimaryTimestamp": f"2026-01-02T00:00:{epoch:02}Z"}
        assert _write(instance, owner, stamp).ok
