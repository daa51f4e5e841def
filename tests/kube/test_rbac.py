"""What an instance's own Role lets it do, with the token of a real Pod: its Cluster, its Lease, nothing else."""

from __future__ import annotations

import pytest

from cnmysql import names
from manager.cluster.render.meta import Owner
from tests.kube.api import Server, clusters, leases, until
from tests.kube.instances import Instance, make_cluster, make_instance, order


@pytest.fixture
def instance(server: Server, owner: Owner) -> Instance:
    made = make_instance(server, owner, "sample-1")
    until(lambda: made.api.get(clusters(owner.namespace, owner.name)).ok, "the Role is in force")
    return made


def test_it_reads_lists_and_watches_its_own_cluster(owner: Owner, instance: Instance) -> None:
    selector = f"metadata.name={owner.name}"
    listed = instance.api.call("GET", clusters(owner.namespace), fieldSelector=selector).must()
    assert [item["metadata"]["name"] for item in listed["items"]] == [owner.name]
    watched = instance.api.call(
        "GET", clusters(owner.namespace), watch="true", fieldSelector=selector, timeoutSeconds="1"
    )
    assert watched.ok


def test_it_does_its_work(server: Server, owner: Owner, instance: Instance) -> None:
    order(server, owner, instance.name)
    path = leases(owner.namespace, names.primary_lease(owner.name))
    lease = instance.api.get(path).must()
    lease["spec"]["holderIdentity"] = instance.identity
    until(lambda: instance.api.put(path, lease).ok, "the Lease is taken")
    status = {"currentPrimary": instance.name, "currentPrimaryTimestamp": "2026-01-01T00:00:00Z"}
    version = instance.api.get(clusters(owner.namespace, owner.name)).must()["metadata"]["resourceVersion"]
    body = {"metadata": {"resourceVersion": version}, "status": status}
    assert instance.api.patch(clusters(owner.namespace, owner.name, "status"), body).ok


def test_it_does_nothing_else(server: Server, owner: Owner, instance: Instance) -> None:
    ns = owner.namespace
    make_cluster(server, ns, "other")
    core = f"/api/v1/namespaces/{ns}"
    server.admin.post(f"{core}/secrets", {"metadata": {"name": names.secret_root(owner.name)}}).must()
    for path in (
        clusters(ns),
        clusters(ns, "other"),
        leases(ns),
        leases(ns, names.primary_lease("other")),
        f"{core}/secrets",
        f"{core}/secrets/{names.secret_root(owner.name)}",
        f"{core}/configmaps",
        f"{core}/pods",
        f"{core}/pods/{instance.name}",
        f"{core}/serviceaccounts",
        "/api/v1/nodes",
        "/api/v1/namespaces",
    ):
        assert instance.api.get(path).code == 403, path
    assert instance.api.patch(clusters(ns, owner.name), {"spec": {"instances": 1}}).code == 403
    assert instance.api.patch(clusters(ns, "other", "status"), {"status": {"phase": "x"}}).code == 403
    assert instance.api.delete(clusters(ns, owner.name)).code == 403
    assert instance.api.delete(leases(ns, names.primary_lease(owner.name))).code == 403
    token = f"{core}/serviceaccounts/{names.service_account(instance.name)}/token"
    assert instance.api.post(token, {"spec": {}}).code == 403
