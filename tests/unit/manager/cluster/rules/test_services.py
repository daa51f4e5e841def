"""Services follow the spec, and what others add to them stays."""

from __future__ import annotations

from manager.actions import Apply
from manager.cluster.outcome import Continue
from manager.cluster.rules import services
from manager.cluster.snapshot import Snapshot
from tests.unit.manager.snapshots import new, objects, ready, spec


def applied(s: Snapshot) -> list[str]:
    found = []
    for action in services.decide(s).actions:
        assert isinstance(action, Apply)
        found.append(action.target.name)
    return found


def test_made_for_every_member() -> None:
    assert applied(new()) == ["db-rw", "db-ro", "db-r", "db-1", "db-2", "db-3"]
    assert services.decide(ready()) == Continue()
    assert applied(spec(ready(), instances=4)) == ["db-4"]


def test_additions_of_others_are_kept_and_changes_undone() -> None:
    port = {"name": "extra", "port": 1}
    ours = ready().objects.services["db-rw"]["spec"]["ports"]
    s = objects(ready(), "services", db_rw={"spec": {"ports": [*ours, port], "clusterIP": "10.0.0.1"}})
    assert applied(s) == []
    assert applied(objects(ready(), "services", db_rw={"spec": {"publishNotReadyAddresses": True}})) == ["db-rw"]
