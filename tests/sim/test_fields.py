"""No field of the spec is accepted that does nothing: each one changes what is made."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel

from cnmysql.api.cluster import ClusterSpec
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
    "certificates.serverCASecret": "mine",
    "certificates.serverTLSSecret": "mine",
    "certificates.clientCASecret": "mine",
    "certificates.replicationTLSSecret": "mine",
    "certificates.operatorTLSSecret": "mine",
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


@cache
def made(walls: bool) -> Json:
    """What is made of a spec that asks for nothing in particular."""
    return settled({**MINIMAL, **(WALLS if walls else {})})


def settled(spec: Json) -> Json:
    world = World(spec)
    world.settle()
    return world.shape()


def test_every_field_has_a_value_here() -> None:
    assert sorted(leaves(ClusterSpec)) == sorted(VALUES.keys() | ELSEWHERE)


@pytest.mark.parametrize("walls", [False, True])
def test_the_same_spec_makes_the_same(walls: bool) -> None:
    assert settled({**MINIMAL, **(WALLS if walls else {}), "description": "for people"}) == made(walls)


@pytest.mark.parametrize("path", VALUES)
def test_a_field_changes_what_is_made(path: str) -> None:
    walls = path.startswith("networkPolicy.") and path != "networkPolicy.enabled"
    spec = with_value({**MINIMAL, **(WALLS if walls else {})}, path, VALUES[path])
    assert settled(spec) != made(walls)


def test_how_images_are_pulled_is_said_for_every_container_of_the_image() -> None:
    pods = settled(with_value(MINIMAL, "imagePullPolicy", "Always"))["pods"]
    containers = [c for pod in pods.values() for c in (*pod["spec"]["initContainers"][1:], *pod["spec"]["containers"])]
    assert [c["imagePullPolicy"] for c in containers] == ["Always"] * 4
