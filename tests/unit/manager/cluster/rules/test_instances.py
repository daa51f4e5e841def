"""Which Pod is created or removed next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cnmysql import names
from manager.actions import CreateOnce, Delete
from manager.cluster.outcome import Continue
from manager.cluster.rules import instances
from manager.cluster.snapshot import Known, Snapshot, UserSecret
from tests.sim.issuing import authority
from tests.unit.manager.snapshots import lease, objects, pod, pod_uid, ready, says, silent, spec, status

GOING = {"metadata": {"deletionTimestamp": "now"}}


def steps(s: Snapshot) -> list[str]:
    outcome = instances.decide(s)
    assert isinstance(outcome, Continue)
    found = []
    for action in outcome.actions:
        assert isinstance(action, CreateOnce | Delete)
        verb = "create" if isinstance(action, CreateOnce) else "delete"
        found.append(f"{verb} {action.target.resource.kind} {action.target.name}")
    return found


def says_why(s: Snapshot) -> str:
    outcome = instances.decide(s)
    assert isinstance(outcome, Continue)
    return outcome.notice.reason if outcome.notice else ""


LEAF = authority("db.ca.cnmysql").issue("x").certificate.decode()


def certified(s: Snapshot, *extra: str) -> Snapshot:
    for name in extra:
        for kind in ("server", "peer"):
            key = f"{name}_{kind}_tls".replace("-", "_")
            s = objects(s, "secrets", **{key: {"data": {"tls.crt": LEAF, "tls.key": "k"}}})
        s = objects(s, "config_maps", **{f"{name}_config".replace("-", "_"): {"data": {"my.cnf": ""}}})
    return s


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s, []),
        (lambda s: pod(s, "db-2", None), ["create Pod db-2"]),
        (lambda s: pod(pod(s, "db-2", None), "db-3", None), ["create Pod db-2", "create Pod db-3"]),
        (lambda s: pod(pod(s, "db-1", None), "db-2", None), ["create Pod db-1", "create Pod db-2"]),
        (lambda s: pod(s, "db-2", {"status": {"phase": "Failed"}}), ["delete Pod db-2"]),
        (lambda s: pod(pod(s, "db-2", {"status": {"phase": "Failed"}}), "db-2", GOING), []),
        (lambda s: spec(s, instances=1), ["delete Pod db-3"]),
        (lambda s: pod(spec(s, instances=1), "db-3", GOING), []),
        (lambda s: status(spec(s, instances=1), currentPrimary="db-3"), ["delete Pod db-2"]),
        (lambda s: status(spec(s, instances=1), roleChange={"epoch": 2, "to": "db-1"}), []),
        (lambda s: spec(s, instances=4), []),
        (lambda s: certified(spec(s, instances=4), "db-4"), ["create PersistentVolumeClaim db-4", "create Pod db-4"]),
        (
            lambda s: certified(spec(s, instances=5), "db-4", "db-5"),
            ["create PersistentVolumeClaim db-4", "create Pod db-4"],
        ),
        (lambda s: objects(certified(spec(s, instances=4), "db-4"), "config_maps", db_4_config=None), []),
        (lambda s: objects(certified(spec(s, instances=4), "db-4"), "config_maps", db_trust=None), []),
        (lambda s: objects(certified(spec(s, instances=4), "db-4"), "secrets", db_4_peer_tls=None), []),
        (lambda s: objects(certified(spec(s, instances=4), "db-4"), "secrets", db_control=None), []),
        (lambda s: says(certified(spec(s, instances=4), "db-4"), "db-2", is_ready=False), []),
        (lambda s: silent(certified(spec(s, instances=4), "db-4"), "db-1"), []),
        (lambda s: says(certified(spec(s, instances=4), "db-4"), "db-1", open=False), []),
        (lambda s: pod(objects(s, "volumes", db_1=None), "db-1", None), []),
    ],
)
def test_steps(change: Callable[[Snapshot], Snapshot], expected: list[str]) -> None:
    assert steps(change(ready(3))) == expected


def test_deletes_name_the_very_pod_that_was_judged() -> None:
    s = spec(ready(3), instances=2)
    outcome = instances.decide(s)
    assert isinstance(outcome, Continue)
    (delete,) = outcome.actions
    assert isinstance(delete, Delete)
    assert delete.uid == pod_uid(s, "db-3")


def test_a_primary_without_volume_is_not_replaced_by_an_empty_one() -> None:
    s = pod(objects(ready(3), "volumes", db_1=None), "db-1", None)
    assert says_why(s).startswith("DataMissing: db-1 is the recorded primary but its volume is gone")


def test_a_volume_that_is_being_deleted_counts_for_nothing() -> None:
    s = pod(objects(ready(3), "volumes", db_1=GOING, db_2=GOING), "db-1", None)
    assert says_why(s).startswith("DataMissing: db-1")
    s = pod(objects(ready(3), "volumes", db_2=GOING), "db-2", None)
    assert steps(s) == []
    assert says_why(s) == "db-2 waits until its deleted volume is gone"


def test_only_the_first_instance_of_a_cluster_without_history_initialises() -> None:
    s = lease(status(ready(1), currentPrimary=None, primaryUUIDs=None), "")
    for start, verb in (
        (s, "initdb"),
        (status(s, primaryUUIDs=["u"]), "join"),
        (status(s, currentPrimary="db-1"), "join"),
    ):
        outcome = instances.decide(pod(start, "db-1", None))
        assert isinstance(outcome, Continue)
        create = outcome.actions[-1]
        assert isinstance(create, CreateOnce)
        assert create.body["spec"]["initContainers"][1]["command"][1:3] == ["instance", verb]


def without_data() -> Snapshot:
    """All is there that Pods mount, but neither Pod nor volume, and no data is known to exist."""
    s = lease(status(ready(3), currentPrimary=None, primaryUUIDs=None), "")
    for name in ("db-1", "db-2", "db-3"):
        key = name.replace("-", "_")
        s = objects(pod(s, name, None), "volumes", **{key: None})
    return s


def test_a_new_cluster_creates_all_instances_at_once_and_only_the_first_initialises() -> None:
    outcome = instances.decide(without_data())
    assert isinstance(outcome, Continue)
    pods = [a for a in outcome.actions if isinstance(a, CreateOnce) and a.target.resource.kind == "Pod"]
    verbs = [(p.target.name, p.body["spec"]["initContainers"][1]["command"][2]) for p in pods]
    assert verbs == [("db-1", "initdb"), ("db-2", "join"), ("db-3", "join")]


def test_an_instance_of_a_new_cluster_that_lacks_its_certificate_holds_up_no_other() -> None:
    s = objects(without_data(), "secrets", db_2_peer_tls={"data": {"tls.key": ""}})
    made = [step for step in steps(s) if "Pod" in step]
    assert made == ["create Pod db-1", "create Pod db-3"]
    assert says_why(s) == "db-2 waits for its certificates"


FOREIGN = {"metadata": {"name": "db-4", "annotations": {names.ANN_CLUSTER_UID: "other"}}, "spec": {}}
ADOPTED = {"metadata": {"annotations": {names.ANN_ADOPTED_FROM: "other"}}}


def lost(s: Snapshot, *instances: str) -> Snapshot:
    for instance in instances:
        s = pod(s, instance, None)
    return s


def test_who_lacks_its_certificate_holds_up_nobody_that_is_lost() -> None:
    s = objects(lost(ready(3), "db-2", "db-3"), "secrets", db_2_peer_tls=None)
    assert (steps(s), says_why(s)) == (["create Pod db-3"], "bringing back db-3")
    s = objects(lost(ready(3), "db-2"), "secrets", db_2_peer_tls=None)
    assert (steps(s), says_why(s)) == ([], "db-2 waits for its certificates")


def test_a_foreign_volume_gets_no_pod_and_holds_up_nobody() -> None:
    s = objects(certified(spec(ready(3), instances=4), "db-4"), "volumes", db_4=FOREIGN)
    assert (steps(s), says_why(s)) == ([], "db-4 waits for a volume of this Cluster")
    assert steps(lost(s, "db-1")) == ["create Pod db-1"]
    without_volume = objects(lost(s, "db-2"), "volumes", db_2=None)
    assert steps(without_volume) == ["create PersistentVolumeClaim db-2", "create Pod db-2"]


def test_before_a_takeover_is_noted_on_the_volume_no_pod_mounts_it() -> None:
    taken = {"metadata": {"annotations": {names.ANN_ADOPT_VOLUME: "cluster-db"}}}
    assert steps(objects(lost(ready(3), "db-2"), "volumes", db_2=taken)) == []


@pytest.mark.parametrize(
    ("secret", "made"),
    [
        (UserSecret(Known.MISSING), []),
        (UserSecret(Known.UNKNOWN), []),
        (UserSecret(Known.PRESENT, frozenset({"password"})), ["create Pod db-2"]),
    ],
)
def test_only_a_pod_that_adopts_data_waits_for_the_users_passwords(secret: UserSecret, made: list[str]) -> None:
    s = replace(spec(ready(3), rootPasswordSecret={"name": "mine"}), user_secrets={"mine": secret})
    assert steps(lost(s, "db-2")) == ["create Pod db-2"]
    adopting = objects(lost(s, "db-2"), "volumes", db_2=ADOPTED)
    assert steps(adopting) == made
    assert made or "(spec.rootPasswordSecret)" in says_why(adopting) or "SecretMissing" in says_why(adopting)


def test_nothing_is_removed_while_one_that_is_wanted_cannot_come_back() -> None:
    s = objects(lost(spec(ready(3), instances=2), "db-2"), "secrets", db_2_peer_tls=None)
    assert (steps(s), says_why(s)) == ([], "db-2 waits for its certificates")


def test_under_a_refused_image_a_lost_pod_comes_back_on_the_accepted_one() -> None:
    s = lost(spec(ready(3), imageName="mysql:8.4"), "db-2")
    outcome = instances.decide(s)
    assert isinstance(outcome, Continue)
    (create,) = outcome.actions
    assert isinstance(create, CreateOnce)
    assert create.body["spec"]["containers"][0]["image"] == names.DEFAULT_MYSQL_IMAGE
