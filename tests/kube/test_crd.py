"""The kind as the API server serves it: defaults, bounds, subresources, unknown fields, explanation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cnmysql import names
from cnmysql.api.cluster import parse
from cnmysql.api.crdgen import cluster_schema
from tests.kube.api import CLUSTERS, EXTENSIONS, Json, Server, cluster, clusters


def test_the_smallest_cluster_gets_its_defaults(server: Server, namespace: str) -> None:
    body = cluster(namespace)
    body["spec"] = {"storage": {"size": "1Gi"}}
    stored = server.admin.post(clusters(namespace), body).must()
    spec = stored["spec"]
    assert spec["instances"] == 1
    assert spec["imageName"] == names.DEFAULT_MYSQL_IMAGE
    assert spec["storage"] == {"size": "1Gi", "whenDeleted": "Retain"}
    assert spec["bootstrap"] == {"initdb": {"database": "app", "owner": "app"}}
    assert (spec["maxStartDelay"], spec["maxStopDelay"], spec["smartShutdownTimeout"]) == (3600, 1800, 180)
    assert "affinity" not in spec
    assert parse(stored).spec == parse({"metadata": stored["metadata"], "spec": body["spec"]}).spec


def test_defaults_below_a_given_object(server: Server, namespace: str) -> None:
    spec = {"affinity": {"nodeSelector": {"a": "b"}}, "mysql": {}, "bootstrap": {"initdb": {"database": "shop"}}}
    stored = server.admin.post(clusters(namespace), cluster(namespace, spec=spec), dryRun="All").must()["spec"]
    assert stored["affinity"]["enablePodAntiAffinity"] is True
    assert stored["affinity"]["topologyKey"] == "kubernetes.io/hostname"
    assert stored["mysql"] == {"binlogFormat": "ROW"}
    assert stored["bootstrap"] == {"initdb": {"database": "shop"}}
    assert parse({"spec": stored}).spec.bootstrap.initdb.owner == "app"


def _bounds(node: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A value that breaks each bound of the spec: (path, value)."""
    for name, field in node.get("properties", {}).items():
        below = (*path, name)
        if "enum" in field:
            yield below, "nonsense"
        if "minimum" in field:
            yield below, field["minimum"] - 1
        if "maximum" in field:
            yield below, field["maximum"] + 1
        if "maxLength" in field and field.get("type") == "string":
            yield below, "a" * (field["maxLength"] + 1)
        if "maxItems" in field and field["items"].get("type") == "string":
            yield below, ["a"] * (field["maxItems"] + 1)
        wrong: dict[Any, Any] = {"string": 7, "integer": "x", "boolean": "x", "object": "x", "array": "x"}
        yield below, wrong[field["type"]]
        if not field.get("x-kubernetes-preserve-unknown-fields"):
            yield from _bounds(field, below)


def _nested(path: tuple[str, ...], value: Any) -> Json:
    for part in reversed(path):
        value = {part: value}
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="session")
def bounds() -> list[tuple[tuple[str, ...], Any]]:
    return list(_bounds(cluster_schema()["properties"]["spec"]))


def test_every_bound_is_kept_and_named(
    server: Server, namespace: str, bounds: list[tuple[tuple[str, ...], Any]]
) -> None:
    assert len(bounds) > 60
    for path, value in bounds:
        answer = server.admin.post(clusters(namespace), cluster(namespace, spec=_nested(path, value)), dryRun="All")
        assert answer.code == 422, (path, value)
        assert "spec." + ".".join(path) in answer.message, (path, value, answer.message)


def test_a_field_that_does_nothing_yet_is_pruned_with_a_warning(server: Server, namespace: str) -> None:
    body = cluster(namespace, spec={"minSyncReplicas": 1, "storage": {"resizeInUseVolumes": True}})
    strict = server.admin.post(clusters(namespace), body, dryRun="All", fieldValidation="Strict")
    assert strict.code == 400
    assert 'unknown field "spec.minSyncReplicas"' in strict.message
    assert 'unknown field "spec.storage.resizeInUseVolumes"' in strict.message
    assert "minSyncReplicas" not in server.admin.post(clusters(namespace), body, dryRun="All").must()["spec"]


