"""Labels and annotations of shared objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cnmysql import names
from cnmysql.names import ANN_INHERITED
from manager.actions import PatchOwned
from manager.cluster.rules import metadata
from manager.cluster.snapshot import Snapshot
from tests.support.merge_patch import merge_patch
from tests.unit.manager.snapshots import objects, pod, ready, spec


def patches(s: Snapshot) -> dict[str, dict[str, Any]]:
    found = {}
    for action in metadata.decide(s).actions:
        assert isinstance(action, PatchOwned)
        found[str(action.target).split(" ")[0] + " " + action.target.name] = dict(action.patch)
    return found


def test_at_rest() -> None:
    assert patches(ready()) == {}


def test_inherited_keys_are_noted_so_that_they_can_be_taken_away() -> None:
    s = spec(ready(1), inheritedMetadata={"labels": {"team": "a"}, "annotations": {"note": "b"}})
    found = patches(s)
    note = json.dumps({"labels": ["team"], "annotations": ["note"]}, separators=(",", ":"))
    expected = {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b", ANN_INHERITED: note}}}
    assert found["Pod db-1"] == expected
    assert found["PersistentVolumeClaim db-1"] == expected
    assert found["Secret db-root"] == expected


def test_removed_keys_go_and_foreign_ones_stay() -> None:
    note = '{"labels":["team"]}'
    s = pod(
        ready(1),
        "db-1",
        {"metadata": {"labels": {"team": "a", "theirs": "x"}, "annotations": {ANN_INHERITED: note, "theirs": "y"}}},
    )
    assert patches(s)["Pod db-1"] == {"metadata": {"labels": {"team": None}, "annotations": {ANN_INHERITED: None}}}


def test_our_own_keys_win_over_inherited_ones() -> None:
    s = spec(ready(1), inheritedMetadata={"labels": {names.LABEL_CLUSTER: "other", names.LABEL_APP_NAME: "other"}})
    assert names.LABEL_CLUSTER not in json.dumps(patches(s))
    assert names.LABEL_APP_NAME not in patches(s)["Pod db-1"]["metadata"].get("labels", {})


def test_a_note_that_cannot_be_read_removes_nothing() -> None:
    s = pod(ready(1), "db-1", {"metadata": {"labels": {"team": "a"}, "annotations": {ANN_INHERITED: "{["}}})
    assert patches(s)["Pod db-1"] == {"metadata": {"annotations": {ANN_INHERITED: None}}}


def test_a_mounted_secret_that_changed_wakes_the_kubelet() -> None:
    s = objects(ready(), "secrets", db_2_server_tls={"data": {"tls.crt": "renewed"}})
    found = patches(s)
    assert list(found) == ["Pod db-2"]
    assert list(found["Pod db-2"]["metadata"]["annotations"]) == [names.ANN_MOUNTED_REVISION]


@pytest.mark.parametrize("name", ["db-app", "db-ca", "db-2-server-tls"])
def test_a_secret_that_was_made_again_without_owner_gets_it_again(name: str) -> None:
    s = objects(ready(), "secrets", **{name: {"metadata": {"ownerReferences": [], "annotations": None}}})
    live = ready().objects.secrets[name]["metadata"]
    changed = {"resourceVersion": live["resourceVersion"], "ownerReferences": live["ownerReferences"]}
    assert patches(s) == {f"Secret {name}": {"metadata": changed}}


def without_owner(s: Snapshot, name: str, source: str = "db-app", **meta: Any) -> Snapshot:
    """With a copy of a Secret of ours as people make one: another name, the same labels, no owner."""
    copied = merge_patch(s.objects.secrets[source], {"metadata": {"name": name, "ownerReferences": None, **meta}})
    return objects(s, "secrets", **{name: copied})


def test_a_copy_of_a_secret_of_ours_stays_as_it_is() -> None:
    """Owned, it would be deleted with the Cluster."""
    s = spec(ready(), inheritedMetadata={"labels": {"team": "a"}})
    found = patches(without_owner(s, "my-copy"))
    assert "Secret my-copy" not in found
    assert "Secret db-app" in found


def test_a_secret_that_belongs_to_somebody_else_stays_theirs() -> None:
    theirs = [{"kind": "ExternalSecret", "uid": "theirs", "controller": True}]
    s = objects(ready(), "secrets", db_app={"metadata": {"ownerReferences": theirs}})
    assert patches(s) == {}


def test_a_secret_the_user_brings_under_a_name_of_ours_stays_theirs() -> None:
    s = without_owner(spec(ready(), rootPasswordSecret={"name": "db-root"}), "db-root", "db-root")
    assert "Secret db-root" not in patches(s)
    s = without_owner(spec(ready(), certificates={"serverCASecret": "db-ca"}), "db-ca", "db-ca", annotations=None)
    assert "Secret db-ca" not in patches(s)


def test_a_secret_cert_manager_made_again_has_a_rule_of_its_own() -> None:
    s = objects(ready(), "secrets", db_ca={"metadata": {"ownerReferences": None}})
    assert patches(s) == {}


def test_a_volume_of_another_cluster_is_not_touched() -> None:
    s = spec(ready(1), inheritedMetadata={"labels": {"team": "a"}})
    s = objects(s, "volumes", db_1={"metadata": {"annotations": {names.ANN_CLUSTER_UID: "other"}}})
    assert "PersistentVolumeClaim db-1" not in patches(s)


def test_a_pod_on_its_way_out_is_not_patched() -> None:
    s = pod(
        spec(ready(1), inheritedMetadata={"labels": {"team": "a"}}), "db-1", {"metadata": {"deletionTimestamp": "x"}}
    )
    assert "Pod db-1" not in patches(s)
