"""What the operator may do, verb by verb with the reason, and what people may be given. `deploy/rbac` is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cnmysql import names
from cnmysql.api.base import Json

_RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Grant:
    """Verbs on a resource and why.

    `delegated` verbs are not used by the operator itself: nobody may hand out a permission they do not hold, and
    the operator makes the Role of the instances; or admission asks for them. `cluster_only`: not about a namespace.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    delegated: tuple[str, ...] = ()
    cluster_only: bool = False


_FOLLOW: Final = ("get", "list", "watch")
_OWN: Final = (*_FOLLOW, "create", "patch", "delete")

GRANTS: Final[tuple[Grant, ...]] = (
    Grant(names.GROUP, "clusters", ("list", "watch"), "what to look after", delegated=("get",)),
    Grant(names.GROUP, "clusters/status", ("patch",), "roles, phase, conditions"),
    Grant(
        names.GROUP,
        "clusters/finalizers",
        (),
        "owner references that block deletion, where admission enforces who may set them",
        delegated=("update",),
    ),
    Grant("", "pods", _OWN, "one per instance; labels for routing"),
    Grant("", "persistentvolumeclaims", _OWN, "one per instance; growth; deletion of a former Cluster's"),
    Grant("", "services", _OWN, "routing, and one per instance"),
    Grant("", "configmaps", _OWN, "my.cnf and CA bundles"),
    Grant("", "secrets", _OWN, "generated passwords and certificates; keys of Secrets that specs name"),
    Grant("", "serviceaccounts", _OWN, "one per instance"),
    Grant(_RBAC, "roles", _OWN, "what the instances of a Cluster may do"),
    Grant(_RBAC, "rolebindings", _OWN, "who the instances of a Cluster are"),
    Grant("networking.k8s.io", "networkpolicies", _OWN, "who may connect to the instances, where the spec asks"),
    Grant(
        "coordination.k8s.io",
        "leases",
        (*_OWN, "update"),
        "the primary Lease of each Cluster, its hold cleared on proof; the operator's own leader election",
    ),
    Grant("events.k8s.io", "events", ("create", "patch"), "what happened and why, on the Cluster"),
    Grant("cert-manager.io", "issuers", _OWN, "the CA of each Cluster"),
    Grant("cert-manager.io", "certificates", _OWN, "CA, server and client certificates"),
    Grant("cert-manager.io", "certificates/status", ("patch",), "leaves are issued anew when their CA has changed"),
    Grant("authentication.k8s.io", "tokenreviews", ("create",), "who asks for /metrics", cluster_only=True),
    Grant(
        "authorization.k8s.io", "subjectaccessreviews", ("create",), "whether they may get /metrics", cluster_only=True
    ),
)


def rules(grants: Iterable[Grant], *, namespaced: bool) -> list[Json]:
    """Policy rules of these grants, for a Role when `namespaced`."""
    return [
        {"apiGroups": [g.group], "resources": [g.resource], "verbs": [*g.verbs, *g.delegated]}
        for g in grants
        if not (namespaced and g.cluster_only)
    ]


def operator_role(*, namespaced: bool) -> tuple[Json, Json]:
    """The operator's role and its binding: cluster-wide, or for the one namespace it is installed in."""
    prefix = "" if namespaced else "Cluster"
    role = f"{names.PRODUCT}-manager-role"
    scope: Json = {"namespace": names.OPERATOR_NAMESPACE} if namespaced else {}
    labels = {"labels": {names.LABEL_APP_NAME: names.PRODUCT}}
    return (
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{prefix}Role",
            "metadata": {"name": role, **scope, **labels},
            "rules": rules(GRANTS, namespaced=namespaced),
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{prefix}RoleBinding",
            "metadata": {"name": f"{names.PRODUCT}-manager-rolebinding", **scope, **labels},
            "roleRef": {"apiGroup": _RBAC, "kind": f"{prefix}Role", "name": role},
            "subjects": [
                {"kind": "ServiceAccount", "name": names.OPERATOR_NAME, "namespace": names.OPERATOR_NAMESPACE}
            ],
        },
    )


def _user_role(name: str, found: list[Json]) -> Json:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{names.PRODUCT}-{name}", "labels": {names.LABEL_APP_NAME: names.PRODUCT}},
        "rules": found,
    }


def user_roles() -> tuple[Json, ...]:
    """Roles for people and monitoring; nothing is bound to them here."""

    def on(resource: str, *verbs: str) -> Json:
        return {"apiGroups": [names.GROUP], "resources": [resource], "verbs": list(verbs)}

    write = ("create", "update", "patch", "delete")
    return (
        _user_role("cluster-viewer-role", [on("clusters", *_FOLLOW), on("clusters/status", "get")]),
        _user_role(
            "cluster-editor-role",
            [
                on("clusters", *_FOLLOW, *write),
                on("clusters/status", "get"),
                on("clusters/scale", "get", "update", "patch"),
            ],
        ),
        _user_role(
            "cluster-admin-role",
            [
                on("clusters", *_FOLLOW, *write, "deletecollection"),
                on("clusters/status", "get", "update", "patch"),
                on("clusters/scale", "get", "update", "patch"),
            ],
        ),
        _user_role("metrics-reader", [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]),
    )
