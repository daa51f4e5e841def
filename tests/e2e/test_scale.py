"""1 -> 3 -> 1 -> 3 with half a gigabyte of data while a client writes."""

from __future__ import annotations

from collections.abc import Callable

from cnmysql import names
from tests.support.cluster import Cluster
from tests.support.kube import Kube, eventually

MakeCluster = Callable[..., Cluster]
ROWS = 2_000
DOUBLINGS = 8
"""2,000 rows of 1,000 bytes doubled 8 times: 512,000 rows, about 560 MB of table."""


def fill(cluster: Cluster) -> None:
    i = cluster.primary
    cluster.control(i, "CREATE TABLE app.big (id BIGINT AUTO_INCREMENT PRIMARY KEY, body VARBINARY(1000))")
    cluster.control(
        i,
        "SET SESSION cte_max_recursion_depth=10000; INSERT INTO app.big (body) WITH RECURSIVE n(x) AS "
        f"(SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x<{ROWS}) SELECT RANDOM_BYTES(1000) FROM n",
    )
    for _ in range(DOUBLINGS):
        cluster.control(i, "INSERT INTO app.big (body) SELECT body FROM app.big")


def checksum(cluster: Cluster, i: str) -> str:
    return cluster.control(i, "CHECKSUM TABLE app.big, app.ledger")


def test_scaling_keeps_every_row(kube: Kube, make_cluster: MakeCluster) -> None:
    cluster = make_cluster().create(1, "3Gi").wait_ready(1)
    fill(cluster)
    with cluster.writer() as writer:
        writer.wait_for_more()
        cluster.scale(3)
        cluster.wait_ready(3, 180)
        writer.wait_for_more()

        cluster.scale(1)
        cluster.wait_ready(1)
        eventually(lambda: set(cluster.pods()) == {"db-1"}, 60, "the Pods of db-2 and db-3 to be gone")
        assert {p["metadata"]["name"] for p in kube.list("PersistentVolumeClaim", cluster.ns)} == {
            "db-1",
            "db-2",
            "db-3",
        }
        for gone in ("db-2", "db-3"):
            for kind, name in (
                ("Service", gone),
                ("ServiceAccount", names.service_account(gone)),
                ("ConfigMap", names.config_map(gone)),
                ("Secret", names.secret_server_tls(gone)),
                ("Certificate", names.certificate_server(gone)),
            ):
                kube.wait_gone(kind, cluster.ns, name, 30)
        writer.wait_for_more()

        uids = {p["metadata"]["name"]: p["metadata"]["uid"] for p in kube.list("PersistentVolumeClaim", cluster.ns)}
        cluster.scale(3)
        cluster.wait_ready(3, 180)
        writer.wait_for_more()
    assert not writer.errors, "no client lost its connection while replicas came and went"
    cluster.wait_caught_up()
    assert {p["metadata"]["name"]: p["metadata"]["uid"] for p in kube.list("PersistentVolumeClaim", cluster.ns)} == uids
    sums = {checksum(cluster, i) for i in cluster.status["instanceNames"]}
    assert len(sums) == 1
    assert writer.acknowledged <= cluster.ledger("db-3")
