"""Names that look alike never meet, and what is deleted leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable

import pymysql
import pytest

from cnmysql import names
from tests.bed import deploy
from tests.support import bed, visitors
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.kube import Kube, TimedOut, eventually

MakeCluster = Callable[..., Cluster]


def test_same_name_in_two_namespaces_and_a_prefix_in_one(kube: Kube, make_cluster: MakeCluster) -> None:
    with kube.namespace(fresh_namespace("isolation-other")) as other:
        db, longer, twin = make_cluster("db"), make_cluster("db-1"), Cluster(kube, other, "db")
        for cluster in (db, longer, twin):
            cluster.create(2)
        for cluster in (db, longer, twin):
            cluster.wait_ready(2, 180)
        assert set(db.pods()) == {"db-1", "db-2"}
        assert set(longer.pods()) == {"db-1-1", "db-1-2"}
        for cluster in (db, longer, twin):
            cluster.control(
                cluster.primary,
                f"CREATE TABLE app.of_{cluster.name.replace('-', '_')}_{cluster.ns[:9].replace('-', '_')} (a INT)",
            )
            cluster.wait_caught_up()
        tables = {(c.ns, c.name): c.control(c.replicas[0], "SHOW TABLES FROM app") for c in (db, longer, twin)}
        assert len(set(tables.values())) == 3
        assert all(len(t.split()) == 1 for t in tables.values())
        assert db.routed("rw") == {"db-1"}
        assert longer.routed("rw") == {"db-1-1"}
        with pytest.raises(pymysql.err.OperationalError):
            twin.query("db-1", "DO 1", login=db.app)


TOO_BIG = {"requests": {"cpu": "1000"}}
"""No Pod of it is ever scheduled; everything else is made."""

OWNED = (
    "Pod", "PersistentVolumeClaim", "Service", "ConfigMap", "Secret", "ServiceAccount", "Role", "RoleBinding", "Lease",
    "Issuer", "Certificate", "NetworkPolicy",
)  # fmt: skip


def _there_is(kube: Kube, ns: str) -> list[str]:
    """Everything in the namespace but what Kubernetes puts into every one of them."""
    return [
        f"{kind}/{item['metadata']['name']}"
        for kind in ("Cluster", *OWNED)
        for item in kube.list(kind, ns)
        if item["metadata"]["name"] not in ("default", "kube-root-ca.crt")
    ]


@pytest.mark.parametrize("kind", ["Cluster", "Secret", "Certificate", "Pod"])
def test_delete_right_after_create_leaves_nothing(kube: Kube, make_cluster: MakeCluster, kind: str) -> None:
    """Deleted as soon as there is the first object of the kind: the operator is in the middle of making the others."""
    storage = {"size": "1Gi", "whenDeleted": "Delete"}
    cluster = make_cluster().create(3, storage=storage, networkPolicy={"enabled": True})
    eventually(lambda: kube.list(kind, cluster.ns), 60, f"the first {kind}", every=0.02)
    cluster.delete()
    # When a later one has got its Pod, nothing is on its way any more for the first.
    later = make_cluster("later").create(1, resources=TOO_BIG, storage=storage)
    eventually(lambda: kube.find("Pod", later.ns, "later-1"), 60, "the Pod of a later Cluster")
    later.delete()
    try:
        eventually(lambda: not _there_is(kube, cluster.ns), 90)
    except TimedOut:
        assert _there_is(kube, cluster.ns) == []


def test_no_key_of_a_ca_outlives_its_cluster(kube: Kube, make_cluster: MakeCluster) -> None:
    """The garbage collector may take a Secret before its Certificate. Then cert-manager makes it once more, without an
    owner. Here somebody does that on purpose, since the collector's order is its own affair."""
    cluster = make_cluster().create(1, resources=TOO_BIG)
    eventually(lambda: kube.find("Pod", cluster.ns, "db-1"), 60, "the certificates to be there and the Pod to be made")
    with bed.controllers_frozen():
        cluster.delete()
        for secret in kube.list("Secret", cluster.ns, f"{names.LABEL_CLUSTER}=db"):
            kube.delete("Secret", cluster.ns, secret["metadata"]["name"])

        def refilled() -> list[str]:
            found = kube.list("Secret", cluster.ns, f"{names.LABEL_CLUSTER}=db")
            return [item["metadata"]["name"] for item in found if not item["metadata"].get("ownerReferences")]

        eventually(lambda: "db-ca" in refilled(), 60, "cert-manager to make the Secret of the CA once more")
    eventually(lambda: not kube.list("Certificate", cluster.ns), 60, "the collector to take the Certificates")
    eventually(lambda: not kube.list("Secret", cluster.ns), 60, "the Secrets to be gone")
    eventually(lambda: not kube.list("Pod", cluster.ns), 60, "the Pod to be gone")


