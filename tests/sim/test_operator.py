"""The operator's plans in a world that crashes it, deletes Pods and changes its mind."""

from __future__ import annotations

from copy import deepcopy
from itertools import repeat
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmysql import names
from manager.cluster.plan import plan
from tests.sim.operator_kubelet import BAD_IMAGE
from tests.sim.operator_world import World
from tests.support.merge_patch import merge_patch


def cluster(instances: int, **more: Any) -> World:
    return World({"instances": instances, "storage": {"size": "1Gi"}, **more})


def ready(world: World) -> World:
    world.settle()
    assert world.phase == names.PHASE_READY, (world.phase, world.status.get("phaseReason"))
    return world


@pytest.mark.parametrize("instances", [1, 3])
def test_from_nothing_to_ready_and_then_at_rest(instances: int) -> None:
    world = ready(cluster(instances))
    assert world.open_instance() == "db-1"
    assert [world.role_of(f"db-{i}") for i in range(1, instances + 1)] == ["primary"] + ["replica"] * (instances - 1)
    assert world.status["readyInstances"] == instances
    assert "roleChange" not in world.status
    before = world.api.writes
    for _ in range(20):
        world.tick()
        assert world.operate() == 0
    assert world.api.writes == before


def test_the_same_objects_whatever_action_the_operator_dies_after() -> None:
    undisturbed = ready(cluster(3))
    total = undisturbed.api.writes + len(undisturbed.api.events)
    for boundary in range(total):
        world = cluster(3)
        world.settle(budget=iter(repeat(0, boundary)))
        assert world.phase == names.PHASE_READY, boundary
        assert world.shape() == undisturbed.shape(), boundary


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_random_crashes_pod_deletions_and_scaling_end_well(seed: int) -> None:
    random = Random(seed)
    world = cluster(random.choice([1, 2, 3]))
    for _ in range(4):
        for _ in range(random.randrange(25)):
            try:
                world.operate(iter(repeat(0, random.randrange(6))))
            except Exception as crash:
                if type(crash).__name__ != "Crash":
                    raise
            world.tick()
            if random.random() < 0.1 and world.api.objects["pods"]:
                name = random.choice(sorted(world.api.objects["pods"]))
                random.choice([world.delete_pod, world.delete_pod, world.kill_pod])(name)
        world.edit(instances=random.choice([1, 2, 3, 4]))
    ready(world)
    count = world.api.cluster["spec"]["instances"]
    assert len(world.api.objects["pods"]) == count
    assert world.status["readyInstances"] == count


def test_scale_up_and_down_keeps_the_volumes_and_removes_the_rest() -> None:
    world = ready(cluster(1))
    world.edit(instances=3)
    ready(world)
    volumes = world.api.uids("volumes")
    world.edit(instances=1)
    ready(world)
    assert sorted(world.api.objects["pods"]) == ["db-1"]
    assert world.api.uids("volumes") == volumes
    for kind in ("services", "config_maps", "service_accounts", "certificates", "secrets"):
        assert not [n for n in world.api.objects[kind] if n.startswith(("db-2", "db-3"))], kind
    world.edit(instances=3)
    ready(world)
    assert world.api.uids("volumes") == volumes


def test_copies_that_people_made_of_our_objects_are_left_alone() -> None:
    """With the labels they were made with, without an owner: neither owned nor deleted."""
    world = ready(cluster(3))
    copies = {
        (field, name): merge_patch(
            obj, {"metadata": {"name": f"my-{name}", "uid": f"my-{name}", "ownerReferences": None}}
        )
        for field in ("secrets", "config_maps", "services", "service_accounts")
        for name, obj in world.api.objects[field].items()
    }
    before = deepcopy(copies)
    for (field, name), copied in copies.items():
        world.api.objects[field][f"my-{name}"] = copied
    world.edit(inheritedMetadata={"labels": {"team": "a"}})
    ready(world)
    world.edit(instances=1)
    ready(world)
    assert "db-3-server-tls" not in world.api.objects["secrets"]
    assert {(field, name): world.api.objects[field].get(f"my-{name}") for field, name in before} == before


