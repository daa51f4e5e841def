"""Who may write the primary Lease, with tokens of real Pods and all the rights RBAC can give."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cnmysql import names
from cnmysql.api.admission import INSTANCE_LEASE, INSTANCE_ORDER
from manager.cluster.render.meta import Owner
from tests.kube.api import Answer, Json, Server, clusters, leases, until
from tests.kube.instances import Instance, grant, hold, make_cluster, make_instance, order, token


def _lease(owner: Owner) -> str:
    return leases(owner.namespace, names.primary_lease(owner.name))


def _put(by: Instance, owner: Owner, holder: str | None) -> Answer:
    """A whole update, as an instance sends it."""
    lease = by.api.get(_lease(owner)).must()
    lease["spec"]["holderIdentity"] = holder
    return by.api.put(_lease(owner), lease)


def _ordered(server: Server, owner: Owner, instance: Instance) -> None:
    """Order it and wait until admission has seen that: of two policies that refuse, the API server names either."""
    order(server, owner, instance.name)
    until(lambda: _put(instance, owner, instance.identity).ok, "the order is seen by admission", 2)
    hold(server, owner, "")


def _refused(answer: Answer, *words: str) -> None:
    assert answer.code == 403, answer
    policy = INSTANCE_ORDER if "ordered" in words[0] else INSTANCE_LEASE
    assert f"ValidatingAdmissionPolicy '{policy.name}'" in answer.message
    for word in words:
        assert word in answer.message


def _eventually_refused(attempt: Callable[[], Answer], *words: str) -> None:
    """The policy sees a Cluster through an informer, some 50 ms late."""
    until(lambda: attempt().code == 403, "refused", 2)
    _refused(attempt(), *words)


def test_it_takes_a_free_lease_when_ordered_renews_and_releases_it(
    server: Server, owner: Owner, instance: Instance
) -> None:
    order(server, owner, "sample-1")
    until(lambda: _put(instance, owner, instance.identity).ok, "the order is seen by admission", 2)
    server.admin.patch(clusters(owner.namespace, owner.name, "status"), {"status": {"roleChange": None}}).must()
    lease = instance.api.get(_lease(owner)).must()
    lease["spec"]["renewTime"] = "2026-01-02T00:00:00.000000Z"
    lease["metadata"].setdefault("annotations", {})["mysql.cloudnative-mysql.io/dump-threads"] = "2"
    assert instance.api.put(_lease(owner), lease).ok
    assert _put(instance, owner, "").ok
    _eventually_refused(lambda: _put(instance, owner, instance.identity), "is not ordered to open")


def test_not_without_an_order(server: Server, owner: Owner, instance: Instance) -> None:
    _refused(_put(instance, owner, instance.identity), "sample-1 is not ordered to open")
    order(server, owner, "sample-2")
    _refused(_put(instance, owner, instance.identity), "sample-1 is not ordered to open")


def test_an_order_to_another_cluster_of_the_namespace_does_not_count(
    server: Server, namespace: str, owner: Owner, instance: Instance
) -> None:
    other = make_cluster(server, namespace, "other")
    order(server, other, "sample-1")
    _refused(_put(instance, owner, instance.identity), "sample-1 is not ordered to open")


@pytest.mark.parametrize("former", ["sample-2/0", "sample-1/another-pod", "sample-1", "anything"])
def test_not_from_a_foreign_holder(server: Server, owner: Owner, instance: Instance, former: str) -> None:
    hold(server, owner, former)
    order(server, owner, "sample-1")
    _refused(_put(instance, owner, instance.identity), f"held by {former}")
    _refused(_put(instance, owner, ""), f"held by {former}")
    _refused(_put(instance, owner, None), f"held by {former}")


def test_not_for_another(server: Server, owner: Owner, instance: Instance) -> None:
    _ordered(server, owner, instance)
    for holder in ("sample-2/x", "sample-1", "sample-1/", f"sample-1/{instance.pod_uid}x", f"/{instance.pod_uid}"):
        _refused(_put(instance, owner, holder), f"holderIdentity {holder} is not the instance and Pod uid")


def test_a_recreated_pod_is_a_stranger(server: Server, owner: Owner, instance: Instance) -> None:
    hold(server, owner, instance.identity)
    order(server, owner, "sample-1")
    successor = make_instance(server, owner, "sample-1", wide=True, pod="sample-1-again")
    _refused(_put(successor, owner, successor.identity), f"held by {instance.identity}")
    _refused(_put(successor, owner, instance.identity), "is not the instance and Pod uid")


def test_a_token_bound_to_no_pod_holds_nothing(server: Server, owner: Owner, instance: Instance) -> None:
    _ordered(server, owner, instance)
    account = names.service_account("sample-1")
    loose = Instance("sample-1", "", server.as_token(token(server, owner.namespace, account)))
    for holder in (loose.identity, instance.identity, "sample-1"):
        _refused(_put(loose, owner, holder), "is not the instance and Pod uid")


def test_no_other_lease(server: Server, namespace: str, owner: Owner, instance: Instance) -> None:
    other = make_cluster(server, namespace, "other")
    _ordered(server, owner, instance)
    order(server, other, "sample-1")
    _refused(_put(instance, other, instance.identity), f"may not write Lease {namespace}/other-primary")
    operator: Json = {"metadata": {"name": names.OPERATOR_LEASE}, "spec": {"holderIdentity": "operator"}}
    server.admin.post(leases(namespace), operator).must()
    operator["spec"]["holderIdentity"] = ""
    answer = instance.api.patch(leases(namespace, names.OPERATOR_LEASE), operator)
    _refused(answer, f"may not write Lease {namespace}/{names.OPERATOR_LEASE}")


def test_neither_created_nor_deleted(server: Server, owner: Owner, instance: Instance) -> None:
    _refused(instance.api.delete(_lease(owner)), "may only update its Lease")
    server.admin.delete(_lease(owner)).must()
    body = {"metadata": {"name": names.primary_lease(owner.name)}, "spec": {"holderIdentity": instance.identity}}
    order(server, owner, "sample-1")
    _refused(instance.api.post(leases(owner.namespace), body), "may only update its Lease")


def test_its_owner_and_labels_stay(server: Server, owner: Owner, instance: Instance) -> None:
    hold(server, owner, instance.identity)
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "sample-1", "uid": instance.pod_uid}
    for metadata in (
        {"labels": {names.LABEL_CLUSTER: "x"}},
        {"ownerReferences": [reference]},
        {"finalizers": ["a.b/c"]},
    ):
        _refused(
            instance.api.patch(_lease(owner), {"metadata": metadata}), "may not change owner, labels or finalizers"
        )


def test_the_operator_clears_a_foreign_hold(server: Server, owner: Owner, instance: Instance) -> None:
    hold(server, owner, instance.identity)
    account = "operator-of-" + owner.namespace
    server.admin.post(f"/api/v1/namespaces/{owner.namespace}/serviceaccounts", {"metadata": {"name": account}}).must()
    rule: Json = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "patch"]}
    grant(server, account, [rule], account, owner.namespace)
    operator = server.as_token(token(server, owner.namespace, account))
    assert operator.patch(_lease(owner), {"spec": {"holderIdentity": ""}}).ok


def test_an_order_is_seen_within_half_a_second(server: Server, owner: Owner, instance: Instance) -> None:
    for epoch in range(1, 4):
        order(server, owner, "sample-1", epoch)
        until(lambda: _put(instance, owner, instance.identity).ok, f"order {epoch} is seen", 0.5)
        assert _put(instance, owner, "").ok
        order(server, owner, "sample-2", epoch)
        until(lambda: _put(instance, owner, instance.identity).code == 403, f"order {epoch} is withdrawn", 0.5)
        hold(server, owner, "")


def test_leases_of_others_are_left_alone(server: Server, namespace: str) -> None:
    """Node heartbeats and leader elections, in namespaces with and without a Cluster."""
    for round_ in range(2):
        name = f"node-{round_}"
        server.admin.post(leases(namespace), {"metadata": {"name": name}, "spec": {"holderIdentity": name}}).must()
        server.admin.patch(leases(namespace, name), {"spec": {"holderIdentity": "other"}}).must()
        server.admin.delete(leases(namespace, name)).must()
        if round_ == 0:
            make_cluster(server, namespace)


def test_an_account_of_somebody_else_that_is_called_like_an_instances_keeps_its_own_leases(
    server: Server, namespace: str, owner: Owner
) -> None:
    other = make_instance(server, owner, "web-1", wide=True)
    lease: Json = {"metadata": {"name": "web-leader"}, "spec": {"holderIdentity": "web-1_abc"}}
    other.api.post(leases(namespace), lease).must()
    other.api.patch(leases(namespace, "web-leader"), {"spec": {"holderIdentity": "web-2_def"}}).must()
    other.api.delete(leases(namespace, "web-leader")).must()
    _refused(_put(other, owner, "web-1_abc"), f"may not write Lease {namespace}/sample-primary")


def test_neither_the_label_nor_the_name_can_be_gone_round(server: Server, owner: Owner, instance: Instance) -> None:
    """What makes a Lease ours is judged on the object before and after."""
    path = leases(owner.namespace, "anything")
    server.admin.post(leases(owner.namespace), {"metadata": {"name": "anything"}, "spec": {}}).must()
    label = {"metadata": {"labels": {names.LABEL_CLUSTER: owner.name}}}
    _refused(instance.api.patch(path, label), "may not write Lease")
    server.admin.patch(path, label).must()
    _refused(instance.api.patch(path, {"metadata": {"labels": None}}), "may not write Lease")
    _refused(instance.api.delete(path), "may not write Lease")
    server.admin.patch(_lease(owner), {"metadata": {"labels": None}}).must()
    _refused(_put(instance, owner, "sample-2/x"), "is not the instance and Pod uid")
    _refused(instance.api.delete(_lease(owner)), "may only update its Lease")
    generated: Json = {"metadata": {"generateName": "x-", **label["metadata"]}, "spec": {}}
    _refused(instance.api.post(leases(owner.namespace), generated), "may not write Lease")


def test_the_identity_is_judged_without_any_cluster(server: Server, owner: Owner, instance: Instance) -> None:
    server.admin.delete(clusters(owner.namespace, owner.name)).must()
    _refused(_put(instance, owner, "sample-2/x"), "is not the instance and Pod uid")
    hold(server, owner, "sample-2/x")
    _refused(_put(instance, owner, ""), "held by sample-2/x")
