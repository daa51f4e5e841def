"""One API server for the whole run, with the kind and the policies of the product installed.

Before the product's rules come into force, Clusters are stored that break them, as an older release might have.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from cnmysql.api.admission import POLICIES
from cnmysql.api.crdgen import cluster_crd
from cnmysql.api.policy import objects
from manager.cluster.render.meta import Owner
from tests.bed import apiserver
from tests.kube.api import ADMISSION, EXTENSIONS, Api, Json, Server, admin_context, cluster, clusters, until
from tests.kube.instances import Instance, make_cluster, make_instance

STORED = "stored"
"""Namespace of the Clusters that were there before the rules."""

BAD_SPEC: Json = {
    "storage": {"size": "lots"},
    "imageName": "mysql:5.7",
    "env": [{"name": "POD_NAME", "value": "x"}],
    "mysql": {"parameters": {"server_id": "7"}},
    "resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1}},
    "inheritedMetadata": {"labels": {"not a label": "x y"}},
    "bootstrap": {"initdb": {"owner": "root"}},
    "logLevel": "loud",
    "networkPolicy": {"clients": [{}]},
}
BAD_NAMES = ("status", "finalizer", "scale", "label", "correct", "corrected-by-half")

_COUNTER = count(1)
_PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def loosened(node: object) -> object:
    """A schema without its rules and enumerations."""
    if isinstance(node, dict):
        return {k: loosened(v) for k, v in node.items() if k not in ("x-kubernetes-validations", "enum")}
    return [loosened(v) for v in node] if isinstance(node, list) else node


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """An API server with nothing of ours in it."""
    with apiserver.run_only(folder) as kubeconfig:
        line = next(text for text in kubeconfig.read_text().split() if text.strip('",').startswith("https://"))
        url = line.strip('",')
        admin = Api(url, admin_context(folder))
        try:
            yield Server(url, folder, kubeconfig, admin)
        finally:
            admin.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The API server with CRD and policies, all of them in force, and the Clusters stored before."""
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        _store_bad_clusters(found)
        _install(found)
        yield found


def _store_bad_clusters(server: Server) -> None:
    crd = copy.deepcopy(cluster_crd())
    version = crd["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"] = loosened(version["schema"]["openAPIV3Schema"])
    server.admin.apply(f"{EXTENSIONS}/{crd['metadata']['name']}", crd).must()
    until(lambda: server.admin.get(clusters("default")).ok, "clusters are served")
    server.admin.post("/api/v1/namespaces", {"metadata": {"name": STORED}}).must()
    for name in BAD_NAMES:
        server.admin.post(clusters(STORED), cluster(STORED, name, BAD_SPEC)).must()


def _install(server: Server) -> None:
    crd = cluster_crd()
    server.admin.apply(f"{EXTENSIONS}/{crd['metadata']['name']}", crd).must()
    for policy in POLICIES:
        for body in objects(policy):
            server.admin.apply(f"{ADMISSION}/{_PLURALS[body['kind']]}/{policy.name}", body).must()
    for spec in ({"logLevel": "loud"}, {"mysql": {"parameters": {"server_id": "7"}}}):
        refused = cluster("default", spec=spec)
        until(lambda: server.admin.post(clusters("default"), refused, dryRun="All").code == 422, f"{spec} is refused")  # noqa: B023
    path = f"{EXTENSIONS}/{crd['metadata']['name']}"
    until(lambda: server.admin.call("DELETE", path, dryRun="All").code == 403, "deleting the kind is refused")


@pytest.fixture
def namespace(server: Server) -> str:
    """A namespace of the test's own."""
    name = f"t{next(_COUNTER)}"
    server.admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).must()
    return name


@pytest.fixture
def owner(server: Server, namespace: str) -> Owner:
    """A Cluster of the test's own."""
    return make_cluster(server, namespace)


@pytest.fixture
def instance(server: Server, owner: Owner) -> Instance:
    """An instance of it that RBAC lets do anything: what is refused, admission refuses."""
    return make_instance(server, owner, "sample-1", wide=True)