def test_the_primary_is_never_scaled_away() -> None:
    world = ready(cluster(3))
    # Make db-3 the primary as a later role change would: the record, the Lease and the instances agree on it.
    pods, volumes, data = world.api.uids("pods"), world.api.uids("volumes"), world.instances.data
    old, new = pods["db-1"], pods["db-3"]
    world.instances.managers[old].open, world.instances.managers[new].open = False, True
    data[volumes["db-3"]].executed = data[volumes["db-1"]].executed
    world.api.hold(f"db-3/{new}")
    uuids = [*world.status["primaryUUIDs"], data[volumes["db-3"]].server_uuid]
    world.api.write_status({"currentPrimary": "db-3", "leaseHolder": f"db-3/{new}", "primaryUUIDs": uuids})
    ready(world)
    world.edit(instances=1)
    ready(world)
    assert sorted(world.api.objects["pods"]) == ["db-3"]
    assert world.open_instance() == "db-3"
    assert "kept because it is the primary" in world.status["phaseReason"]
    world.edit(instances=2)
    ready(world)
    assert sorted(world.api.objects["pods"]) == ["db-1", "db-3"]


@pytest.mark.parametrize("victim", ["db-1", "db-2", "db-3"])
@pytest.mark.parametrize("how", ["delete_pod", "kill_pod"])
def test_a_lost_pod_comes_back_on_its_volume(victim: str, how: str) -> None:
    world = ready(cluster(3))
    volumes = world.api.uids("volumes")
    epoch = world.status["epoch"]
    getattr(world, how)(victim)
    ready(world)
    assert world.api.uids("volumes") == volumes
    assert world.open_instance() == "db-1"
    assert world.status["epoch"] == epoch + (1 if victim == "db-1" else 0)


def test_a_hold_without_proof_blocks_and_says_what_to_do() -> None:
    world = ready(cluster(1))
    uid = world.api.uids("pods")["db-1"]
    world.kill_pod("db-1")
    world.kubelet.departed.clear()  # nobody saw the container end
    world.settle()
    assert world.phase == names.PHASE_BLOCKED
    assert f"held by db-1 (Pod uid {uid})" in world.status["phaseReason"]
    assert "clear spec.holderIdentity of Lease db-primary" in world.status["phaseReason"]
    assert world.open_instance() == ""
    world.api.hold("")
    ready(world)


def test_a_changed_template_rolls_replicas_first_and_one_at_a_time() -> None:
    world = ready(cluster(3))
    born = world.api.uids("pods")
    world.edit(maxStopDelay=60)
    order: list[str] = []
    for _ in range(120):
        world.operate()
        world.tick()
        now = world.api.uids("pods")
        gone = [n for n, uid in born.items() if now.get(n) != uid]
        order += [n for n in gone if n not in order]
        unavailable = [
            n
            for n in born
            if n not in world.api.objects["pods"] or "deletionTimestamp" in world.api.objects["pods"][n]["metadata"]
        ]
        assert len(unavailable) <= 1
    assert order == ["db-2", "db-3", "db-1"]
    ready(world)
    assert world.open_instance() == "db-1"


def test_a_template_that_cannot_start_stops_at_the_first_pod_and_can_be_corrected() -> None:
    world = ready(cluster(3))
    kept = {n: world.api.uids("pods")[n] for n in ("db-1", "db-3")}
    world.edit(imageName=BAD_IMAGE)
    world.settle()
    assert {n: world.api.uids("pods")[n] for n in kept} == kept
    assert world.open_instance() == "db-1"
    assert world.phase == names.PHASE_UPGRADING
    assert "stops at db-2" in world.status["phaseReason"]
    world.edit(imageName=names.DEFAULT_MYSQL_IMAGE)
    ready(world)
    assert {n: world.api.uids("pods")[n] for n in kept} == kept


def test_an_image_that_hides_another_series_stops_at_the_first_pod_and_can_be_corrected() -> None:
    """Its name tells no version, so only the instance can find out."""
    world = ready(cluster(3))
    kept = {n: world.api.uids("pods")[n] for n in ("db-1", "db-3")}
    image = "mysql@sha256:" + "0" * 64
    world.instances.other_series.add(image)
    world.edit(imageName=image)
    world.settle()
    assert {n: world.api.uids("pods")[n] for n in kept} == kept
    assert "stops at db-2" in world.status["phaseReason"] and "UpgradeRefused" in world.status["phaseReason"]
    world.edit(imageName=names.DEFAULT_MYSQL_IMAGE)
    ready(world)
    assert {n: world.api.uids("pods")[n] for n in kept} == kept


