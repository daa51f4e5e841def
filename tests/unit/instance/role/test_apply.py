"""Opening, interrupted at every step: conflict or silence leaves the server closed and the Lease cleared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cnmysql.errors import CnmysqlError, Conflict, Forbidden, Unreachable
from cnmysql.kube.resources import CLUSTERS
from tests.sim.role_models import CLOCK
from tests.sim.role_world import CLUSTER, NS, Pod, World
from tests.unit.kube.virtual import run

STEPS = ("read the Lease", "take the Lease", "confirm the order", "write currentPrimary")


def told(story: Callable[[World, Pod], Coroutine[Any, Any, None]]) -> None:
    """One booted instance without an order yet, in virtual time."""

    async def whole() -> None:
        world = World(7, instances=2)
        await world.found()
        pod = world.pods["db-1"]
        while pod.loop.view is None or pod.reporter.current().server_uuid is None:
            await CLOCK.sleep(0.1)
        await CLOCK.sleep(1.0)
        try:
            await story(world, pod)
        finally:
            await world.close()

    run(whole())


async def order(world: World, to: str = "db-1", epoch: int = 1) -> None:
    change = {"epoch": epoch, "kind": "bootstrap", "from": "", "to": to}
    status = {"epoch": epoch, "roleChange": change, "primaryUUIDs": [v.uuid for v in world.volumes.values()]}
    await world.client.merge_patch(CLUSTERS, NS, CLUSTER, {"status": status}, subresource="status")


async def until(condition: Callable[[], bool], what: str, within: float = 30.0) -> None:
    end = CLOCK.monotonic() + within
    while not condition():
        assert CLOCK.monotonic() < end, what
        await CLOCK.sleep(0.02)


def test_undisturbed_it_opens_with_four_requests() -> None:
    async def story(world: World, pod: Pod) -> None:
        pod.transport.calls.clear()
        await order(world)
        await until(lambda: pod.server.open, "opens")
        methods = [(method, path.rsplit("/", 2)[-2]) for method, path in pod.transport.calls]
        assert methods == [("GET", "leases"), ("PUT", "leases"), ("GET", "clusters"), ("PATCH", CLUSTER)]

    told(story)


@pytest.mark.parametrize("error", [Unreachable("silence"), Conflict("lost"), Forbidden("no")], ids=lambda e: e.message)
@pytest.mark.parametrize("step", range(4), ids=STEPS)
def test_refused_at_any_step_it_stays_closed_and_clears_its_hold(step: int, error: CnmysqlError) -> None:
    async def story(world: World, pod: Pod) -> None:
        pod.transport.refusals.extend([*[None] * step, error])
        await order(world)
        await until(lambda: len(pod.transport.refusals) == 0, "the fault happened")
        if not (isinstance(error, Conflict) and step < 2):
            # The keeper itself answers one lost compare-and-swap by reading again.
            await until(lambda: world.holder == "" and not pod.guard.until, "cleared and disarmed", within=5)
            assert not pod.server.open
        await until(lambda: pod.server.open, "opens at the next try")
        assert world.holder == pod.me.identity

    told(story)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_answers_that_get_lost_never_open_it_without_a_hold(lost: int) -> None:
    async def story(world: World, pod: Pod) -> None:
        pod.transport.lose_answers = lost
        await order(world)
        await until(lambda: pod.server.open, "opens once an answer comes", within=60)
        assert world.holder == pod.me.identity and world.cluster.current_primary == "db-1"

    told(story)


def fence(world: World) -> None:
    """The operator begins another role change, seen by no loop yet."""
    target = next(t for t in world.store.objects if t.plural == "clusters")
    now = world.store.objects[target]
    status = {**now["status"], "epoch": 2, "roleChange": {"epoch": 2, "kind": "failover", "to": ""}}
    world.store._write(target, {**now, "status": status})


def test_an_order_that_changed_after_the_lease_was_taken_is_not_followed() -> None:
    async def story(world: World, pod: Pod) -> None:
        world.pods["db-2"].deaf = True
        opened: list[bool] = []

        def change(method: str, path: str) -> None:
            opened.append(pod.server.open)
            if method == "PUT":
                pod.transport.before = None
                fence(world)

        pod.transport.before = change
        await order(world)
        await until(lambda: pod.volume.epoch == 2, "learns of the new epoch")
        await until(lambda: world.holder == "", "clears its hold")
        assert world.cluster.current_primary == "" and not pod.server.open and not any(opened)

    told(story)


def test_a_change_between_confirming_and_writing_loses_the_compare_and_swap() -> None:
    async def story(world: World, pod: Pod) -> None:
        def change(method: str, path: str) -> None:
            if method == "PATCH":
                pod.transport.before = None
                fence(world)

        pod.transport.before = change
        await order(world)
        await until(lambda: world.cluster.epoch == 2 and world.holder == "", "steps back")
        assert world.cluster.current_primary == "" and not pod.server.open

    told(story)


def test_a_manager_frozen_between_its_last_check_and_opening_is_caught_by_the_watchdog() -> None:
    async def story(world: World, pod: Pod) -> None:
        await order(world)
        await until(lambda: not pod.server.super_read_only, "half open")
        pod.thawed.clear()
        await CLOCK.sleep(20)
        assert world.kills == 1 and not pod.server.open
        pod.thawed.set()
        await until(lambda: pod.server.open, "opens again in order")
        assert world.holder == pod.me.identity

    told(story)


def test_an_epoch_that_cannot_be_stored_is_not_acted_under() -> None:
    async def story(world: World, pod: Pod) -> None:
        def refuse(epoch: int) -> None:
            raise OSError("no space left")

        store = pod.loop.edges.epochs.store
        pod.loop.edges.epochs.store = refuse  # type: ignore[method-assign]
        await order(world)
        await CLOCK.sleep(10)
        assert not pod.server.open and world.holder == "" and pod.volume.epoch == 0
        pod.loop.edges.epochs.store = store  # type: ignore[method-assign]
        await until(lambda: pod.server.open, "opens once it can")

    told(story)


def test_a_stuck_role_loop_loses_its_server_to_the_watchdog() -> None:
    async def story(world: World, pod: Pod) -> None:
        await order(world)
        await until(lambda: pod.server.open, "opens")
        pod.loop.beat = lambda: None  # type: ignore[method-assign]
        pod.loop.edges.alive = lambda: None
        await until(lambda: world.kills == 1, "killed", within=20)
        assert not pod.server.open

    told(story)


def test_an_opening_that_cannot_be_undone_keeps_its_hold_and_its_watchdog() -> None:
    """A server that does not die may be open: clearing the Lease would be the word that it is closed."""

    async def story(world: World, pod: Pod) -> None:
        hung = asyncio.Event()

        async def half(still_permitted: Callable[[], bool]) -> None:
            pod.server.super_read_only = pod.server.read_only = pod.server.offline = False
            raise Unreachable("the volume hangs")

        async def undying() -> None:
            hung.set()
            pod.server.undead = True
            raise Unreachable("it lives on after SIGKILL")

        pod.server.open_ = half  # type: ignore[method-assign]
        pod.server.close = undying  # type: ignore[method-assign]
        await order(world)
        await until(hung.is_set, "the close failed")
        assert world.holder == pod.me.identity and pod.guard.until
        await until(lambda: world.kills == 1, "the watchdog tries as well", within=20)
        assert world.holder == pod.me.identity

    told(story)


@pytest.mark.parametrize("running", [True, False], ids=["stuck", "broken"])
def test_a_server_opened_since_the_last_look_is_closed_at_shutdown(running: bool) -> None:
    async def story(world: World, pod: Pod) -> None:
        open_ = pod.server.open_

        async def never(*_: object, **__: object) -> Any:
            await asyncio.Event().wait()

        async def open_unseen(still_permitted: Callable[[], bool]) -> None:
            await open_(still_permitted)
            pod.server.read = never  # type: ignore[method-assign]

        pod.server.open_ = open_unseen  # type: ignore[method-assign]
        await order(world)
        await until(lambda: pod.server.open, "opens")
        await CLOCK.sleep(0.2)
        assert not pod.loop.open, "not looked at since"
        pod.loop._running = running
        await pod.loop.shutdown(0.0, 1.0)
        assert not pod.server.open

    told(story)
