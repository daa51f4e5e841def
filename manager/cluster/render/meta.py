"""Metadata every object of a Cluster carries, and the comparison that tells whether an object has to be written.

An object applied by us carries a hash of what was applied. It is written again when the hash differs from that
of the desired body (this also takes away what we applied before and no longer want), or when somebody changed
a field of ours. Fields and keys of others are never looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cnmysql import names

Json = dict[str, Any]

_SHARED_LISTS: Final = frozenset({"metadata.ownerReferences", "spec.ports"})
"""Lists to which others may add elements of their own."""


@dataclass(frozen=True)
class Owner:
    """The Cluster an object is rendered for."""

    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """inheritedMetadata.labels"""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """inheritedMetadata.annotations"""


def reference(owner: Owner) -> Json:
    """Controller reference to the Cluster: the garbage collector removes the object with it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Cluster",
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def labels_for(owner: Owner, *, instance: str = "", role: str = "", extra: Mapping[str, str] | None = None) -> Json:
    """Inherited labels under our own: the operator's keys win."""
    ours = names.labels(owner.name)
    if instance:
        ours[names.LABEL_INSTANCE] = instance
    if role:
        ours[names.LABEL_ROLE] = role
    return {**_inheritable(owner.labels), **(extra or {}), **ours}


def annotations_for(owner: Owner, own: Mapping[str, str] | None = None) -> Json:
    """Inherited annotations under our own."""
    return {**_inheritable(owner.annotations), **(own or {})}


def _inheritable(keys: Mapping[str, str]) -> Json:
    return {k: v for k, v in keys.items() if not k.startswith(names.PREFIX)}


def metadata(
    owner: Owner,
    name: str,
    *,
    instance: str = "",
    role: str = "",
    extra_labels: Mapping[str, str] | None = None,
    extra_annotations: Mapping[str, str] | None = None,
    owned: bool = True,
) -> Json:
    """Complete metadata of an object of ours."""
    meta: Json = {
        "name": name,
        "namespace": owner.namespace,
        "labels": labels_for(owner, instance=instance, role=role, extra=extra_labels),
        "annotations": annotations_for(owner, extra_annotations),
    }
    if owned:
        meta["ownerReferences"] = [reference(owner)]
    return meta


def digest(value: object) -> str:
    """SHA-256 of a JSON value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def stamp(body: Json) -> Json:
    """The body with the hash of itself in its annotations."""
    meta = body["metadata"]
    return {
        **body,
        "metadata": {**meta, "annotations": {**meta["annotations"], names.ANN_APPLIED: digest(body)[:32]}},
    }


def differs(live: Json | None, stamped: Json) -> bool:
    """True when the live object has to be applied again."""
    return live is None or not _covers(live, stamped, "")


def _covers(live: object, wanted: object, path: str) -> bool:
    """Every field of `wanted` is in `live` with the same value."""
    if isinstance(wanted, Mapping):
        below = f"{path}." if path else ""
        return isinstance(live, Mapping) and all(_covers(live.get(k), v, f"{below}{k}") for k, v in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list):
            return not wanted and live is None
        if path in _SHARED_LISTS:
            return all(any(_covers(have, want, f"{path}[]") for have in live) for want in wanted)
        return len(live) == len(wanted) and all(_covers(a, b, f"{path}[]") for a, b in zip(live, wanted, strict=True))
    if wanted in ("", 0, False, None) and live is None:
        return True  # the API server drops empty values of optional fields
    return live == wanted


def inherited_note(owner: Owner, extra_labels: Mapping[str, str], extra_annotations: Mapping[str, str]) -> str:
    """Which foreign-looking keys we set on a shared object, so that removed ones can be taken away later."""
    keys = {
        "labels": sorted({*_inheritable(owner.labels), *extra_labels}),
        "annotations": sorted({*_inheritable(owner.annotations), *extra_annotations}),
    }
    return json.dumps({k: v for k, v in keys.items() if v}, separators=(",", ":")) if any(keys.values()) else ""


def metadata_patch(live: Json, want_labels: Mapping[str, str], want_annotations: Mapping[str, str]) -> Json:
    """Merge patch that brings our labels and annotations onto a live object; empty when nothing differs.

    Keys named by the object's own note and not wanted any more are removed; all other keys are left alone.
    """
    meta = live["metadata"]
    have_labels: Mapping[str, str] = meta.get("labels") or {}
    have_annotations: Mapping[str, str] = meta.get("annotations") or {}
    note = _read_note(have_annotations.get(names.ANN_INHERITED, ""))
    patch = {
        "labels": _changes(have_labels, want_labels, note.get("labels", [])),
        "annotations": _changes(
            have_annotations, want_annotations, [*note.get("annotations", []), names.ANN_INHERITED]
        ),
    }
    return {k: v for k, v in patch.items() if v}


def _changes(have: Mapping[str, str], want: Mapping[str, str], formerly: list[str]) -> Json:
    changed: Json = {k: v for k, v in want.items() if have.get(k) != v}
    changed.update({k: None for k in formerly if k in have and k not in want})
    return changed


def _read_note(text: str) -> dict[str, list[str]]:
    try:
        note = json.loads(text) if text else {}
    except ValueError:
        return {}
    if not isinstance(note, dict):
        return {}
    return {k: [str(i) for i in v] for k, v in note.items() if isinstance(v, list)}
