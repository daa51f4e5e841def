"""Instances as the API server sees them: a ServiceAccount, a Pod it runs as, and a token bound to that Pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnmysql import names
from manager.cluster.render import rbac
from manager.cluster.render.meta import Owner
from tests.kube.api import RBAC, Api, Json, Server, cluster, clusters, leases

ANY = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
"""Rights without bound: what is refused then is refused by admission."""


@dataclass(frozen=True)
class Instance:
    """One instance of a Cluster; `api` calls with its token."""

    name: str
    pod_uid: str
    api: Api

    @property
    def identity(self) -> str:
        return names.holder_identity(self.name, self.pod_uid)


def make_cluster(server: Server, namespace: str, name: str = "sample") -> Owner:
    """A Cluster and its primary Lease, as the operator makes them; nobody holds it and nobody is ordered."""
    made = server.admin.post(clusters(namespace), cluster(namespace, name)).must()
    lease = {
        "metadata": {"name": names.primary_lease(name), "labels": {names.LABEL_CLUSTER: name}},
        "spec": {"holderIdentity": "", "leaseDurationSeconds": 10},
    }
    server.admin.post(leases(namespace), lease).must()
    return Owner(name, namespace, made["metadata"]["uid"])


def make_instance(server: Server, owner: Owner, name: str, *, wide: bool = False, pod: str = "") -> Instance:
    """`wide`: with all rights there are, instead of the Role the operator makes."""
    ns, account = owner.namespace, names.service_account(name)
    server.admin.post(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": account}})
    if wide:
        _bind_everything(server, ns, account)
    else:
        server.admin.apply(f"{RBAC}/namespaces/{ns}/roles/{names.instance_role(owner.name)}", rbac.role(owner)).must()
        binding = rbac.role_binding(owner, [name])
        binding["metadata"]["name"] = account
        server.admin.apply(f"{RBAC}/namespaces/{ns}/rolebindings/{account}", binding).must()
    body = {
        "metadata": {"name": pod or name},
        "spec": {"serviceAccountName": account, "containers": [{"name": "mysql", "image": "mysql"}]},
    }
    made = server.admin.post(f"/api/v1/namespaces/{ns}/pods", body).must()
    return Instance(name, made["metadata"]["uid"], server.as_token(token(server, ns, account, made)))


def token(server: Server, namespace: str, account: str, pod: Json | None = None) -> str:
    """A token of this account, bound to the Pod when there is one."""
    spec: Json = {}
    if pod is not None:
        meta = pod["metadata"]
        spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return str(server.admin.post(path, {"spec": spec}).must()["status"]["token"])


def grant(server: Server, name: str, rules: Sequence[Json], account: str, namespace: str) -> None:
    """A ClusterRole with these rules, bound to the account."""
    server.admin.apply(
        f"{RBAC}/clusterroles/{name}",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": list(rules),
        },
    ).must()
    server.admin.apply(
        f"{RBAC}/clusterrolebindings/{name}",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    ).must()


def _bind_everything(server: Server, namespace: str, account: str) -> None:
    grant(server, f"everything-{namespace}-{account}", ANY, account, namespace)


def order(server: Server, owner: Owner, to: str, epoch: int = 1) -> None:
    """The operator's order to open."""
    change = {"epoch": epoch, "kind": "bootstrap", "to": to, "since": "2026-01-01T00:00:00Z"}
    status = {"status": {"epoch": epoch, "roleChange": change}}
    server.admin.patch(clusters(owner.namespace, owner.name, "status"), status).must()


def hold(server: Server, owner: Owner, holder: str) -> None:
    """Put this holder on the Lease, as an earlier life of the Cluster would have."""
    path = leases(owner.namespace, names.primary_lease(owner.name))
    server.admin.patch(path, {"spec": {"holderIdentity": holder}}).must()
