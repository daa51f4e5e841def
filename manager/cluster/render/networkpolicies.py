"""Who may open connections to the instances of a Cluster, and to whom the instances may.

An empty list of peers in a NetworkPolicy means everybody, so what nobody may reach has no rule at all. Probes need
none: a kubelet reaches the Pods of its own node whatever a policy says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cnmysql import names
from cnmysql.api.network import NetworkPolicyConfiguration
from manager.cluster.render.meta import Json, Owner, metadata

_DNS: Final = 53
_API_SERVER: Final = (443, 6443)
"""The port of the Service `kubernetes`, and the one behind it: a policy sees one or the other."""


def policy(owner: Owner, spec: NetworkPolicyConfiguration, operator_namespace: str) -> Json:
    """The one policy of the Cluster, for all its instances."""
    # Anybody who may create Pods here may give them the label of the Cluster, but not that of an instance: admission
    # leaves that to whoever decides the roles.
    instance = {"key": names.LABEL_INSTANCE, "operator": "Exists"}
    of_cluster = {"matchLabels": {names.LABEL_CLUSTER: owner.name}}
    peers = [{"podSelector": {**of_cluster, "matchExpressions": [instance]}}]
    operator = {
        "namespaceSelector": {"matchLabels": {names.LABEL_NAMESPACE_NAME: operator_namespace}},
        "podSelector": {"matchLabels": names.operator_labels()},
    }
    api_server = [{"ipBlock": {"cidr": cidr}} for cidr in spec.api_server_cidrs]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(owner, names.network_policy(owner.name)),
        "spec": {
            "podSelector": of_cluster,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": peers, "ports": _tcp(names.PORT_MYSQL, names.PORT_CONTROL)},
                {"from": [operator], "ports": _tcp(names.PORT_CONTROL)},
                *_from(spec.clients, names.PORT_MYSQL),
                *_from(spec.metrics, names.PORT_METRICS),
            ],
            "egress": [
                {"to": peers, "ports": _tcp(names.PORT_MYSQL, names.PORT_CONTROL)},
                {"ports": [_port("UDP", _DNS), _port("TCP", _DNS)]},
                {"to": api_server, "ports": _tcp(*_API_SERVER)},
                *spec.extra_egress,
            ],
        },
    }


def _from(peers: Iterable[Json], port: int) -> list[Json]:
    listed = list(peers)
    return [{"from": listed, "ports": _tcp(port)}] if listed else []


def _tcp(*ports: int) -> list[Json]:
    return [_port("TCP", port) for port in ports]


def _port(protocol: str, port: int) -> Json:
    return {"protocol": protocol, "port": port}
