"""The NetworkPolicy of a Cluster: who gets a rule, and who must not get one by accident."""

from __future__ import annotations

from typing import Any

from cnmysql import names
from cnmysql.api.network import NetworkPolicyConfiguration
from manager.cluster.render.meta import Owner
from manager.cluster.render.networkpolicies import policy

Json = dict[str, Any]
OWNER = Owner("db", "shop", "u1")
SHOP = {"podSelector": {"matchLabels": {"app": "shop"}}}
PEERS = [
    {
        "podSelector": {
            "matchLabels": {names.LABEL_CLUSTER: "db"},
            "matchExpressions": [{"key": names.LABEL_INSTANCE, "operator": "Exists"}],
        }
    }
]
"""By a label that admission guards, not by that of the Cluster alone."""


def rendered(**spec: Any) -> Json:
    body = policy(OWNER, NetworkPolicyConfiguration.model_validate({"enabled": True, **spec}), "ops")
    found: Json = body["spec"]
    return found


def _who_reaches(spec: Json, port: int) -> list[Any]:
    return [rule["from"] for rule in spec["ingress"] if port in {p["port"] for p in rule["ports"]}]


def test_it_is_about_the_instances_of_this_cluster_and_closes_both_directions() -> None:
    spec = rendered()
    assert spec["podSelector"] == {"matchLabels": {names.LABEL_CLUSTER: "db"}}
    assert spec["policyTypes"] == ["Ingress", "Egress"]


def test_nobody_is_let_in_by_an_empty_list() -> None:
    """An empty `from` would mean everybody."""
    spec = rendered()
    assert all(rule["from"] for rule in spec["ingress"])
    assert _who_reaches(spec, names.PORT_MYSQL) == [PEERS]
    assert _who_reaches(spec, names.PORT_METRICS) == []


def test_clients_reach_mysql_and_monitoring_reaches_metrics() -> None:
    spec = rendered(clients=[SHOP], metrics=[{"namespaceSelector": {}}])
    assert _who_reaches(spec, names.PORT_MYSQL) == [PEERS, [SHOP]]
    assert _who_reaches(spec, names.PORT_METRICS) == [[{"namespaceSelector": {}}]]


def test_only_the_operator_and_the_other_instances_reach_the_control_api() -> None:
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}},
        "podSelector": {"matchLabels": names.operator_labels()},
    }
    spec = rendered(clients=[SHOP], metrics=[SHOP])
    assert _who_reaches(spec, names.PORT_CONTROL) == [PEERS, [operator]]


def test_nobody_needs_a_rule_for_probes() -> None:
    assert _who_reaches(rendered(), names.PORT_HEALTH) == []


def test_an_instance_reaches_dns_the_api_server_its_peers_and_what_the_spec_adds() -> None:
    extra = {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]}
    spec = rendered(apiServerCIDRs=["10.88.0.1/32"], extraEgress=[extra])
    peers, dns, api_server, added = spec["egress"]
    assert (peers["to"], [p["port"] for p in peers["ports"]]) == (PEERS, [3306, 8080])
    assert "to" not in dns
    assert dns["ports"] == [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    assert api_server["to"] == [{"ipBlock": {"cidr": "10.88.0.1/32"}}]
    assert [p["port"] for p in api_server["ports"]] == [443, 6443]
    assert added == extra


def test_without_a_word_about_it_the_api_server_may_be_anywhere() -> None:
    assert rendered()["egress"][2]["to"] == [{"ipBlock": {"cidr": "0.0.0.0/0"}}]
