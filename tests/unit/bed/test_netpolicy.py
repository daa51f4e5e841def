"""The bed's NetworkPolicy: what the rules for iptables let through, against the meaning of the policies."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bed.netpolicy.chains import CHAINS, JUMPS, script
from tests.bed.netpolicy.plan import plan
from tests.bed.netpolicy.selectors import matches

Json = dict[str, Any]
OUTSIDE = "192.0.2.7"
WEB = {"10.244.1.1": 80, "10.244.1.2": 8080, "10.244.2.1": 80, "10.244.2.2": 9090}
"""Pods of the universe below and the number of their port `web`."""


def pod(address: str, labels: Mapping[str, str], namespace: str = "a", **status: Any) -> Json:
    return {
        "metadata": {"name": f"p{address}", "namespace": namespace, "labels": labels},
        "spec": {
            "nodeName": f"node-{address.split('.')[2]}",
            "containers": [{"ports": [{"name": "web", "containerPort": WEB.get(address, 80)}]}],
        },
        "status": {"podIP": address, "phase": "Running", **status},
    }


PODS = [
    pod("10.244.1.1", {"app": "x"}),
    pod("10.244.1.2", {"app": "y"}),
    pod("10.244.2.1", {"app": "x", "tier": "db"}, "b"),
    pod("10.244.2.2", {}, "b"),
]
NAMESPACES: list[Json] = [{"metadata": {"name": "a", "labels": {"team": "one"}}}, {"metadata": {"name": "b"}}]


def policy(namespace: str = "a", **spec: Any) -> Json:
    return {"metadata": {"name": "p", "namespace": namespace}, "spec": {"podSelector": {}, **spec}}


@dataclass(frozen=True)
class Connection:
    source: str
    target: str
    port: int
    protocol: str = "TCP"


# -- what the rules do ------------------------------------------------------------------------------------------------


def _rule_takes(words: Sequence[str], c: Connection, established: bool) -> bool:
    options = dict(zip(words[::2], words[1::2], strict=True))
    if "--ctstate" in options and not established:
        return False
    for flag, address in (("-s", c.source), ("-d", c.target)):
        if flag in options and ipaddress.ip_address(address) not in ipaddress.ip_network(options[flag]):
            return False
    if "-p" in options and options["-p"] != c.protocol.lower():
        return False
    first, _, last = options.get("--dport", "0:65535").partition(":")
    return int(first) <= c.port <= int(last)


def _chain_lets(text: str, chain: str, c: Connection, established: bool) -> bool:
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["-A", chain] and _rule_takes(words[2:-2], c, established):
            return words[-2:] == ["-j", "RETURN"]
    return True


def passes(policies: Sequence[Json], c: Connection, *, pods: Sequence[Json] = PODS, established: bool = False) -> bool:
    """Every node's FORWARD chain that the connection crosses lets it through."""
    found = plan(policies, pods, NAMESPACES)
    crossed = {f"node-{a.split('.')[2]}" for a in (c.source, c.target) if a.startswith("10.244.")}
    return all(
        _chain_lets(script(found[node]), ours, c, established)
        for node in crossed & set(found)
        for chain, ours in JUMPS
        if chain == "FORWARD"
    )


# -- what the policies mean -------------------------------------------------------------------------------------------


def _find(address: str) -> Json | None:
    return next((p for p in PODS if p["status"]["podIP"] == address), None)


def _peer_is(peer: Json, address: str, home: str) -> bool:
    if "ipBlock" in peer:
        ip = ipaddress.ip_address(address)
        inside = ip in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return inside and not any(ip in ipaddress.ip_network(e) for e in peer["ipBlock"].get("except", ()))
    found = _find(address)
    if found is None:
        return False
    namespace = found["metadata"]["namespace"]
    labels = next(n["metadata"].get("labels", {}) for n in NAMESPACES if n["metadata"]["name"] == namespace)
    right_place = matches(peer["namespaceSelector"], labels) if "namespaceSelector" in peer else bool(namespace == home)
    return right_place and matches(peer.get("podSelector", {}), found["metadata"]["labels"])


