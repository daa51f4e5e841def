"""The primary Lease: whoever holds it may be open."""

from __future__ import annotations

from typing import Final

from cnmysql import names
from manager.cluster.render.meta import Json, Owner, metadata

DURATION_SECONDS: Final = 10


def lease(owner: Owner, holder: str) -> Json:
    """A Lease that is missing is made again with the last known holder: absence is not release."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata(owner, names.primary_lease(owner.name)),
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": DURATION_SECONDS},
    }


def cleared(resource_version: str, note: str) -> Json:
    """Merge patch that takes the hold away from the record it was judged on, and says why."""
    return {
        "metadata": {"resourceVersion": resource_version, "annotations": {names.ANN_CLEARED: note}},
        "spec": {"holderIdentity": ""},
    }