def test_a_secret_cert_manager_made_before_the_operator_could_is_owned_again(
    kube: Kube, make_cluster: MakeCluster
) -> None:
    """Deleted by somebody while no operator runs."""
    cluster = make_cluster().create(1).wait_ready(1)
    uid = cluster.get()["metadata"]["uid"]
    with deploy.at_rest(kube):
        kube.delete("Secret", cluster.ns, "db-client-tls")
        eventually(lambda: kube.find("Secret", cluster.ns, "db-client-tls"), 60, "cert-manager to make it once more")

    def owners() -> list[str]:
        return [
            o["uid"] for o in kube.get("Secret", cluster.ns, "db-client-tls")["metadata"].get("ownerReferences", [])
        ]

    eventually(lambda: owners() == [uid], 60, "the Secret to be owned again")
    cluster.wait_ready(1)


def test_a_namespace_with_a_running_cluster_terminates(kube: Kube) -> None:
    with kube.namespace(fresh_namespace("goes-away")) as ns:
        # The namespace controller looks again after the longest grace period of the Pods it deletes.
        Cluster(kube, ns, "db").create(2, maxStopDelay=20).wait_ready(2)
        kube.delete("Namespace", None, ns)
        eventually(lambda: kube.find("Namespace", None, ns) is None, 120, "the namespace to be gone")


def _there(cluster: Cluster) -> dict[str, str]:
    """Objects of the Cluster that are not on their way out: uid -> kind and name."""
    return {
        item["metadata"]["uid"]: f"{kind}/{item['metadata']['name']}"
        for kind in OWNED
        for item in cluster.kube.list(kind, cluster.ns, f"{names.LABEL_CLUSTER}={cluster.name}")
        if "deletionTimestamp" not in item["metadata"]
    }


def test_a_cluster_made_again_clears_what_the_former_one_left_of_every_kind(make_cluster: MakeCluster) -> None:
    """Kubernetes' garbage collector is stopped, so that nobody else does it."""
    storage = {"size": "1Gi", "whenDeleted": "Delete"}
    cluster = make_cluster().create(1, storage=storage, networkPolicy={"enabled": True}, maxStopDelay=20)
    cluster.wait_ready(1)
    former = _there(cluster)
    assert {name.partition("/")[0] for name in former.values()} == set(OWNED)
    with bed.controllers_frozen():
        cluster.delete()
        cluster.create(1, storage=storage)
        eventually(lambda: not former.keys() & _there(cluster).keys(), 60, "the former objects to be removed")
    cluster.wait_ready(1)


def _uids(kube: Kube, ns: str, kind: str) -> set[str]:
    return {item["metadata"]["uid"] for item in kube.list(kind, ns)}


def test_a_strangers_object_with_a_name_of_ours_is_named_and_left_alone(kube: Kube, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    claim = {
        "metadata": {"name": "db-1"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    kube.create("PersistentVolumeClaim", cluster.ns, claim)
    visitors.visitor(kube, cluster.ns, "db-1", {})
    theirs = {kind: kube.get(kind, cluster.ns, "db-1")["metadata"]["uid"] for kind in ("PersistentVolumeClaim", "Pod")}
    cluster.create(1)
    for kind, uid in theirs.items():
        cluster.wait_phase(names.PHASE_BLOCKED, f"NameTaken: {kind} {cluster.ns}/db-1")
        assert kube.get(kind, cluster.ns, "db-1")["metadata"]["uid"] == uid
        kube.delete(kind, cluster.ns, "db-1")
        eventually(lambda: uid not in _uids(kube, cluster.ns, kind), 60, f"their {kind} to be gone")  # noqa: B023
        cluster.patch({"metadata": {"annotations": {"look": kind}}})
    cluster.wait_ready(1)