def test_a_replica_that_cannot_serve_does_not_block_the_cluster() -> None:
    world = ready(cluster(2))
    image = "mysql@sha256:" + "1" * 64
    world.instances.other_series.add(image)
    world.edit(imageName=image)
    world.settle()
    assert (world.phase, world.open_instance()) == (names.PHASE_UPGRADING, "db-1")


@pytest.mark.parametrize(
    ("flag", "wrong", "right"),
    [
        ("--collation=latin1_swedish_ci", {"collation": "latin1_swedish_ci"}, {"collation": "utf8mb4_bin"}),
        ("--database=bad", {"database": "bad"}, {"database": "good"}),
    ],
)
def test_a_first_database_that_cannot_be_made_can_be_corrected(
    flag: str, wrong: dict[str, str], right: dict[str, str]
) -> None:
    world = cluster(2, bootstrap={"initdb": wrong})
    world.instances.refuses.add(flag)
    world.settle()
    assert (world.phase, world.status["phaseReason"]) == (
        names.PHASE_BLOCKED,
        "db-1 cannot open: BootstrapFailed: initdb failed",
    )
    assert not world.open_instance()
    world.edit(bootstrap={"initdb": right})
    ready(world)
    pods = world.api.uids("pods")
    world.edit(bootstrap={"initdb": {"database": "too_late"}})
    world.settle()
    assert world.api.uids("pods") == pods, "what is made once is made"


def test_a_dynamic_parameter_reaches_my_cnf_without_any_restart() -> None:
    world = ready(cluster(3))
    pods = world.api.uids("pods")
    world.edit(mysql={"parameters": {"max_connections": "321"}})
    ready(world)
    assert world.api.uids("pods") == pods
    for i in (1, 2, 3):
        assert "max_connections = 321" in world.api.objects["config_maps"][f"db-{i}-config"]["data"]["my.cnf"]


def test_a_static_parameter_is_proven_on_one_instance_before_others_get_the_file() -> None:
    world = ready(cluster(3))
    world.kubelet.broken_images.clear()
    world.edit(mysql={"parameters": {"innodb_sort_buffer_size": "2097152"}}, imageName=names.DEFAULT_MYSQL_IMAGE + ".1")
    world.kubelet.broken_images.add(names.DEFAULT_MYSQL_IMAGE + ".1")
    world.settle()
    has = {
        i: "innodb_sort_buffer_size" in world.api.objects["config_maps"][f"db-{i}-config"]["data"]["my.cnf"]
        for i in (1, 2, 3)
    }
    assert has == {1: False, 2: True, 3: False}


def test_a_bad_spec_holds_changes_but_not_the_roles() -> None:
    world = ready(cluster(3))
    world.edit(mysql={"parameters": {"gtid_mode": "OFF"}}, instances=5)
    world.settle()
    assert world.phase == names.PHASE_BLOCKED
    assert "gtid_mode" in world.status["phaseReason"]
    assert len(world.api.objects["pods"]) == 3
    uid = world.api.uids("pods")["db-1"]
    manager = world.instances.managers[uid]
    world.instances.close("db-1", manager)  # mysqld stopped in an orderly way and came back closed
    world.settle()
    assert world.open_instance() == "db-1"
    assert world.phase == names.PHASE_BLOCKED
    world.edit(mysql={"parameters": {"gtid_mode": None}})
    ready(world)
    assert world.api.uids("pods")["db-1"] == uid