def test_a_mistake_in_a_passed_on_object_is_refused_here(server: Server, namespace: str) -> None:
    for spec, field in (
        ({"affinity": {"tolerations": [{"key": 7}]}}, "spec.affinity.tolerations[0].key"),
        ({"resources": {"requests": {"memory": "1 GB"}}}, "spec.resources.requests.memory"),
        ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "spec.topologySpreadConstraints[0].topologyKey"),
        ({"storage": {"pvcTemplate": {"volumeMode": "Block"}}}, "spec.storage.pvcTemplate.volumeMode"),
        ({"certificates": {"serverAltDNSNames": ["not a name"]}}, "spec.certificates.serverAltDNSNames[0]"),
        ({"bootstrap": {"initdb": {"postInitSQL": [" ;"]}}}, "spec.bootstrap.initdb.postInitSQL[0]"),
    ):
        answer = server.admin.post(clusters(namespace), cluster(namespace, spec=spec), dryRun="All")
        assert answer.code == 422, spec
        assert field in answer.message


def test_scaling_goes_through_the_rules(server: Server, namespace: str) -> None:
    server.admin.post(clusters(namespace), cluster(namespace)).must()
    status = {"status": {"instances": 3, "labelSelector": f"{names.LABEL_CLUSTER}=sample"}}
    server.admin.patch(clusters(namespace, "sample", "status"), status).must()
    scale = server.admin.get(clusters(namespace, "sample", "scale")).must()
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
    assert scale["status"]["selector"] == f"{names.LABEL_CLUSTER}=sample"
    refused = server.admin.patch(clusters(namespace, "sample", "scale"), {"spec": {"replicas": 0}})
    assert refused.code == 422
    assert "spec.instances" in refused.message
    assert "scaled" in _kubectl(server, "scale", "cluster/sample", "--replicas=5", "-n", namespace)
    assert server.admin.get(clusters(namespace, "sample")).must()["spec"]["instances"] == 5


def test_status_and_spec_are_written_apart(server: Server, namespace: str) -> None:
    stored = server.admin.post(clusters(namespace), {**cluster(namespace), "status": {"phase": "Ready"}}).must()
    assert "status" not in stored
    both = {"spec": {"instances": 5}, "status": {"phase": "Ready"}}
    after = server.admin.patch(clusters(namespace, "sample", "status"), both).must()
    assert (after["spec"]["instances"], after["status"]["phase"]) == (3, "Ready")


def test_names_people_type(server: Server) -> None:
    kinds = server.admin.get(CLUSTERS).must()["resources"]
    cluster_kind = next(kind for kind in kinds if kind["name"] == "clusters")
    assert cluster_kind["shortNames"] == ["mysql", "mysqlcluster"]
    assert cluster_kind["categories"] == ["all"]


def test_columns(server: Server, namespace: str) -> None:
    server.admin.post(clusters(namespace), cluster(namespace)).must()
    status = {"instances": 3, "readyInstances": 2, "phase": "Degraded", "currentPrimary": "sample-1"}
    server.admin.patch(clusters(namespace, "sample", "status"), {"status": status}).must()
    shown = _kubectl(server, "get", "mysql", "-n", namespace).splitlines()
    assert shown[0].split() == ["NAME", "INSTANCES", "READY", "STATUS", "PRIMARY", "AGE"]
    assert shown[1].split()[:5] == ["sample", "3", "2", "Degraded", "sample-1"]


def test_every_field_is_explained(server: Server) -> None:
    text = _kubectl(server, "explain", "clusters.spec", "--recursive", f"--api-version={names.API_VERSION}")
    for field in ("instances", "pvcTemplate", "serverAltDNSNames", "postInitSQL", "whenDeleted"):
        assert field in text
    assert "may grow, never shrink" in _kubectl(server, "explain", "clusters.spec.storage.size")


def test_deleting_the_kind_needs_to_be_said(server: Server) -> None:
    path = f"{EXTENSIONS}/clusters.{names.GROUP}"
    refused = server.admin.call("DELETE", path, dryRun="All")
    assert refused.code == 403
    assert f"{names.ANN_ALLOW_DELETION}=true" in refused.message
    server.admin.patch(path, {"metadata": {"annotations": {names.ANN_ALLOW_DELETION: "true"}}}).must()
    try:
        assert server.admin.call("DELETE", path, dryRun="All").ok
    finally:
        server.admin.patch(path, {"metadata": {"annotations": {names.ANN_ALLOW_DELETION: None}}}).must()


def _kubectl(server: Server, *words: str) -> str:
    done = server.kubectl(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout
