"""The walls around a Cluster stand exactly while its spec asks for them."""

from __future__ import annotations

from cnmysql import names
from manager.actions import Apply, Delete
from manager.cluster.outcome import Continue
from manager.cluster.rules import network
from manager.cluster.snapshot import Snapshot
from tests.sim.operator_world import World
from tests.unit.manager.snapshots import SPEC, objects, ready, spec

ENABLED = {"enabled": True}


def walled() -> Snapshot:
    """A Ready Cluster that has its policy."""
    world = World({**SPEC, "networkPolicy": ENABLED})
    world.settle()
    assert world.phase == "Ready"
    return world.snapshot()


def test_nothing_is_made_by_default() -> None:
    assert network.decide(ready()) == Continue()


def test_it_is_made_when_asked_for() -> None:
    (action,) = network.decide(spec(ready(), networkPolicy=ENABLED)).actions
    assert isinstance(action, Apply)
    assert action.target.name == names.network_policy("db")


def test_it_is_left_alone_once_it_is_there_and_follows_the_spec() -> None:
    s = walled()
    assert network.decide(s) == Continue()
    changed = spec(s, networkPolicy={"clients": [{"podSelector": {}}]})
    assert [type(a) for a in network.decide(changed).actions] == [Apply]


def test_what_somebody_changed_in_it_is_changed_back() -> None:
    body = walled().objects.network_policies["db-mysql"]
    opened = [{**rule, "ports": [*rule["ports"], {"protocol": "TCP", "port": 1}]} for rule in body["spec"]["ingress"]]
    s = objects(walled(), "network_policies", db_mysql={"spec": {"ingress": opened}})
    assert [type(a) for a in network.decide(s).actions] == [Apply]


def test_it_goes_when_it_is_not_asked_for_any_more() -> None:
    s = spec(walled(), networkPolicy={"enabled": False})
    (action,) = network.decide(s).actions
    assert isinstance(action, Delete)
    assert action.target.name == "db-mysql"
    going = objects(s, "network_policies", db_mysql={"metadata": {"deletionTimestamp": "now"}})
    assert network.decide(going) == Continue()


def test_no_pod_is_made_before_it() -> None:
    world = World({**SPEC, "networkPolicy": ENABLED})
    for _ in range(200):
        world.operate()
        if world.api.objects["pods"]:
            break
        world.tick()
    assert world.api.objects["pods"]
    assert set(world.api.objects["network_policies"]) == {"db-mysql"}


def test_one_of_somebody_else_stays() -> None:
    s = spec(walled(), networkPolicy={"enabled": False})
    s = objects(s, "network_policies", db_mysql={"metadata": {"ownerReferences": None}})
    assert network.decide(s) == Continue()