def test_inherited_metadata_comes_and_goes_without_a_restart_and_foreign_keys_stay() -> None:
    world = ready(cluster(2))
    pods = world.api.uids("pods")
    world.api.objects["pods"]["db-2"]["metadata"]["labels"]["team"] = "theirs"
    world.api.objects["services"]["db-rw"]["metadata"]["annotations"]["lb"] = "theirs"
    world.edit(inheritedMetadata={"labels": {"cost": "42"}, "annotations": {"note": "x"}})
    ready(world)
    for kind in ("pods", "volumes", "services", "config_maps", "secrets", "service_accounts", "roles", "certificates"):
        for name, obj in world.api.objects[kind].items():
            assert obj["metadata"]["labels"].get("cost") == "42", (kind, name)
            assert obj["metadata"]["annotations"].get("note") == "x", (kind, name)
    world.edit(inheritedMetadata={"labels": {"cost": None}, "annotations": {"note": None}})
    ready(world)
    for kind in ("pods", "volumes", "services", "config_maps", "secrets", "service_accounts", "roles", "certificates"):
        for name, obj in world.api.objects[kind].items():
            assert "cost" not in obj["metadata"]["labels"], (kind, name)
            assert "note" not in obj["metadata"]["annotations"], (kind, name)
    assert world.api.objects["pods"]["db-2"]["metadata"]["labels"]["team"] == "theirs"
    assert world.api.objects["services"]["db-rw"]["metadata"]["annotations"]["lb"] == "theirs"
    assert world.api.uids("pods") == pods


def test_without_cert_manager_it_blocks_with_both_ways_out_and_goes_on_when_it_appears() -> None:
    world = cluster(1)
    world.cert_manager = False
    world.settle()
    assert world.phase == names.PHASE_BLOCKED
    assert "install cert-manager" in world.status["phaseReason"]
    assert "supply spec.certificates.serverCASecret" in world.status["phaseReason"]
    assert not world.api.objects["pods"]
    world.cert_manager = True
    ready(world)


def test_a_volume_of_another_cluster_is_never_used_until_it_is_adopted() -> None:
    world = cluster(1)
    world.api.objects["volumes"]["db-1"] = {
        "metadata": {
            "name": "db-1",
            "namespace": "shop",
            "uid": "old-volume",
            "resourceVersion": "1",
            "labels": {**names.labels("db"), names.LABEL_INSTANCE: "db-1"},
            "annotations": {names.ANN_CLUSTER_UID: "somebody"},
        },
        "spec": {"resources": {"requests": {"storage": "1Gi"}}},
    }
    world.settle()
    assert world.phase == names.PHASE_BLOCKED
    assert "VolumeOfAnotherCluster" in world.status["phaseReason"]
    assert not world.api.objects["pods"]
    world.api.objects["volumes"]["db-1"]["metadata"]["annotations"][names.ANN_ADOPT_VOLUME] = "cluster-db"
    ready(world)
    assert world.api.objects["volumes"]["db-1"]["metadata"]["uid"] == "old-volume"
    bootstrap = world.api.objects["pods"]["db-1"]["spec"]["initContainers"][1]
    assert "--adopt-from=somebody" in bootstrap["command"]
    left = world.api.objects["volumes"]["db-1"]["metadata"]["annotations"]
    assert left[names.ANN_CLUSTER_UID] == "cluster-db"
    assert not {names.ANN_ADOPT_VOLUME, names.ANN_ADOPTED_FROM} & set(left), "nothing is left to adopt"


def test_volumes_grow_and_live_as_long_as_asked() -> None:
    world = ready(cluster(1))
    world.edit(storage={"size": "2Gi", "whenDeleted": "Delete"})
    ready(world)
    claim = world.api.objects["volumes"]["db-1"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert claim["metadata"]["ownerReferences"][0]["uid"] == "cluster-db"
    world.edit(storage={"whenDeleted": "Retain"})
    ready(world)
    assert world.api.objects["volumes"]["db-1"]["metadata"]["ownerReferences"] == []
    world.edit(storage={"size": "1Gi"})
    world.settle()
    assert world.phase == names.PHASE_BLOCKED
    assert "ShrinkUnsupported" in world.status["phaseReason"]


def test_events_tell_transitions_once() -> None:
    world = ready(cluster(3))
    reasons = [event.reason for event in world.api.events]
    phases = [r for r in reasons if r in {"Pending", "Provisioning", "Ready", "Degraded", "Blocked"}]
    assert phases == sorted(set(phases), key=phases.index)
    assert [r for r in reasons if r.startswith("Role")] == ["RoleChange", "RoleChanged"]


def test_a_deleted_cluster_is_left_to_the_garbage_collector() -> None:
    world = ready(cluster(1))
    world.api.cluster["metadata"]["deletionTimestamp"] = "now"
    world.api.objects["services"].clear()
    assert plan(world.snapshot()).actions == ()