def _port_is(port: Json, c: Connection) -> bool:
    if port.get("protocol", "TCP") != c.protocol:
        return False
    number = port.get("port")
    if isinstance(number, str):
        return c.protocol == "TCP" and number == "web" and WEB.get(c.target) == c.port
    return number is None or c.port in range(number, port.get("endPort", int(number)) + 1)


def _allowed(policies: Sequence[Json], c: Connection, kind: str) -> bool:
    own, other = (c.target, c.source) if kind == "Ingress" else (c.source, c.target)
    where, whom = ("ingress", "from") if kind == "Ingress" else ("egress", "to")
    subject = _find(own)
    if subject is None:
        return True
    about = [
        p
        for p in policies
        if p["metadata"]["namespace"] == subject["metadata"]["namespace"]
        and matches(p["spec"]["podSelector"], subject["metadata"]["labels"])
        and kind in p["spec"]["policyTypes"]
    ]
    return not about or any(
        (not rule.get(whom) or any(_peer_is(peer, other, p["metadata"]["namespace"]) for peer in rule[whom]))
        and (not rule.get("ports") or any(_port_is(port, c) for port in rule["ports"]))
        for p in about
        for rule in p["spec"].get(where, ())
    )


def means(policies: Sequence[Json], c: Connection) -> bool:
    return _allowed(policies, c, "Egress") and _allowed(policies, c, "Ingress")


# -- the two against each other ---------------------------------------------------------------------------------------

_selectors = st.sampled_from(
    [
        {},
        {"matchLabels": {"app": "x"}},
        {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "y"]}]},
        {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]},
        {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
    ]
)
_spaces = st.sampled_from([{}, {"matchLabels": {"team": "one"}}, {"matchLabels": {"team": "two"}}])
_blocks = st.sampled_from(
    [
        {"cidr": "0.0.0.0/0"},
        {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]},
        {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24", "10.244.2.2/32"]},
        {"cidr": "10.244.1.1/32"},
        {"cidr": "fd00::/8"},
    ]
)
_peers = st.one_of(
    st.builds(lambda s: {"podSelector": s}, _selectors),
    st.builds(lambda s: {"namespaceSelector": s}, _spaces),
    st.builds(lambda s, n: {"podSelector": s, "namespaceSelector": n}, _selectors, _spaces),
    st.builds(lambda b: {"ipBlock": b}, _blocks),
)
_ports = st.sampled_from(
    [
        {"port": 80},
        {"port": "web"},
        {"port": "nothing"},
        {"protocol": "UDP"},
        {"port": 8000, "endPort": 9000},
        {"protocol": "UDP", "port": 80},
    ]
)


def _rules(whom: str) -> st.SearchStrategy[list[Json]]:
    rule = st.fixed_dictionaries(
        {}, optional={whom: st.lists(_peers, max_size=2), "ports": st.lists(_ports, max_size=2)}
    )
    return st.lists(rule, max_size=2)


_policies = st.builds(
    lambda namespace, selector, types, ingress, egress: policy(
        namespace, podSelector=selector, policyTypes=types, ingress=ingress, egress=egress
    ),
    st.sampled_from(["a", "b"]),
    _selectors,
    st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
    _rules("from"),
    _rules("to"),
)
_ends = st.sampled_from([*WEB, OUTSIDE])
_connections = st.builds(
    Connection, _ends, _ends, st.sampled_from([80, 8080, 8500, 9090, 3306]), st.sampled_from(["TCP", "UDP"])
).filter(lambda c: c.source != c.target)


@given(st.lists(_policies, max_size=3), _connections)
def test_rules_let_through_what_the_policies_mean(policies: list[Json], c: Connection) -> None:
    assert passes(policies, c) == _meaning_on_the_bed(policies, c)


def _meaning_on_the_bed(policies: Sequence[Json], c: Connection) -> bool:
    """Blocks with named ports aside, where the documentation leaves open what happens: see `plan._block`."""
    return means([_without_named_ports_of_blocks(p) for p in policies], c)


def _without_named_ports_of_blocks(p: Json) -> Json:
    rules: list[Json] = []
    for rule in p["spec"].get("egress", ()):
        blocks = [peer for peer in rule.get("to", ()) if "ipBlock" in peer]
        others = [peer for peer in rule.get("to", ()) if "ipBlock" not in peer]
        numbered = [port for port in rule.get("ports", ()) if not isinstance(port.get("port"), str)]
        if not blocks or len(numbered) == len(rule.get("ports", ())):
            rules.append(rule)
            continue
        rules += [{**rule, "to": others}] if others else []
        rules += [{"to": blocks, "ports": numbered}] if numbered else []
    return {**p, "spec": {**p["spec"], "egress": rules}}


