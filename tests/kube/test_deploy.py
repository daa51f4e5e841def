"""`kubectl apply -k deploy/` and what follows from it, on an API server of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnmysql import names
from cnmysql.api.rbac import GRANTS
from manager.cluster.render import rbac
from manager.cluster.render.meta import Owner
from tests.kube.api import EXTENSIONS, RBAC, Api, Json, Server, cluster, clusters, leases, until
from tests.kube.conftest import running
from tests.kube.instances import token

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CRD = f"{EXTENSIONS}/clusters.{names.GROUP}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An API server after the one command of the installation."""
    with running(tmp_path_factory.mktemp("deploy")) as server:
        done = server.kubectl("apply", "-k", str(DEPLOY))
        assert done.returncode == 0, done.stderr
        assert "violate" not in done.stderr
        assert "Warning" not in done.stderr
        until(lambda: server.admin.get(clusters("default")).ok, "clusters are served")
        yield server


def test_applying_again_changes_nothing(installed: Server) -> None:
    done = installed.kubectl("apply", "-k", str(DEPLOY))
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.endswith(" unchanged")] == []


def test_the_operator_names_its_own_image_to_the_pods(installed: Server) -> None:
    path = f"/apis/apps/v1/namespaces/{names.OPERATOR_NAMESPACE}/deployments/{names.OPERATOR_NAME}"
    container = installed.admin.get(path).must()["spec"]["template"]["spec"]["containers"][0]
    environment = {e["name"]: e.get("value") for e in container["env"]}
    assert container["image"] == environment["OPERATOR_IMAGE"] == names.DEFAULT_OPERATOR_IMAGE


def test_a_kustomization_on_top_changes_the_image_in_both_places(installed: Server, tmp_path: Path) -> None:
    text = (DEPLOY / "kustomization.yaml").read_text().replace("overlays/cluster-wide", "base")
    (tmp_path / "base").symlink_to(DEPLOY)
    images = f"images:\n  - name: {names.DEFAULT_OPERATOR_IMAGE.rpartition(':')[0]}\n    newTag: other\n"
    copied = tmp_path / "own"
    copied.mkdir()
    (copied / "kustomization.yaml").write_text(text.replace("- base", f"- {_relative(copied)}") + images)
    done = installed.kubectl("kustomize", str(copied))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(names.DEFAULT_OPERATOR_IMAGE.rpartition(":")[0] + ":other") == 2


def _relative(folder: Path) -> str:
    ups = "/".join([".."] * len(folder.parts[1:]))
    return f"{ups}{DEPLOY}"


@pytest.mark.parametrize("sample", sorted((DEPLOY / "samples").glob("*.yaml")), ids=lambda path: path.stem)
def test_samples_are_accepted_without_a_warning(installed: Server, sample: Path) -> None:
    done = installed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(sample))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_the_operator_may_hand_out_the_role_of_the_instances(installed: Server) -> None:
    ns = names.OPERATOR_NAMESPACE
    operator = installed.as_token(token(installed, ns, names.OPERATOR_NAME))
    _hands_out(operator, "default")


def _hands_out(operator: Api, namespace: str) -> None:
    owner = Owner("sample", namespace, "00000000-0000-0000-0000-000000000000")
    for plural, body in (("roles", rbac.role(owner)), ("rolebindings", rbac.role_binding(owner, ["sample-1"]))):
        operator.apply(f"{RBAC}/namespaces/{namespace}/{plural}/{body['metadata']['name']}", body).must()


def _may(api: Api, verb: str, group: str, resource: str, namespace: str = "") -> bool:
    main, _, sub = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": main, "subresource": sub, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).must()
    return bool(answer["status"]["allowed"])


OUTSIDE: tuple[tuple[str, str, str], ...] = (
    ("create", names.GROUP, "clusters"),
    ("patch", names.GROUP, "clusters"),
    ("delete", names.GROUP, "clusters"),
    ("list", "", "nodes"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("escalate", "rbac.authorization.k8s.io", "roles"),
    ("bind", "rbac.authorization.k8s.io", "roles"),
    ("impersonate", "", "users"),
    ("deletecollection", "", "secrets"),
    ("create", "", "pods/exec"),
    ("create", "", "serviceaccounts/token"),
)


def test_the_operator_holds_what_the_table_says_and_no_more(installed: Server) -> None:
    operator = installed.as_token(token(installed, names.OPERATOR_NAMESPACE, names.OPERATOR_NAME))
    for grant in GRANTS:
        for verb in (*grant.verbs, *grant.delegated):
            assert _may(operator, verb, grant.group, grant.resource), (verb, grant.resource)
    for verb, group, resource in OUTSIDE:
        assert not _may(operator, verb, group, resource), (verb, resource)
        assert not _may(operator, verb, group, resource, "default"), (verb, resource)


def test_people_may_be_given_roles(installed: Server) -> None:
    for role, allowed, refused in (
        ("viewer", ("get", "list", "watch"), ("create", "patch", "delete")),
        ("editor", ("get", "create", "patch", "delete"), ("deletecollection",)),
        ("admin", ("get", "create", "patch", "delete", "deletecollection"), ()),
    ):
        user = f"user-{role}"
        installed.admin.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": user}}).must()
        binding: Json = {
            "metadata": {"name": user},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": f"cnmysql-cluster-{role}-role",
            },
            "subjects": [{"kind": "ServiceAccount", "name": user, "namespace": "default"}],
        }
        installed.admin.post(f"{RBAC}/namespaces/default/rolebindings", binding).must()
        api = installed.as_token(token(installed, "default", user))
        for verb in allowed:
            assert _may(api, verb, names.GROUP, "clusters", "default"), (role, verb)
        for verb in refused:
            assert not _may(api, verb, names.GROUP, "clusters", "default"), (role, verb)


