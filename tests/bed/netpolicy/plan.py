"""Which connections each Pod may have, from the policies, Pods and namespaces there are. Pure.

A Pod that no policy selects for a direction is open in it. One that is selected has exactly the connections that any
of its policies allows (NetworkPolicySpec in the API reference). IPv4 only, as the bed is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.bed.netpolicy.selectors import matches

Object = dict[str, Any]
Direction = Literal["Ingress", "Egress"]
ANY = "0.0.0.0/0"


@dataclass(frozen=True, order=True)
class Allow:
    """Connections with this range of addresses at the other end. No protocol: any; ports inclusive, 0 to 0: any."""

    network: str
    protocol: str = ""
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class Guard:
    """A Pod that may have these connections in one direction and no others."""

    address: str
    direction: Direction
    allows: tuple[Allow, ...]


@dataclass(frozen=True)
class _Pod:
    namespace: str
    labels: Mapping[str, str]
    address: str
    node: str
    named: Mapping[tuple[str, str], int]
    """(name, protocol) of the ports of its containers -> number."""


def plan(
    policies: Sequence[Object], pods: Sequence[Object], namespaces: Sequence[Object]
) -> dict[str, tuple[Guard, ...]]:
    """Guards by node, in a stable order; a node without any is not in it."""
    seen = sorted((p for p in map(_pod, pods) if p is not None), key=lambda p: p.address)
    labels = {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in namespaces}
    found: dict[str, list[Guard]] = {}
    directions: tuple[Direction, ...] = ("Ingress", "Egress")
    for pod in seen:
        for direction in directions:
            selecting = [p for p in policies if _selects(p, pod) and direction in _types(p)]
            if selecting:
                allows = {a for p in selecting for a in _allows(p, pod, direction, seen, labels)}
                found.setdefault(pod.node, []).append(Guard(pod.address, direction, tuple(sorted(allows))))
    return {node: tuple(guards) for node, guards in found.items()}


def _pod(obj: Object) -> _Pod | None:
    """None for one that has no address of its own: not placed yet, ended, or in its node's network."""
    status, spec = obj.get("status") or {}, obj["spec"]
    address = status.get("podIP")
    if not address or spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    named = {
        (port["name"], port.get("protocol", "TCP")): int(port["containerPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("name")
    }
    metadata = obj["metadata"]
    return _Pod(metadata["namespace"], metadata.get("labels") or {}, address, spec["nodeName"], named)


def _selects(policy: Object, pod: _Pod) -> bool:
    return bool(policy["metadata"]["namespace"] == pod.namespace) and matches(
        policy["spec"].get("podSelector") or {}, pod.labels
    )


def _types(policy: Object) -> Sequence[str]:
    spec = policy["spec"]
    types: Sequence[str] = spec.get("policyTypes") or ("Ingress", *(("Egress",) if spec.get("egress") else ()))
    return types


def _allows(
    policy: Object, pod: _Pod, direction: Direction, pods: Sequence[_Pod], namespaces: Mapping[str, Mapping[str, str]]
) -> Iterator[Allow]:
    where, whom = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    home = policy["metadata"]["namespace"]
    for rule in policy["spec"].get(where) or ():
        peers: Sequence[Object] = rule.get(whom) or ()
        ports: Sequence[Object] = rule.get("ports") or ({},)
        for port in ports:
            if not peers:
                yield from _anybody(port, pod, direction, pods)
            for peer in peers:
                if "ipBlock" in peer:
                    yield from _block(peer["ipBlock"], port, pod, direction)
                else:
                    chosen = (p for p in pods if _chosen(peer, p, home, namespaces))
                    yield from _pods(chosen, port, pod, direction)


def _chosen(peer: Object, pod: _Pod, home: str, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"] or {}, namespaces.get(pod.namespace, {})):
            return False
    elif pod.namespace != home:
        return False
    return matches(peer.get("podSelector") or {}, pod.labels)


def _pods(chosen: Iterable[_Pod], port: Object, pod: _Pod, direction: Direction) -> Iterator[Allow]:
    """A named port is looked up at the Pod the connection goes to."""
    for other in chosen:
        yield from _at(f"{other.address}/32", port, pod if direction == "Ingress" else other)


def _block(block: Object, port: Object, pod: _Pod, direction: Direction) -> Iterator[Allow]:
    """Nobody knows the names of ports of whatever has an address in a block, so there they allow nothing."""
    for network in _without(block["cidr"], block.get("except") or ()):
        yield from _at(network, port, pod if direction == "Ingress" else None)


def _anybody(port: Object, pod: _Pod, direction: Direction, pods: Sequence[_Pod]) -> Iterator[Allow]:
    if direction == "Egress" and isinstance(port.get("port"), str):
        yield from _pods(pods, port, pod, direction)
    else:
        yield from _at(ANY, port, pod)


def _at(network: str, port: Object, target: _Pod | None) -> Iterator[Allow]:
    protocol, number = port.get("protocol", "TCP"), port.get("port")
    if not port:
        yield Allow(network)
    elif number is None:
        yield Allow(network, protocol)
    elif isinstance(number, int):
        yield Allow(network, protocol, number, port.get("endPort", number))
    elif target is not None and (number, protocol) in target.named:
        found = target.named[number, protocol]
        yield Allow(network, protocol, found, found)


def _without(cidr: str, excepted: Iterable[str]) -> list[str]:
    """The networks that make up a block with its exceptions taken out; none for an IPv6 block."""
    whole = ipaddress.ip_network(cidr, strict=False)
    if not isinstance(whole, ipaddress.IPv4Network):
        return []
    left = [whole]
    for text in excepted:
        hole = ipaddress.IPv4Network(text, strict=False)
        left = [part for network in left for part in _minus(network, hole)]
    return [str(network) for network in left]


def _minus(network: ipaddress.IPv4Network, hole: ipaddress.IPv4Network) -> Iterable[ipaddress.IPv4Network]:
    if network.subnet_of(hole):
        return ()
    return network.address_exclude(hole) if hole.subnet_of(network) else (network,)
