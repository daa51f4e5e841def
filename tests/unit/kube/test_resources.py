from __future__ import annotations

import pytest

from cnmysql.kube.resources import CLUSTERS, CRDS, NODES, PODS


def test_paths() -> None:
    assert PODS.path("ns", "a", "status") == "/api/v1/namespaces/ns/pods/a/status"
    assert PODS.path() == "/api/v1/pods"
    assert NODES.path(None, "n") == "/api/v1/nodes/n"
    assert NODES.path("ignored", "n") == "/api/v1/nodes/n"
    assert CLUSTERS.path("ns") == "/apis/mysql.cloudnative-mysql.io/v1alpha1/namespaces/ns/clusters"
    assert CRDS.path(name="x.y") == "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x.y"
    assert CLUSTERS.api_version == "mysql.cloudnative-mysql.io/v1alpha1"
    assert PODS.api_version == "v1"


def test_names_cannot_leave_their_place_in_the_path() -> None:
    assert PODS.path("ns", "../secrets/x?y") == "/api/v1/namespaces/ns/pods/..%2Fsecrets%2Fx%3Fy"


def test_one_object_needs_its_namespace() -> None:
    with pytest.raises(ValueError, match="needs a namespace"):
        PODS.path(None, "a")
