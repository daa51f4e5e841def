"""What an instance manager may do in the API: read its own Cluster, write its status and the primary Lease."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cnmysql import names
from manager.cluster.render.meta import Json, Owner, metadata


def service_account(
    owner: Owner, instance: str, extra_labels: Mapping[str, str], extra_annotations: Mapping[str, str]
) -> Json:
    """One account per instance, so that admission can tell instances apart."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(
            owner,
            names.service_account(instance),
            instance=instance,
            extra_labels=extra_labels,
            extra_annotations=extra_annotations,
        ),
    }


def role(owner: Owner) -> Json:
    """Only this Cluster and this Lease, by name; list and watch carry a field selector on that name."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata(owner, names.instance_role(owner.name)),
        "rules": [
            {
                "apiGroups": [names.GROUP],
                "resources": ["clusters"],
                "resourceNames": [owner.name],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": [names.GROUP],
                "resources": ["clusters/status"],
                "resourceNames": [owner.name],
                "verbs": ["patch"],
            },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": [names.primary_lease(owner.name)],
                "verbs": ["get", "update"],
            },
        ],
    }


def role_binding(owner: Owner, instances: Iterable[str]) -> Json:
    """Binds the Role to the accounts of these instances."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata(owner, names.instance_role(owner.name)),
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": names.instance_role(owner.name),
        },
        "subjects": [
            {"kind": "ServiceAccount", "name": names.service_account(i), "namespace": owner.namespace}
            for i in instances
        ],
    }
