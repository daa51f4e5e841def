"""Services: one headless per instance, reachable before it is ready, and three that route to ready ones only."""

from __future__ import annotations

from typing import Any

from cnmysql import names
from manager.cluster.render.meta import Json, Owner, metadata

_MYSQL: dict[str, Any] = {
    "name": names.PORT_NAME_MYSQL,
    "port": names.PORT_MYSQL,
    "targetPort": names.PORT_NAME_MYSQL,
    "protocol": "TCP",
}


def headless(owner: Owner, instance: str, role: str) -> Json:
    """Gives the instance its DNS name from the first moment: peers and the operator reach it while it starts."""
    control = {
        "name": names.PORT_NAME_CONTROL,
        "port": names.PORT_CONTROL,
        "targetPort": names.PORT_NAME_CONTROL,
        "protocol": "TCP",
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, instance, instance=instance, role=role),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {names.LABEL_CLUSTER: owner.name, names.LABEL_INSTANCE: instance},
            "ports": [_MYSQL, control],
        },
    }


def routing(owner: Owner) -> tuple[Json, ...]:
    """`-rw` to the open primary, `-ro` to replicas, `-r` to every instance; all only while Ready and routable."""
    roles = (
        (names.service_rw(owner.name), "rw", names.ROLE_PRIMARY),
        (names.service_ro(owner.name), "ro", names.ROLE_REPLICA),
        (names.service_r(owner.name), "r", ""),
    )
    return tuple(_routing(owner, name, kind, role) for name, kind, role in roles)


def _routing(owner: Owner, name: str, kind: str, role: str) -> Json:
    selector = {names.LABEL_CLUSTER: owner.name, names.LABEL_ROUTABLE: "true"}
    if role:
        selector[names.LABEL_ROLE] = role
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, name, role=kind),
        "spec": {
            "type": "ClusterIP",
            "publishNotReadyAddresses": False,
            "selector": selector,
            "ports": [_MYSQL],
        },
    }
