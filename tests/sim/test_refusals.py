"""While something is refused or cannot be had, what runs goes on: whoever is lost comes back, roles are decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cnmysql import names
from manager.cluster.snapshot import Known, UserSecret
from tests.sim.issuing import authority, brought, ca_only, leaf
from tests.sim.operator_world import World
from tests.support.merge_patch import merge_patch

HOSTS = tuple(f"db-{i}.shop.svc" for i in (1, 2, 3, 4))
MISSING = UserSecret(Known.MISSING)
Trouble = Callable[[], tuple[World, Callable[[], None]]]
"""A Ready Cluster in which something was refused or went away meanwhile, and the remedy."""


def with_keys(*keys: str) -> UserSecret:
    return UserSecret(Known.PRESENT, frozenset(keys), "1")


def ready(**spec: Any) -> World:
    world = World({"instances": 3, "storage": {"size": "1Gi"}})
    world.api.user_secrets["mine"] = with_keys("username", "password")
    world.edit(**spec)
    return settled(world)


def settled(world: World) -> World:
    world.settle()
    assert world.phase == names.PHASE_READY, (world.phase, world.status.get("phaseReason"))
    return world


def peer(instance: str) -> UserSecret:
    ca = authority("mine")
    return brought(leaf(ca, "", "cnmysql-peer", dns=(f"{instance}.shop.svc",), server=False), ca=ca)


def no_cert_manager_for_the_new_instance() -> tuple[World, Callable[[], None]]:
    world = ready()
    world.cert_manager = False
    world.edit(instances=4)

    def remedy() -> None:
        world.cert_manager = True

    return world, remedy


def own_material(*, key: bool) -> tuple[World, Callable[[], None]]:
    """Everything is the user's and there is no cert-manager; the peer Secret of the new instance is missing."""
    ca = authority("mine")
    world = World({"instances": 3, "storage": {"size": "1Gi"}}, cert_manager=False)
    world.api.user_secrets |= {
        "ca": brought(ca) if key else ca_only(ca),
        "server": brought(leaf(ca, dns=HOSTS, server=True), ca=ca),
        "replication": brought(leaf(ca, "repl", "shop", server=False), ca=ca),
        "operator": brought(leaf(ca, names.OPERATOR_CN, server=False), ca=ca),
        **{f"db-{i}-peer-tls": peer(f"db-{i}") for i in (1, 2, 3)},
        "db-4-peer-tls": MISSING,
    }
    fields = {"serverCASecret": "ca", "clientCASecret": "ca", "serverTLSSecret": "server"}
    world.edit(certificates={**fields, "replicationTLSSecret": "replication", "operatorTLSSecret": "operator"})
    settled(world).edit(instances=4)
    return world, lambda: world.api.user_secrets.update({"db-4-peer-tls": peer("db-4")})


def a_lingering_leftover() -> tuple[World, Callable[[], None]]:
    world = ready()
    owner = {"kind": "Cluster", "name": "db", "uid": "former"}
    labels = {names.LABEL_CLUSTER: "db"}
    metadata = {"name": "x", "namespace": "shop", "uid": "x", "ownerReferences": [owner], "labels": labels}
    world.api.objects["secrets"]["x"] = {"metadata": {**metadata, "deletionTimestamp": "now"}, "data": {}}
    return world, lambda: world.api.objects["secrets"].__delitem__("x")


def a_password_secret_that_went(field: str, known: UserSecret) -> tuple[World, Callable[[], None]]:
    reference = {"name": "mine"}
    own = {"rootPasswordSecret": reference} if field == "root" else {"bootstrap": {"initdb": {"secret": reference}}}
    world = ready(**own)
    world.api.user_secrets["mine"] = known
    return world, lambda: world.api.user_secrets.update(mine=with_keys("username", "password"))


