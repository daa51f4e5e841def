"""From raw objects to facts: what is absent, what is malformed, and which confirmations pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cnmysql.protocol.report import InstanceStatus, MysqldReport
from instance.role.facts import cluster_facts, peer_facts, shows_in_place, shows_order
from instance.role.view import ClusterFacts, PeerFacts, Unknown
from tests.unit.instance.role.views import ME, U1, U2, cluster, gtids, order


def raw(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "db", "resourceVersion": "42"}, "status": status}


def test_a_cluster_without_status() -> None:
    assert cluster_facts({"metadata": {"resourceVersion": "1"}}) == ClusterFacts(0, "", None, (), frozenset(), "", "1")


def test_a_full_status() -> None:
    change = {"epoch": 4, "kind": "reopen", "from": "db-1", "to": "db-1", "requiredGTIDs": f"{U1}:1-3"}
    facts = cluster_facts(
        raw(
            epoch=4,
            currentPrimary="db-1",
            roleChange=change,
            instanceNames=["db-1", "db-2"],
            primaryUUIDs=[U1.upper()],
            leaseHolder="db-1/uid-1",
        )
    )
    assert facts.order is not None and facts.order.required == gtids("1:1-3")
    assert facts.primary_uuids == {U1} and facts.resource_version == "42"
    assert facts.instances == ("db-1", "db-2")


def test_a_malformed_set_is_an_error_not_an_empty_one() -> None:
    with pytest.raises(ValueError, match="UUID"):
        cluster_facts(raw(roleChange={"epoch": 1, "to": "db-1", "requiredGTIDs": "nonsense:1"}))


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        (cluster(order=order()), True),
        (cluster(order=None), False),
        (cluster(order=order("db-2")), False),
        (cluster(order=order("")), False),
        (cluster(order=order(epoch=4), epoch=4), False),
        (cluster(order=order(), epoch=4), False),
    ],
)
def test_confirming_an_order(facts: ClusterFacts, shown: bool) -> None:
    assert shows_order(facts, ME, 3) is shown


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        (cluster(), True),
        (cluster(lease_holder=""), True),
        (cluster(order=order()), False),
        (cluster(current_primary="db-2"), False),
        (cluster(epoch=4), False),
        (cluster(epoch=2), False),
        (cluster(lease_holder="db-1/uid-0"), False),
    ],
)
def test_confirming_in_place(facts: ClusterFacts, shown: bool) -> None:
    assert shows_in_place(facts, ME, 3) is shown


STATUS = InstanceStatus(
    instance_name="db-2",
    pod_uid="uid-2",
    mysqld=MysqldReport(state="running", since="2026-01-01T00:00:00Z"),
    server_uuid=U2.upper(),
    gtid_executed=f"{U1}:1-3",
    received=f"{U1}:1-5",
    open=True,
)


def test_a_peer_s_answer() -> None:
    assert peer_facts(STATUS) == PeerFacts(U2, gtids("1:1-3"), gtids("1:1-5"), True)


def test_a_peer_without_its_mysqld_is_unknown() -> None:
    assert isinstance(peer_facts(STATUS.model_copy(update={"server_uuid": None})), Unknown)


@pytest.mark.parametrize("changes", [{"status_age_seconds": 2.0}, {"gtid_executed": None, "received": None}])
def test_old_or_absent_sets_prove_nothing(changes: dict[str, Any]) -> None:
    facts = peer_facts(STATUS.model_copy(update=changes))
    assert isinstance(facts, PeerFacts)
    assert isinstance(facts.executed, Unknown) and isinstance(facts.received, Unknown)


def test_a_peer_s_malformed_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="UUID"):
        peer_facts(STATUS.model_copy(update={"received": "nonsense:1"}))


def test_facts_are_values() -> None:
    assert cluster() == replace(cluster())
