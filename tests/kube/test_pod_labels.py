"""Who may set the labels by which Services choose Pods."""

from __future__ import annotations

from typing import Any

import pytest

from cnmysql import names
from cnmysql.api.admission import POD_LABELS
from manager.cluster.render.meta import Owner
from tests.kube.api import Api, Json, Server
from tests.kube.instances import grant, token

PODS = {"apiGroups": [""], "resources": ["pods", "pods/status"], "verbs": ["*"]}
ROUTED = {names.LABEL_CLUSTER: "sample", names.LABEL_ROLE: "primary", names.LABEL_ROUTABLE: "true"}


def _user(server: Server, namespace: str, *more: Json) -> Api:
    """Somebody who may do anything with Pods, and what `more` grants."""
    server.admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "user"}}).must()
    grant(server, f"pods-{namespace}", [PODS, *more], "user", namespace)
    return server.as_token(token(server, namespace, "user"))


def _pod(name: str, labels: dict[str, str]) -> Json:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}


def _path(namespace: str, *rest: str) -> str:
    return "/".join((f"/api/v1/namespaces/{namespace}/pods", *rest))


@pytest.mark.parametrize(
    "labels",
    [
        ROUTED,
        {names.LABEL_CLUSTER: "sample", names.LABEL_INSTANCE: "sample-1"},
        {names.LABEL_CLUSTER: "no-such-cluster", names.LABEL_ROUTABLE: "true"},
    ],
)
def test_a_pod_with_copied_labels_is_refused(server: Server, owner: Owner, labels: dict[str, str]) -> None:
    user = _user(server, owner.namespace)
    answer = user.post(_path(owner.namespace), _pod("copy", labels))
    assert answer.code == 403
    assert f"ValidatingAdmissionPolicy '{POD_LABELS.name}'" in answer.message
    assert "patch the status of Cluster" in answer.message


@pytest.mark.parametrize("subresource", [(), ("status",)])
def test_labels_cannot_be_added_or_moved_later(server: Server, owner: Owner, subresource: tuple[str, ...]) -> None:
    user = _user(server, owner.namespace)
    plain = {"app": "shop", names.LABEL_CLUSTER: "sample"}
    assert user.post(_path(owner.namespace), _pod("mine", plain)).ok
    server.admin.post(_path(owner.namespace), _pod("sample-1", ROUTED)).must()

    def labelled(pod: str, **labels: Any) -> bool:
        keys = {getattr(names, f"LABEL_{key}"): value for key, value in labels.items()}
        return user.patch(_path(owner.namespace, pod, *subresource), {"metadata": {"labels": keys}}).ok

    assert not labelled("mine", ROUTABLE="true")
    assert not labelled("mine", INSTANCE="sample-1")
    assert not labelled("sample-1", ROUTABLE="false")
    assert not labelled("sample-1", ROLE=None)
    assert not labelled("sample-1", CLUSTER="other")


def test_everything_else_about_such_pods_stays_free(server: Server, owner: Owner) -> None:
    user = _user(server, owner.namespace)
    server.admin.post(_path(owner.namespace), _pod("sample-1", ROUTED)).must()
    change = {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "x"}}}
    assert user.patch(_path(owner.namespace, "sample-1"), change).ok
    status = {"status": {"phase": "Running"}}
    assert user.patch(_path(owner.namespace, "sample-1", "status"), status).ok
    assert user.delete(_path(owner.namespace, "sample-1")).ok


def test_who_may_write_the_status_of_the_cluster_may_route(server: Server, owner: Owner) -> None:
    """The operator, by whatever name and in whatever namespace it is installed."""
    right = {
        "apiGroups": [names.GROUP],
        "resources": ["clusters/status"],
        "resourceNames": ["sample"],
        "verbs": ["patch"],
    }
    user = _user(server, owner.namespace, right)
    assert user.post(_path(owner.namespace), _pod("sample-1", ROUTED)).ok
    other = {**ROUTED, names.LABEL_CLUSTER: "other"}
    assert not user.post(_path(owner.namespace), _pod("other-1", other)).ok
    assert not user.patch(_path(owner.namespace, "sample-1"), {"metadata": {"labels": other}}).ok
