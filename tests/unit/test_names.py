from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql import names

CLUSTERS = st.from_regex(r"\A[a-z]([-a-z0-9]{0,20}[a-z0-9])?\Z")


@given(CLUSTERS, st.integers(1, 10_000))
def test_instance_names_round_trip(cluster: str, ordinal: int) -> None:
    name = names.instance(cluster, ordinal)
    assert names.ordinal(name) == ordinal
    assert names.is_instance_of(name, cluster)


@pytest.mark.parametrize(("instance", "cluster"), [("db-1-1", "db"), ("db-01", "db"), ("db-0", "db"), ("db", "db")])
def test_a_longer_name_never_counts_as_the_shorter_cluster(instance: str, cluster: str) -> None:
    assert not names.is_instance_of(instance, cluster)


@pytest.mark.parametrize("bad", ["db", "db-", "db-0", "-1", "Db-1", "db-1x"])
def test_ordinal_refuses_other_names(bad: str) -> None:
    with pytest.raises(ValueError, match="not an instance name"):
        names.ordinal(bad)


def test_server_certificate_covers_instance_and_routing_services() -> None:
    found = names.server_alt_names("db", "db-2", "prod")
    assert "db-2.prod.svc" in found
    assert "db-rw.prod.svc.cluster.local" in found
    assert len(set(found)) == 16


BY_KIND = {
    "Secret": (
        (
            names.secret_root, names.secret_app, names.secret_backup, names.secret_control, names.secret_ca,
            names.secret_client_tls, names.secret_replication_tls,
        ),
        (names.secret_server_tls, names.secret_peer_tls),
    ),
    "Issuer": ((names.issuer_selfsigned, names.issuer_ca, names.issuer_client_ca), ()),
    "Certificate": (
        (names.certificate_ca, names.certificate_client, names.certificate_replication),
        (names.certificate_server, names.certificate_peer),
    ),
    "ConfigMap": ((names.trust_config_map,), (names.config_map,)),
    "Service": ((names.service_rw, names.service_ro, names.service_r), (lambda i: i,)),
}  # fmt: skip
"""What makes a name of a Cluster's, and of an instance's, by kind."""


@pytest.mark.parametrize("kind", BY_KIND)
def test_object_names_of_two_clusters_do_not_collide(kind: str) -> None:
    """Neither the Cluster `db-client` nor one that is called like an instance has an object of the Cluster `db`."""
    of_cluster, of_instance = BY_KIND[kind]
    words = {made("X").removeprefix("X").strip("-") for made in (*of_cluster, *of_instance)} - {""}
    parts = {part for word in words for part in (word, *word.split("-"), word.rpartition("-")[0])} - {""}
    clusters = ["db", "db-1", "db-1-1", *(f"db-{part}" for part in sorted(parts)), *(f"db-1-{part}" for part in parts)]
    seen: dict[str, str] = {}
    for cluster in clusters:
        found = {made(cluster) for made in of_cluster}
        found |= {made(names.instance(cluster, n)) for made in of_instance for n in (1, 2)}
        for name in found:
            assert seen.setdefault(name, cluster) == cluster, name


def test_object_names_of_one_cluster_do_not_collide() -> None:
    by_instance = [names.config_map("db-1"), names.service_account("db-1"), names.trust_config_map("db")]
    assert len(set(by_instance)) == len(by_instance)
    secrets = [
        names.secret_root("db"), names.secret_app("db"), names.secret_backup("db"), names.secret_control("db"),
        names.secret_ca("db"), names.secret_client_tls("db"), names.secret_replication_tls("db"),
        names.secret_server_tls("db-1"), names.secret_peer_tls("db-1"),
    ]  # fmt: skip
    assert len(set(secrets)) == len(secrets)
