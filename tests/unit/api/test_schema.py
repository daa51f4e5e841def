"""The schema generated from the models: structural, complete, and in agreement with how objects are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from cnmysql.api import schema
from cnmysql.api.base import Default, Limits, Model, Schema
from cnmysql.api.cluster import parse_spec
from cnmysql.api.crdgen import cluster_crd, cluster_schema

FORBIDDEN = {"$ref", "$defs", "title", "definitions", "additionalItems", "oneOf", "allOf", "const", "exclusiveMinimum"}


class _Inner(Model):
    """Something inside. Not this."""

    word: Annotated[str, Limits(max_length=3)] | None = Field(default=None, description="A word.")


class _Outer(Model):
    """Summary
    over two lines.

    More.
    """

    count: int = Field(default=2, ge=1, le=9, description="How many.")
    kind: Literal["a", "b"] = Field(description="Which.")
    names: Annotated[list[str], Limits(max_items=4, item_max_length=5)] = Field(default_factory=list, description="N.")
    labels: Annotated[dict[str, str], Limits(item_max_length=6)] = Field(default_factory=dict, description="L.")
    inner: Annotated[_Inner, Default({})] = Field(default_factory=_Inner, description="I.")
    raw: Annotated[dict[str, Any], Schema({"type": "object", "x": 1})] | None = Field(default=None, description="R.")


def test_each_kind_of_field() -> None:
    node = schema.without_nulls(schema.of_model(_Outer))
    assert node["description"] == "Summary over two lines."
    assert node["required"] == ["kind"]
    fields = node["properties"]
    assert fields["count"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 2, "description": "How many."}
    assert fields["kind"]["enum"] == ["a", "b"]
    assert fields["names"]["items"] == {"type": "string", "maxLength": 5}
    assert fields["names"]["maxItems"] == 4
    assert fields["labels"]["additionalProperties"] == {"type": "string", "maxLength": 6}
    assert fields["inner"]["default"] == {}
    assert fields["inner"]["properties"]["word"]["maxLength"] == 3
    assert fields["raw"] == {"type": "object", "x": 1, "description": "R."}


def test_a_type_without_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        schema.of_type(float)


def _nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(node, dict):
        return
    yield path, node
    for name, below in node.get("properties", {}).items():
        yield from _nodes(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        yield from _nodes(node.get(key), f"{path}.{key}")


def test_it_is_structural() -> None:
    for path, node in _nodes(cluster_schema()):
        assert not FORBIDDEN & set(node), path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not ("properties" in node and "additionalProperties" in node), path


def test_stored_defaults_are_the_defaults_of_the_model() -> None:
    """Applied by the API server or on reading, the outcome is the same."""
    smallest = {"storage": {"size": "1Gi"}}
    stored = _defaulted(cluster_schema()["properties"]["spec"], smallest)
    assert parse_spec({"spec": stored}) == parse_spec({"spec": smallest})
    everything = {**smallest, "affinity": {}, "mysql": {}, "inheritedMetadata": {}, "certificates": {}}
    assert parse_spec({"spec": _defaulted(cluster_schema()["properties"]["spec"], everything)}) == parse_spec(
        {"spec": smallest}
    )


def _defaulted(node: dict[str, Any], value: Any) -> Any:
    """Defaulting as the API server does it."""
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for name, field in node.get("properties", {}).items():
        if name not in result and "default" in field:
            result[name] = field["default"]
        if name in result:
            result[name] = _defaulted(field, result[name])
    return result


def test_a_status_has_no_defaults() -> None:
    """The first status an instance writes would otherwise seem to write every defaulted field."""
    assert not [path for path, node in _nodes(cluster_schema()["properties"]["status"]) if "default" in node]


def test_only_fields_that_do_something_are_served() -> None:
    assert set(cluster_schema()["properties"]["spec"]["properties"]) == {
        "description", "inheritedMetadata", "imageName", "imagePullPolicy", "imagePullSecrets", "instances", "storage",
        "rootPasswordSecret", "enableSuperuserAccess", "resources", "priorityClassName", "schedulerName",
        "topologySpreadConstraints", "affinity", "env", "envFrom", "podSecurityContext", "securityContext",
        "serviceAccountTemplate", "logLevel", "maxStartDelay", "maxStopDelay", "smartShutdownTimeout", "mysql",
        "bootstrap", "certificates", "networkPolicy",
    }  # fmt: skip


def test_the_kind() -> None:
    spec = cluster_crd()["spec"]
    version = spec["versions"][0]
    assert spec["names"]["shortNames"] == ["mysql", "mysqlcluster"]
    assert version["subresources"]["scale"]["labelSelectorPath"] == ".status.labelSelector"
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        "Instances", "Ready", "Status", "Primary", "Age",
    ]  # fmt: skip
