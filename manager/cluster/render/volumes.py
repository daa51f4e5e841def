"""PersistentVolumeClaims: created once, then only their size, owner and metadata are patched."""

from __future__ import annotations

from typing import Any

from cnmysql import names
from cnmysql.api.cluster import StorageConfiguration
from manager.cluster.render.meta import Json, Owner, metadata


def claim(owner: Owner, instance: str, storage: StorageConfiguration, role: str) -> Json:
    """The data volume of an instance. Without an owner reference it outlives the Cluster (`whenDeleted: Retain`)."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(
            owner,
            instance,
            instance=instance,
            role=role,
            extra_annotations={names.ANN_CLUSTER_UID: owner.uid},
            owned=deleted_with_cluster(storage),
        ),
        "spec": _spec(storage),
    }


def deleted_with_cluster(storage: StorageConfiguration) -> bool:
    return storage.when_deleted == "Delete"


def requested_size(storage: StorageConfiguration) -> str:
    """The size asked for, a Kubernetes quantity."""
    return str(_spec(storage)["resources"]["requests"]["storage"])


def _spec(storage: StorageConfiguration) -> Json:
    template: dict[str, Any] = dict(storage.pvc_template or {})
    template.setdefault("accessModes", ["ReadWriteOnce"])
    if storage.storage_class is not None:
        template["storageClassName"] = storage.storage_class
    if storage.size is not None:
        resources = dict(template.get("resources") or {})
        resources["requests"] = {**(resources.get("requests") or {}), "storage": storage.size}
        template["resources"] = resources
    return template