@given(st.lists(_policies, max_size=3), _connections)
def test_connections_that_exist_go_on(policies: list[Json], c: Connection) -> None:
    assert passes(policies, c, established=True)


# -- single cases -----------------------------------------------------------------------------------------------------

A1, A2, B1, B2 = WEB


@pytest.mark.parametrize(
    ("operator", "values", "taken"),
    [
        ("In", ["x"], ["x"]),
        ("NotIn", ["x"], ["y", ""]),
        ("Exists", None, ["x", "y"]),
        ("DoesNotExist", None, [""]),
    ],
)
def test_selectors(operator: str, values: list[str] | None, taken: list[str]) -> None:
    selector = {"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}
    assert [v for v in ("x", "y", "") if matches(selector, {"app": v} if v else {})] == taken


def test_without_a_policy_there_is_nothing_to_do() -> None:
    assert plan([], PODS, NAMESPACES) == {}


def test_a_policy_without_rules_closes_what_it_selects_and_nothing_else() -> None:
    closed = [policy(policyTypes=["Ingress"])]
    assert not passes(closed, Connection(A2, A1, 80))
    assert not passes(closed, Connection(OUTSIDE, A1, 80))
    assert passes(closed, Connection(A1, B1, 80))
    assert set(plan(closed, PODS, NAMESPACES)) == {"node-1"}


def test_an_empty_rule_opens_everything() -> None:
    assert passes([policy(policyTypes=["Ingress"], ingress=[{}])], Connection(OUTSIDE, A1, 1, "UDP"))


def test_types_that_are_not_given_follow_the_rules() -> None:
    assert passes([policy(ingress=[{}])], Connection(A1, B1, 80))
    assert not passes([policy(egress=[{"to": [{"podSelector": {}}]}])], Connection(A1, B1, 80))


def test_a_policy_allows_what_another_one_does_not() -> None:
    closed, opened = (
        policy(policyTypes=["Ingress"]),
        policy(policyTypes=["Ingress"], ingress=[{"ports": [{"port": 80}]}]),
    )
    assert passes([closed, opened], Connection(B1, A1, 80))
    assert not passes([closed, opened], Connection(B1, A1, 81))


def test_a_named_port_is_that_of_the_pod_the_connection_goes_to() -> None:
    named = [policy(policyTypes=["Egress"], egress=[{"to": [{"podSelector": {}}], "ports": [{"port": "web"}]}])]
    assert passes(named, Connection(A1, A2, 8080))
    assert not passes(named, Connection(A1, A2, 80))


@pytest.mark.parametrize("change", [{"phase": "Succeeded"}, {"phase": "Failed"}, {"podIP": ""}])
def test_a_pod_without_an_address_of_its_own_is_neither_guarded_nor_a_peer(change: Json) -> None:
    pods = [pod(A1, {}), pod(A2, {"app": "x"}, **change)]
    peer = [{"from": [{"podSelector": {"matchLabels": {"app": "x"}}}]}]
    (guard,) = plan([policy(policyTypes=["Ingress"], ingress=peer)], pods, NAMESPACES)["node-1"]
    assert (guard.address, guard.allows) == (A1, ())


def test_a_pod_in_its_nodes_network_is_left_alone() -> None:
    host = pod("10.88.0.11", {})
    host["spec"] |= {"hostNetwork": True, "nodeName": "node-1"}
    assert plan([policy(policyTypes=["Ingress"])], [host], NAMESPACES) == {}


def test_the_same_state_gives_the_same_rules() -> None:
    policies = [policy(policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": {}}]}])]
    assert plan(policies, PODS, NAMESPACES) == plan(policies, list(reversed(PODS)), NAMESPACES)


def test_both_chains_are_always_declared_so_that_a_restore_empties_them() -> None:
    lines = script(()).splitlines()
    assert all(f":{chain} - [0:0]" in lines for chain in CHAINS.values())
    assert lines[-1] == "COMMIT"
