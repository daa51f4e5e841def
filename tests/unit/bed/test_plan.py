"""The provisioner's decisions: which disks to make, grow and remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bed.config import PROVISIONER
from tests.bed.storage.plan import Grow, Provision, Remove, parse_quantity, plan, volume_object

CHOSEN = {
    "volume.kubernetes.io/selected-node": "node-2",
    "volume.kubernetes.io/storage-provisioner": PROVISIONER,
}


def claim(size: str = "1Gi", *, annotations: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": "c", "namespace": "n", "uid": "u1", "annotations": annotations or {}}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": size}},
    }
    return {
        "metadata": metadata | more.get("metadata", {}),
        "spec": spec | more.get("spec", {}),
        "status": more.get("status", {}),
    }


def volume(phase: str, *, by: str = PROVISIONER, policy: str = "Delete") -> dict[str, Any]:
    return {
        "metadata": {"name": "pvc-u1", "annotations": {"pv.kubernetes.io/provisioned-by": by}},
        "spec": {"persistentVolumeReclaimPolicy": policy},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        (".5Mi", 2**19),
        ("10G", 10**10),
        ("3e3", 3000),
        ("1500m", 2),
        ("2Ti", 2**41),
        ("1E", 10**18),
    ],
)
def test_quantities(text: str, size: int) -> None:
    assert parse_quantity(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1GiB", "-1", "1 Gi", "1ki", "one"])
def test_not_a_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


def test_a_claim_gets_a_disk_once_its_pod_has_a_node() -> None:
    waiting, placed = claim(), claim(annotations=CHOSEN)
    assert list(plan([waiting], [])) == []
    assert list(plan([placed], [])) == [Provision("pvc-u1", "1Gi", "node-2", placed)]
    assert list(plan([placed], [volume("Available")])) == []


def test_others_claims_and_dying_ones_are_left_alone() -> None:
    foreign = claim(annotations=CHOSEN | {"volume.kubernetes.io/storage-provisioner": "other"})
    dying = claim(annotations=CHOSEN, metadata={"annotations": CHOSEN, "deletionTimestamp": "now"})
    assert list(plan([foreign, dying], [])) == []


def test_a_small_claim_gets_what_the_file_system_needs() -> None:
    (action,) = plan([claim("1Mi", annotations=CHOSEN)], [])
    assert isinstance(action, Provision)
    assert action.size == "300Mi"


def test_a_bound_claim_grows_and_never_shrinks() -> None:
    status = {"capacity": {"storage": "1Gi"}}
    bigger = claim("2Gi", spec={"volumeName": "pvc-u1"}, status=status)
    bigger["spec"]["resources"] = {"requests": {"storage": "2Gi"}}
    same = claim("1024Mi", spec={"volumeName": "pvc-u1"}, status=status)
    assert list(plan([bigger], [volume("Bound")])) == [Grow("pvc-u1", "2Gi", bigger)]
    assert list(plan([same], [volume("Bound")])) == []
    assert list(plan([bigger], [volume("Bound", by="other")])) == []


def test_only_our_released_volumes_are_removed() -> None:
    assert list(plan([], [volume("Released")])) == [Remove("pvc-u1")]
    for kept in (volume("Bound"), volume("Released", by="other"), volume("Released", policy="Retain")):
        assert list(plan([], [kept])) == []


def test_the_volume_belongs_to_its_claim_and_node() -> None:
    (action,) = plan([claim(annotations=CHOSEN)], [])
    assert isinstance(action, Provision)
    made = volume_object(action, Path("/disks/pvc-u1"))
    assert made["spec"]["claimRef"]["uid"] == "u1"
    assert made["spec"]["local"] == {"path": "/disks/pvc-u1"}
    (term,) = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["node-2"]
    assert list(plan([], [made])) == []