def a_foreign_volume_for_the_new_instance() -> tuple[World, Callable[[], None]]:
    world = ready()
    metadata = {"name": "db-4", "namespace": "shop", "uid": "old", "resourceVersion": "1", "labels": names.labels("db")}
    spec = {"resources": {"requests": {"storage": "1Gi"}}}
    annotations = {names.ANN_CLUSTER_UID: "somebody"}
    world.api.objects["volumes"]["db-4"] = {"metadata": {**metadata, "annotations": annotations}, "spec": spec}
    world.edit(instances=4)
    return world, lambda: annotations.update({names.ANN_ADOPT_VOLUME: "cluster-db"})


def another_series() -> tuple[World, Callable[[], None]]:
    world = ready()
    world.edit(imageName="mysql:8.4")
    return world, lambda: world.edit(imageName=names.DEFAULT_MYSQL_IMAGE)


def a_volume_that_somebody_enlarged() -> tuple[World, Callable[[], None]]:
    world = ready()
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    world.api.objects["volumes"]["db-3"] = merge_patch(world.api.objects["volumes"]["db-3"], larger)
    return world, lambda: world.edit(storage={"size": "2Gi"})


TROUBLES: dict[str, Trouble] = {
    "no cert-manager": no_cert_manager_for_the_new_instance,
    "own material": lambda: own_material(key=True),
    "own material without key": lambda: own_material(key=False),
    "root Secret gone": lambda: a_password_secret_that_went("root", MISSING),
    "root Secret without key": lambda: a_password_secret_that_went("root", with_keys("other")),
    "root Secret unread": lambda: a_password_secret_that_went("root", UserSecret(Known.UNKNOWN)),
    "owner Secret gone": lambda: a_password_secret_that_went("owner", MISSING),
    "foreign volume": a_foreign_volume_for_the_new_instance,
    "another series": another_series,
    "enlarged volume": a_volume_that_somebody_enlarged,
    "leftover": a_lingering_leftover,
}


@pytest.mark.parametrize("victim", ["db-1", "db-2"])
@pytest.mark.parametrize("how", ["delete_pod", "kill_pod"])
@pytest.mark.parametrize("trouble", list(TROUBLES.values()), ids=list(TROUBLES))
def test_a_pod_that_is_lost_meanwhile_comes_back(trouble: Trouble, how: str, victim: str) -> None:
    world, remedy = trouble()
    world.settle()
    former = world.api.objects["pods"][victim]["metadata"]["uid"]
    images = {pod["spec"]["containers"][0]["image"] for pod in world.api.objects["pods"].values()}
    getattr(world, how)(victim)
    world.settle()
    assert world.api.objects["pods"][victim]["metadata"]["uid"] != former
    assert world.open_instance() == "db-1"
    assert world.status["readyInstances"] == 3
    assert sorted(world.api.objects["pods"]) == ["db-1", "db-2", "db-3"], "only the new instance waits"
    assert {pod["spec"]["containers"][0]["image"] for pod in world.api.objects["pods"].values()} == images
    remedy()
    settled(world)
    assert len(world.api.objects["pods"]) == world.api.cluster["spec"]["instances"]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("no cert-manager", "Blocked|CertManagerMissing: "),
        ("own material", "Blocked|CertManagerMissing: "),
        ("root Secret gone", "Ready|"),
        ("foreign volume", "Blocked|VolumeOfAnotherCluster: volume db-4 "),
        ("another series", "Blocked|UpgradeRefused: "),
        ("enlarged volume", "Blocked|ShrinkUnsupported: "),
    ],
)
def test_what_people_see_of_it(trouble: str, told: str) -> None:
    world, _ = TROUBLES[trouble]()
    world.settle()
    assert f"{world.phase}|{world.status['phaseReason']}".startswith(told)


def test_a_peer_secret_that_is_missing_is_an_event_and_a_condition() -> None:
    world, _ = own_material(key=True)
    world.settle()
    (condition,) = [c for c in world.status["conditions"] if c["type"] == names.CONDITION_CERTIFICATES]
    assert (condition["status"], condition["reason"]) == ("False", names.REASON_INVALID_CERTIFICATE)
    assert "db-4-peer-tls" in condition["message"]
    assert [e.message for e in world.api.events if e.reason == names.REASON_INVALID_CERTIFICATE] == [
        condition["message"]
    ]
