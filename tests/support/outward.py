"""Where a Cluster's spec names something outside itself: a Secret, a ConfigMap, a key of one, or a file.

Read from the schema, so that a field which is added is attacked as well. A path is a tuple of steps; `env[]` is an
entry of the list `env`, `labels{}` a value of the map `labels`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cnmysql.api.crdgen import cluster_schema

Node = Mapping[str, Any]
Path = tuple[str, ...]

_OUTWARD = re.compile(r"(secret|configMap|file|profile)s?(Key)?(Ref)?(\[\])?$", re.IGNORECASE)

INWARD = {
    "affinity.nodeSelector{}", "affinity.topologyKey", "capabilities.add[]", "capabilities.drop[]",
    "certificates.serverAltDNSNames[]", "claims[].name", "description", "envFrom[].prefix", "env[].name",
    "env[].value", "fieldRef.apiVersion", "fieldRef.fieldPath", "imageName", "inheritedMetadata.annotations{}",
    "inheritedMetadata.labels{}", "initdb.characterSet", "initdb.collation", "initdb.database", "initdb.owner",
    "initdb.postInitSQL[]", "ipBlock.cidr", "ipBlock.except[]", "labelSelector.matchLabels{}",
    "matchExpressions[].key", "matchExpressions[].operator", "matchExpressions[].values[]", "matchFields[].key",
    "matchFields[].operator", "matchFields[].values[]", "metadata.annotations{}", "metadata.labels{}",
    "mysql.parameters{}", "namespaceSelector.matchLabels{}", "networkPolicy.apiServerCIDRs[]",
    "podAffinityTerm.matchLabelKeys[]", "podAffinityTerm.mismatchLabelKeys[]", "podAffinityTerm.namespaces[]",
    "podAffinityTerm.topologyKey", "podSelector.matchLabels{}", "priorityClassName", "pvcTemplate.dataSource",
    "pvcTemplate.dataSourceRef", "pvcTemplate.storageClassName", "pvcTemplate.volumeAttributesClassName",
    "pvcTemplate.volumeName", "requests.storage",
    "requiredDuringSchedulingIgnoredDuringExecution[].matchLabelKeys[]",
    "requiredDuringSchedulingIgnoredDuringExecution[].mismatchLabelKeys[]",
    "requiredDuringSchedulingIgnoredDuringExecution[].namespaces[]",
    "requiredDuringSchedulingIgnoredDuringExecution[].topologyKey", "resourceFieldRef.containerName",
    "resourceFieldRef.resource", "schedulerName", "seLinuxOptions.level", "seLinuxOptions.role",
    "seLinuxOptions.type", "seLinuxOptions.user", "securityContext.procMount", "selector.matchLabels{}",
    "storage.size", "storage.storageClass", "sysctls[].name", "sysctls[].value", "tolerations[].key",
    "tolerations[].operator", "tolerations[].value", "topologySpreadConstraints[].matchLabelKeys[]",
    "topologySpreadConstraints[].topologyKey",
}  # fmt: skip
"""Ends of the paths of all other texts. A new field by which nothing of the outside is chosen is added here."""

_WHAT_ELSE: Mapping[str, Node] = {"bootstrap.initdb": {"database": "app"}}
"""What an object needs beside the field, where a rule and not the schema says so."""

GOOD = "a-name.b"
_TRAVERSING = ("../../kube-system/secrets/x", "..", "a/../b", "%2e%2e%2fx", "/etc/passwd", "Ünicode", "a\nb", "")


def hostile(path: Path) -> tuple[str, ...]:
    """Names that lead elsewhere. A profile may lie in a folder, nothing else may."""
    return _TRAVERSING if path[-1] == "localhostProfile" else (*_TRAVERSING, "a/b")


def texts(node: Node, path: Path = ()) -> Iterator[Path]:
    """Every field whose value is a text of the user's own, or an object that may hold anything."""
    if node.get("type") == "string" and "enum" not in node:
        yield path
    if node.get("x-kubernetes-preserve-unknown-fields") and not node.get("properties"):
        yield path
    for name, below in node.get("properties", {}).items():
        yield from texts(below, (*path, name))
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), Mapping):
            yield from texts(node[key], (*path[:-1], path[-1] + mark))


def end(path: Path) -> str:
    """How INWARD names it."""
    return ".".join(path[-2:])


def is_outward(path: Path) -> bool:
    """By its own name, or by that of the reference whose name or key it is."""
    named = path[-2] if path[-1] in ("name", "key") and len(path) > 1 else path[-1]
    return bool(_OUTWARD.search(named))


def spec_schema() -> Node:
    found: Node = cluster_schema()["properties"]["spec"]
    return found


def outward() -> list[Path]:
    return [path for path in texts(spec_schema()) if is_outward(path)]


def spec_with(path: Path, value: str) -> dict[str, Any]:
    """A spec in which this field is this text, and as little else as the schema allows."""
    made = _with(spec_schema(), path, value, "")
    assert isinstance(made, dict)
    return {k: v for k, v in made.items() if k == path[0].rstrip("[]{}")}


def _with(node: Node, path: Path, value: str, at: str) -> Any:
    if not path:
        return value
    step, below = path[0].rstrip("[]{}"), node["properties"][path[0].rstrip("[]{}")]
    here = f"{at}.{step}".lstrip(".")
    entry = below["items"] if path[0].endswith("[]") else below
    inner = _with(entry, path[1:], value, here)
    needed = {n: _sample(node["properties"][n]) for n in node.get("required", ()) if n != step}
    return {**needed, **_WHAT_ELSE.get(at, {}), step: [inner] if path[0].endswith("[]") else inner}


def _sample(node: Node) -> Any:
    """Something that this field may be."""
    if node.get("type") == "object":
        return {n: _sample(node["properties"][n]) for n in node.get("required", ())}
    return node["enum"][-1] if "enum" in node else GOOD


def shown(path: Path) -> str:
    """The field as the API server names it."""
    return ".".join(("spec", *path)).replace("[]", "[0]")
