"""Which kinds of object make up a Cluster, and under which name the snapshot keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cnmysql.kube import resources
from cnmysql.kube.resources import Resource

OWNED: Final[Mapping[str, Resource]] = {
    "pods": resources.PODS,
    "volumes": resources.PVCS,
    "services": resources.SERVICES,
    "config_maps": resources.CONFIGMAPS,
    "secrets": resources.SECRETS,
    "service_accounts": resources.SERVICE_ACCOUNTS,
    "roles": resources.ROLES,
    "role_bindings": resources.ROLE_BINDINGS,
    "leases": resources.LEASES,
    "issuers": resources.ISSUERS,
    "certificates": resources.CERTIFICATES,
    "network_policies": resources.NETWORK_POLICIES,
}
"""Field of `Objects` -> resource."""

CERT_MANAGER: Final = frozenset({"issuers", "certificates"})
"""Kinds that exist only where cert-manager is installed."""

BY_KIND: Final[Mapping[str, Resource]] = {resource.kind: resource for resource in OWNED.values()}
