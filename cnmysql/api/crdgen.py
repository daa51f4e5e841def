"""The CustomResourceDefinition of each kind, from its models and its rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from cnmysql import names
from cnmysql.api import schema
from cnmysql.api.base import Json
from cnmysql.api.cluster import Cluster, ClusterSpec
from cnmysql.api.rules import RULES, Rule
from cnmysql.api.status import ClusterStatus

_COLUMNS: Final = (
    ("Instances", "integer", ".status.instances", "Instances that exist"),
    ("Ready", "integer", ".status.readyInstances", "Instances that are ready"),
    ("Status", "string", ".status.phase", "Phase of the Cluster"),
    ("Primary", "string", ".status.currentPrimary", "Acting primary"),
    ("Age", "date", ".metadata.creationTimestamp", ""),
)


def cluster_crd() -> Json:
    """The CRD of Cluster."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"clusters.{names.GROUP}", "labels": {names.LABEL_APP_NAME: names.PRODUCT}},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "Cluster",
                "listKind": "ClusterList",
                "plural": "clusters",
                "singular": "cluster",
                "shortNames": ["mysql", "mysqlcluster"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": cluster_schema()},
                    "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.instances",
                            "statusReplicasPath": ".status.instances",
                            "labelSelectorPath": ".status.labelSelector",
                        },
                    },
                }
            ],
        },
    }


def cluster_schema() -> Json:
    """The structural schema of a Cluster with every rule in its place."""
    root: Json = {
        "type": "object",
        "description": schema.first_paragraph(Cluster.__doc__),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema.of_model(ClusterSpec),
            "status": schema.without_defaults(schema.of_model(ClusterStatus)),
        },
    }
    place(root, RULES)
    cleaned = schema.without_nulls(root)
    assert isinstance(cleaned, dict)
    return cleaned


def place(root: Json, rules: Iterable[Rule]) -> None:
    """Put each rule on the node it is about. Raises KeyError when there is no such field."""
    for rule in rules:
        node = _at(root, rule.at)
        node.setdefault("x-kubernetes-validations", []).append(_validation(rule))


def _at(root: Json, path: str) -> Json:
    node = root
    for part in path.split(".") if path else ():
        node = node["properties"][part]
    return node


def _validation(rule: Rule) -> Json:
    found: Json = {
        "rule": rule.cel,
        "message": f"{rule.field} is not acceptable; {rule.remedy}",
        "messageExpression": f"{rule.says} + '; {rule.remedy}'",
    }
    below = rule.field.removeprefix(rule.at)
    if rule.at and below:
        found["fieldPath"] = below
    return found


def _column(name: str, kind: str, path: str, description: str) -> Any:
    column = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "description": description} if description else column
