"""A value that mysqld refuses, in the operator's world: it is told, it harms nobody, and it can be corrected."""

from __future__ import annotations

from cnmysql import names
from tests.sim.operator_world import World
from tests.sim.test_operator import cluster, ready


def warnings(world: World) -> int:
    return len([e for e in world.api.events if e.reason == names.PARAMETER_REJECTED and e.warning])


def test_a_value_that_mysqld_refuses_is_told_and_met_by_no_start() -> None:
    """Whoever starts meanwhile comes back, also a new one and one that is replaced for another reason."""
    world = ready(cluster(3))
    world.instances.refuses = {"default_storage_engine = FOO"}
    world.edit(mysql={"parameters": {"default_storage_engine": "FOO"}})
    ready(world)
    assert world.status["phaseReason"].startswith(
        "mysqld of db-1, db-2, db-3 refuses default_storage_engine = FOO (it is refused); it keeps"
    )
    assert warnings(world) == 1
    world.kill_pod("db-2")
    ready(world)
    world.delete_pod("db-1")
    ready(world)
    world.edit(instances=4)
    ready(world)
    assert warnings(world) == 1, "told once"
    world.edit(mysql={"parameters": {"innodb_sort_buffer_size": "2097152"}})
    ready(world)
    assert all("FOO" not in world.instances.file(f"db-{i}", names.CONFIG_KEY) for i in (1, 2, 3, 4))
    assert all("innodb_sort" in world.instances.file(f"db-{i}", names.CONFIG_KEY) for i in (1, 2, 3, 4))
    world.edit(mysql={"parameters": {"default_storage_engine": "MEMORY"}})
    ready(world)
    assert world.status["phaseReason"] == ""
    assert all("engine = MEMORY" in world.instances.file(f"db-{i}", names.CONFIG_KEY) for i in (1, 2, 3, 4))


def test_a_file_that_keeps_mysqld_down_is_followed_by_one_that_does_not() -> None:
    """Whatever it was: it had been taken before, or another version wrote it."""
    world = ready(cluster(3, mysql={"parameters": {"default_storage_engine": "FOO"}}))
    world.instances.refuses = {"default_storage_engine = FOO"}
    world.kill_pod("db-2")
    ready(world)
    assert "FOO" not in world.instances.file("db-2", names.CONFIG_KEY)
    assert "mysqld of db-1, db-2, db-3 refuses" in world.status["phaseReason"]
