"""Taking the operator away leaves databases running and their objects in place; it takes over again when back."""

from __future__ import annotations

from collections.abc import Callable

from cnmysql import names
from tests.bed import deploy
from tests.support.cluster import Cluster
from tests.support.kube import Kube, eventually

MakeCluster = Callable[..., Cluster]


def test_delete_of_the_installation_keeps_every_database(kube: Kube, make_cluster: MakeCluster) -> None:
    cluster = make_cluster().create(2).wait_ready(2)
    uids = {i: p["metadata"]["uid"] for i, p in cluster.pods().items()}
    with cluster.writer() as writer:
        writer.wait_for_more()
        try:
            deploy.delete_installation(kube)
            eventually(
                lambda: kube.find("Deployment", names.OPERATOR_NAMESPACE, names.OPERATOR_NAME) is None,
                60,
                "the operator to be gone",
            )
            assert kube.find("CustomResourceDefinition", None, f"clusters.{names.GROUP}")
            assert cluster.get()
            writer.wait_for_more(100)
        finally:
            deploy.install(kube)
        cluster.wait_ready(2)
        writer.wait_for_more()
    assert not writer.errors
    assert {i: p["metadata"]["uid"] for i, p in cluster.pods().items()} == uids
