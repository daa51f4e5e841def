"""What the provisioner has to do, from the claims and volumes there are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from tests.bed.config import PROVISIONER

Object = dict[str, Any]

_UNITS = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([KMGTPE])i|([kMGTPE])|(m)|[eE]([0-9]+))?$")
# mkfs.xfs makes nothing smaller; a claim may always get more than it asked for.
_MINIMUM = "300Mi"
_BY = "pv.kubernetes.io/provisioned-by"


@dataclass(frozen=True)
class Provision:
    """Make a disk of `size` (a quantity) and the volume object for a claim whose first Pod was placed on `node`."""

    volume: str
    size: str
    node: str
    claim: Object


@dataclass(frozen=True)
class Grow:
    """Grow the disk to `size` (a quantity), then tell the volume and the claim."""

    volume: str
    size: str
    claim: Object


@dataclass(frozen=True)
class Remove:
    """Remove the disk, then the volume object: nobody claims it any more."""

    volume: str


Action = Provision | Grow | Remove


def parse_quantity(text: str) -> int:
    """Bytes of a Kubernetes resource quantity, rounded up. Raises ValueError for anything else."""
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"not a quantity: {text!r}")
    number, binary, decimal, milli, exponent = match.groups()
    scale = Decimal(1)
    if binary:
        scale = Decimal(1024) ** ("KMGTPE".index(binary) + 1)
    elif decimal:
        scale = Decimal(10) ** _UNITS[decimal]
    elif milli:
        scale = Decimal("0.001")
    elif exponent:
        scale = Decimal(10) ** int(exponent)
    return int((Decimal(number) * scale).to_integral_value(rounding=ROUND_CEILING))


def is_ours(volume: Object) -> bool:
    return bool(volume["metadata"].get("annotations", {}).get(_BY) == PROVISIONER)


def plan(claims: Sequence[Object], volumes: Sequence[Object]) -> Iterator[Action]:
    """Every step that is due now; steps are independent of each other."""
    ours = {volume["metadata"]["name"]: volume for volume in volumes if is_ours(volume)}
    for volume in ours.values():
        released = volume.get("status", {}).get("phase") == "Released"
        if released and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
            yield Remove(volume["metadata"]["name"])
    for claim in claims:
        yield from _for_claim(claim, ours)


def _for_claim(claim: Object, ours: dict[str, Object]) -> Iterator[Action]:
    metadata, spec = claim["metadata"], claim["spec"]
    if "deletionTimestamp" in metadata:
        return
    wanted: str = max(spec["resources"]["requests"]["storage"], _MINIMUM, key=parse_quantity)
    bound_to = spec.get("volumeName")
    if bound_to:
        held = claim.get("status", {}).get("capacity", {}).get("storage")
        if bound_to in ours and held is not None and parse_quantity(wanted) > parse_quantity(held):
            yield Grow(bound_to, wanted, claim)
        return
    annotations = metadata.get("annotations", {})
    node = annotations.get("volume.kubernetes.io/selected-node")
    name = f"pvc-{metadata['uid']}"
    if node and annotations.get("volume.kubernetes.io/storage-provisioner") == PROVISIONER and name not in ours:
        yield Provision(name, wanted, node, claim)


def volume_object(action: Provision, mount_point: Path) -> Object:
    """The PersistentVolume of a new disk: only Pods on its node can use it, only its claim can bind it."""
    metadata, spec = action.claim["metadata"], action.claim["spec"]
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [action.node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": action.volume, "annotations": {_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": action.size},
            "accessModes": spec["accessModes"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "local": {"path": str(mount_point)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }
