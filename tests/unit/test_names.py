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


def test_object_names_of_one_cluster_do_not_collide() -> None:
    by_instance = [names.config_map("db-1"), names.service_account("db-1"), names.trust_config_map("db")]
    assert len(set(by_instance)) == len(by_instance)
    secrets = [
        names.secret_root("db"), names.secret_app("db"), names.secret_backup("db"), names.secret_control("db"),
        names.secret_ca("db"), names.secret_client_tls("db"), names.secret_replication_tls("db"),
        names.secret_server_tls("db-1"), names.secret_peer_tls("db-1"),
    ]  # fmt: skip
    assert len(set(secrets)) == len(secrets)