@pytest.fixture(scope="module")
def namespaced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An API server with the operator of one namespace."""
    with running(tmp_path_factory.mktemp("namespaced")) as server:
        server.admin.post("/api/v1/namespaces", {"metadata": {"name": names.OPERATOR_NAMESPACE}}).must()
        done = server.kubectl("apply", "-k", str(DEPLOY / "overlays" / "namespaced"))
        assert done.returncode == 0, done.stderr
        yield server


def test_the_namespaced_operator_has_its_namespace_and_no_other(namespaced: Server) -> None:
    ns = names.OPERATOR_NAMESPACE
    operator = namespaced.as_token(token(namespaced, ns, names.OPERATOR_NAME))
    _hands_out(operator, ns)
    for grant in GRANTS:
        for verb in (*grant.verbs, *grant.delegated):
            assert _may(operator, verb, grant.group, grant.resource, ns) == (not grant.cluster_only), grant
            assert not _may(operator, verb, grant.group, grant.resource, "default"), (verb, grant.resource)
    bindings = namespaced.admin.get(f"{RBAC}/clusterrolebindings").must()["items"]
    subjects: list[Any] = [s for b in bindings for s in b.get("subjects") or ()]
    assert names.OPERATOR_NAME not in {s["name"] for s in subjects}
    path = f"/apis/apps/v1/namespaces/{ns}/deployments/{names.OPERATOR_NAME}"
    environment = json.dumps(namespaced.admin.get(path).must()["spec"]["template"]["spec"]["containers"][0]["env"])
    assert "WATCH_NAMESPACE" in environment


def test_uninstalling_the_namespaced_operator_leaves_its_namespace(namespaced: Server) -> None:
    """It is the namespace of the databases."""
    done = namespaced.kubectl("delete", "-k", str(DEPLOY / "overlays" / "namespaced" / "operator"), "--wait=false")
    assert done.returncode == 0, done.stderr
    found = namespaced.admin.get(f"/api/v1/namespaces/{names.OPERATOR_NAMESPACE}").must()
    assert "deletionTimestamp" not in found["metadata"]


def test_policies_without_their_kind_stop_nobody_else(tmp_path: Path) -> None:
    """Node heartbeats are Leases too: the policy about ours must not need anything else to be installed."""
    with running(tmp_path) as server:
        done = server.kubectl("apply", "-k", str(DEPLOY / "admission"))
        assert done.returncode == 0, done.stderr
        labels = {names.LABEL_CLUSTER: "sample"}
        for name, found in (("node", {}), ("sample-primary", labels)):
            metadata = {"name": name, "labels": found}
            server.admin.post(leases("default"), {"metadata": metadata, "spec": {"holderIdentity": ""}}).must()
        until(lambda: not _beat(server, "sample-primary"), "the policy is in force")
        assert _beat(server, "node")


def _beat(server: Server, name: str) -> bool:
    return server.admin.patch(leases("default", name), {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}).ok


def test_uninstalling_keeps_the_kind_and_every_cluster(installed: Server) -> None:
    installed.admin.post(clusters("default"), cluster("default", "kept")).must()
    done = installed.kubectl("delete", "-k", str(DEPLOY), "--wait=false")
    assert done.returncode != 0
    assert f"{names.ANN_ALLOW_DELETION}=true" in done.stderr
    assert done.stderr.count("forbidden") == 1
    assert "deletionTimestamp" not in installed.admin.get(CRD).must()["metadata"]
    assert installed.admin.get(clusters("default", "kept")).ok
    path = f"/apis/apps/v1/namespaces/{names.OPERATOR_NAMESPACE}/deployments/{names.OPERATOR_NAME}"
    assert installed.admin.get(path).code == 404
