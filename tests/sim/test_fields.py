"""No field of the spec is accepted that does nothing: each one changes what is made."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from cnmysql import names
from cnmysql.api.cluster import ClusterSpec
from manager.cluster.snapshot import Known, UserSecret
from tests.sim.issuing import authority, brought, leaf
from tests.sim.operator_world import World
from tests.support.merge_patch import merge_patch

Json = dict[str, Any]
MINIMAL: Json = {"instances": 2, "storage": {"size": "1Gi"}}
TERM = {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
NODES = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM]}}
PODS = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
PEER = {"podSelector": {"matchLabels": {"app": "shop"}}}
WALLS: Json = {"networkPolicy": {"enabled": True}}
OWN_CA: Json = {"certificates": {"serverCASecret": "ca"}}

ELSEWHERE = {"description": "for people"}
VALUES: dict[str, object] = {
    "inheritedMetadata.labels": {"team": "shop"},
    "inheritedMetadata.annotations": {"team": "shop"},
    "imageName": "mysql:9.7.4",
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "instances": 3,
    "storage.storageClass": "fast",
    "storage.size": "2Gi",
    "storage.pvcTemplate": {"volumeAttributesClassName": "fast"},
    "storage.whenDeleted": "Delete",
    "rootPasswordSecret": {"name": "root"},
    "enableSuperuserAccess": True,
    "resources": {"limits": {"memory": "1Gi"}},
    "priorityClassName": "high",
    "schedulerName": "other",
    "topologySpreadConstraints": [SPREAD],
    "affinity.enablePodAntiAffinity": False,
    "affinity.topologyKey": "zone",
    "affinity.podAntiAffinityType": "required",
    "affinity.nodeSelector": {"disk": "ssd"},
    "affinity.nodeAffinity": NODES,
    "affinity.tolerations": [{"key": "db", "operator": "Exists"}],
    "affinity.additionalPodAffinity": PODS,
    "affinity.additionalPodAntiAffinity": PODS,
    "env": [{"name": "TZ", "value": "UTC"}],
    "envFrom": [{"configMapRef": {"name": "more", "optional": True}}],
    "podSecurityContext": {"fsGroup": 1234},
    "securityContext": {"runAsUser": 1234},
    "serviceAccountTemplate.metadata.labels": {"team": "shop"},
    "serviceAccountTemplate.metadata.annotations": {"team": "shop"},
    "logLevel": "debug",
    "maxStartDelay": 77,
    "maxStopDelay": 777,
    "smartShutdownTimeout": 77,
    "mysql.parameters": {"max_connections": "77"},
    "mysql.binlogFormat": "MIXED",
    "bootstrap.initdb.database": "shop",
    "bootstrap.initdb.owner": "shop",
    "bootstrap.initdb.secret": {"name": "login"},
    "bootstrap.initdb.postInitSQL": ["DO 1"],
    "bootstrap.initdb.characterSet": "latin1",
    "bootstrap.initdb.collation": "utf8mb4_bin",
    "certificates.serverCASecret": "ca",
    "certificates.serverTLSSecret": "server",
    "certificates.clientCASecret": "clients",
    "certificates.replicationTLSSecret": "replication",
    "certificates.operatorTLSSecret": "operator",
    "certificates.serverAltDNSNames": ["db.example.com"],
    "networkPolicy.enabled": True,
    "networkPolicy.clients": [PEER],
    "networkPolicy.metrics": [PEER],
    "networkPolicy.extraEgress": [{"to": [PEER]}],
    "networkPolicy.apiServerCIDRs": ["10.1.2.3/32"],
}


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]


def leaves(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Paths of the fields; a reference to another object, and a list of them, is one."""
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        inner = _models(field.annotation)
        if inner and set(inner[0].model_fields) != {"name"}:
            yield from leaves(inner[0], f"{path}.")
        else:
            yield path


def with_value(spec: Json, path: str, value: object) -> Json:
    patch: Any = value
    for key in reversed(path.split(".")):
        patch = {key: patch}
    changed: Json = merge_patch(spec, patch)
    return changed


def beside(path: str) -> Json:
    """What else has to be asked for, so that the field can do anything."""
    if path.startswith("networkPolicy.") and path != "networkPolicy.enabled":
        return WALLS
    return OWN_CA if path.startswith("certificates.") and path.endswith("TLSSecret") else {}


def settled(spec: Json) -> Json:
    """What is made of it, once it is Ready."""
    world, own = World(spec), authority("mine")
    clients = authority("clients")
    world.issuing.user |= {"ca": own, "clients": clients}
    login = UserSecret(Known.PRESENT, frozenset({"username", "password"}), "1")
    world.api.user_secrets |= {
        "root": login,
        "login": login,
        "ca": brought(own),
        "clients": brought(clients),
        "server": brought(leaf(own, dns=("db-1.shop.svc", "db-2.shop.svc"), server=True), ca=own),
        "replication": brought(leaf(own, "db-replication", "shop", server=False), ca=own),
        "operator": brought(leaf(own, names.OPERATOR_CN, server=False), ca=own),
    }
    world.settle()
    assert world.phase == names.PHASE_READY, world.status.get("phaseReason")
    return world.shape()


def test_every_field_has_a_value_here() -> None:
    assert sorted(leaves(ClusterSpec)) == sorted(VALUES.keys() | ELSEWHERE)


@pytest.mark.parametrize("more", [{}, WALLS, OWN_CA])
def test_the_same_spec_makes_the_same(more: Json) -> None:
    assert settled(MINIMAL | more | ELSEWHERE) == settled(MINIMAL | more)


@pytest.mark.parametrize("path", VALUES)
def test_a_field_changes_what_is_made(path: str) -> None:
    spec = MINIMAL | beside(path)
    assert settled(with_value(spec, path, VALUES[path])) != settled(spec)


def test_how_images_are_pulled_is_said_for_every_container_of_the_image() -> None:
    pods = settled(with_value(MINIMAL, "imagePullPolicy", "Always"))["pods"]
    containers = [c for pod in pods.values() for c in (*pod["spec"]["initContainers"][1:], *pod["spec"]["containers"])]
    assert [c["imagePullPolicy"] for c in containers] == ["Always"] * 4
