"""Clusters stored before a rule existed: nothing that keeps them running may be refused, and they can be put right."""

from __future__ import annotations

from typing import Any

import pytest

from cnmysql import names
from tests.kube.api import Json, Server, cluster, clusters
from tests.kube.conftest import BAD_SPEC, STORED

GOOD_SPEC: Json = {
    "storage": {"size": "1Gi"},
    "imageName": "mysql:9.7",
    "env": [],
    "mysql": {"parameters": {}},
    "resources": {},
    "inheritedMetadata": {"labels": {}},
    "bootstrap": {"initdb": {}},
    "logLevel": "info",
    "networkPolicy": {"clients": []},
}


def _get(server: Server, name: str) -> Any:
    return server.admin.get(clusters(STORED, name)).must()


@pytest.mark.parametrize("field", sorted(BAD_SPEC))
def test_each_part_would_be_refused_today(server: Server, field: str) -> None:
    answer = server.admin.post(clusters(STORED), cluster(STORED, "new", {field: BAD_SPEC[field]}), dryRun="All")
    assert answer.code == 422
    assert f"spec.{field}" in answer.message


def test_status_can_be_written(server: Server) -> None:
    before = _get(server, "status")
    status = {"phase": "Blocked", "epoch": 1, "roleChange": {"epoch": 1, "kind": "bootstrap", "to": "status-1"}}
    patch = {"metadata": {"resourceVersion": before["metadata"]["resourceVersion"]}, "status": status}
    after = server.admin.patch(clusters(STORED, "status", "status"), patch).must()
    assert after["status"]["phase"] == "Blocked"
    assert server.admin.put(clusters(STORED, "status", "status"), after).ok


def test_finalizers_can_be_added_and_removed_also_while_it_is_deleted(server: Server) -> None:
    path = clusters(STORED, "finalizer")
    server.admin.patch(path, {"metadata": {"finalizers": [names.PREFIX + "test"]}}).must()
    server.admin.delete(path).must()
    assert _get(server, "finalizer")["metadata"]["deletionTimestamp"]
    server.admin.patch(path, {"metadata": {"finalizers": None}}).must()
    assert server.admin.get(path).code == 404


def test_labels_and_annotations_can_be_edited(server: Server) -> None:
    patch = {"metadata": {"labels": {"a": "b"}, "annotations": {names.ANN_RESTART: "now"}}}
    assert server.admin.patch(clusters(STORED, "label"), patch).ok


def test_it_can_be_scaled(server: Server) -> None:
    answer = server.admin.patch(clusters(STORED, "scale", "scale"), {"spec": {"replicas": 2}})
    assert answer.must()["spec"]["replicas"] == 2


def test_the_spec_can_be_corrected(server: Server) -> None:
    stored = _get(server, "correct")
    stored["spec"] = cluster(STORED, "correct", GOOD_SPEC)["spec"]
    corrected = server.admin.put(clusters(STORED, "correct"), stored).must()
    assert corrected["spec"]["storage"]["size"] == "1Gi"


def test_what_stays_wrong_in_a_changed_spec_is_named(server: Server) -> None:
    patch = {"spec": {"storage": {"size": "1Gi"}, "logLevel": "info"}}
    answer = server.admin.patch(clusters(STORED, "corrected-by-half"), patch)
    assert answer.code == 422
    assert "spec.mysql.parameters: server_id" in answer.message
