"""Random faults against two instances and an operator: never two open, and well again when the faults end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest
import structlog

from cnmysql import names
from cnmysql.errors import Forbidden
from cnmysql.kube.resources import LEASES
from instance.role.loop import RETRY_SECONDS
from tests.sim.role_models import CLOCK
from tests.sim.role_operator import Operator
from tests.sim.role_world import CLUSTER, NS, World
from tests.unit.kube.virtual import run

SECONDS = 300.0
HEALED_WITHIN = 90.0
Fault = Callable[[World], Awaitable[None]]


async def crash_mysqld(world: World) -> None:
    pod = world.random.choice(list(world.pods.values()))
    if pod.server.alive:
        pod.server.die()
        pod.restart_mysqld()


async def crash_manager(world: World) -> None:
    """The container ends and the kubelet starts it again in the same Pod."""
    name = world.random.choice(list(world.pods))
    async with world.kubelet[name]:
        pod = world.pods[name]
        await pod.end()
        await CLOCK.sleep(world.random.uniform(0.1, 2))
        world.launch(name, pod.uid)


async def replace_pod(world: World) -> None:
    """Force-deleted: the old container runs on until it notices, the new one waits for the volume."""
    name = world.random.choice(list(world.pods))
    async with world.kubelet[name]:
        world.launch(name)


async def delete_pod(world: World) -> None:
    """Its container is ended by the kubelet before the next Pod exists."""
    name = world.random.choice(list(world.pods))
    async with world.kubelet[name]:
        await world.pods[name].end()
        await CLOCK.sleep(world.random.uniform(0.1, 3))
        world.launch(name)


async def lose_api(world: World) -> None:
    """One instance cannot reach the API server for a while, or only its answers get lost."""
    pod = world.random.choice(list(world.pods.values()))
    if world.random.random() < 0.3:
        pod.transport.lose_answers = world.random.randint(1, 4)
        return
    pod.transport.hang = True
    await CLOCK.sleep(world.random.uniform(1, 20))
    pod.transport.hang = False


async def lose_api_everywhere(world: World) -> None:
    pods = list(world.pods.values())
    for pod in pods:
        pod.transport.hang = True
    await CLOCK.sleep(world.random.uniform(1, 30))
    for pod in pods:
        pod.transport.hang = False


async def freeze_manager(world: World) -> None:
    """The manager stands still in the middle of whatever it does; mysqld and the watchdog go on."""
    pod = world.random.choice(list(world.pods.values()))
    pod.thawed.clear()
    await CLOCK.sleep(world.random.uniform(0.5, 20))
    pod.thawed.set()


async def go_deaf(world: World) -> None:
    pod = world.random.choice(list(world.pods.values()))
    pod.deaf = True
    await CLOCK.sleep(world.random.uniform(1, 20))
    pod.deaf = False


FAULTS: tuple[Fault, ...] = (
    crash_mysqld, crash_manager, replace_pod, delete_pod, lose_api, lose_api_everywhere, freeze_manager, go_deaf,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of role changes: their log lines would take longer than the changes."""
    with structlog.testing.capture_logs():
        yield


async def order_without_proof(world: World) -> None:
    await Operator(world).order_without_proof()


async def take_hold_away(world: World) -> None:
    """By hand, to a name that is nobody's; given back to nobody after a while."""
    world.tampered = True
    for holder in ("somebody/else", ""):
        await world.client.merge_patch(LEASES, NS, names.primary_lease(CLUSTER), {"spec": {"holderIdentity": holder}})
        await CLOCK.sleep(world.random.uniform(9, 20))


async def story(seed: int, faults: tuple[Fault, ...], *, heals: bool = True, limit: float = 8.2) -> World:
    world = World(seed)
    world.limit = limit
    await world.found()
    operator = Operator(world)
    helpers = [asyncio.create_task(work) for work in (world.watch(), world.traffic())]
    operating = asyncio.create_task(operator.run())
    await settle(world, helpers)
    end = CLOCK.monotonic() + SECONDS
    running: set[asyncio.Task[None]] = set()
    while CLOCK.monotonic() < end:
        await CLOCK.sleep(world.random.expovariate(1 / 4))
        raise_failures(helpers)
        operator.wants_to_move = world.random.random() < 0.3
        if world.random.random() < 0.1:
            operating.cancel()
            operating = asyncio.create_task(operator.run())
        running.add(asyncio.create_task(world.random.choice(faults)(world)))  # type: ignore[arg-type]
    await asyncio.gather(*running)
    if heals:
        await settle(world, helpers)
    raise_failures(helpers)
    for task in (*helpers, operating):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await world.close()
    return world


def raise_failures(helpers: list[asyncio.Task[None]]) -> None:
    for task in helpers:
        if task.done():
            task.result()


async def settle(world: World, helpers: list[asyncio.Task[None]]) -> None:
    """One instance is open and recorded, everybody else follows it. Raises AssertionError when that takes too long."""
    end = CLOCK.monotonic() + HEALED_WITHIN
    while not settled(world):
        raise_failures(helpers)
        states = {pod.me.identity: pod.loop.plan.state for pod in world.pods.values()}
        assert CLOCK.monotonic() < end, f"not settled: {world.cluster}, Lease {world.holder!r}, {states}"
        await CLOCK.sleep(0.1)


def settled(world: World) -> bool:
    found = world.open()
    if len(found) != 1 or world.cluster.order is not None:
        return False
    rest = [pod for pod in world.pods.values() if pod is not found[0]]
    return all(pod.reporter.current().is_ready or pod.reporter.current().errant for pod in (found[0], *rest))


@pytest.mark.parametrize("seed", range(500 if os.environ.get("CNMYSQL_SOAK") else 10))
def test_never_two_open_whatever_happens(seed: int) -> None:
    world = run(story(seed, FAULTS))
    assert world.openings > 1


@pytest.mark.parametrize("seed", range(200 if os.environ.get("CNMYSQL_SOAK") else 5))
def test_an_operator_that_asks_for_no_proof_gets_data_wrong_but_never_two_open(seed: int) -> None:
    world = run(story(seed, (*FAULTS, order_without_proof, order_without_proof), heals=False))
    assert world.openings > 1


@pytest.mark.parametrize("seed", range(100 if os.environ.get("CNMYSQL_SOAK") else 3))
@pytest.mark.parametrize(
    ("faults", "limit"),
    [
        pytest.param((take_hold_away,), 3.0, id="the next renewal tells"),
        pytest.param((take_hold_away, lose_api_everywhere), 6.7, id="nothing tells, the renewals are late"),
        pytest.param((take_hold_away, freeze_manager, freeze_manager, lose_api), 8.2, id="the watchdog kills"),
    ],
)
def test_without_its_hold_a_server_is_closed_in_time(faults: tuple[Fault, ...], limit: float, seed: int) -> None:
    """Checked by the world: nobody is open for longer once the Lease is somebody else's."""
    run(story(seed, faults, heals=False, limit=limit))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_one_kind_of_fault_over_and_over(fault: Fault) -> None:
    run(story(1000, (fault,)))


async def shut_down_without_rights(seconds: float) -> tuple[bool, int]:
    """Whether the open server got closed, and how often the API server was asked while it refuses everything."""
    world = World(1)
    await world.found()
    operator = Operator(world)
    operating = asyncio.create_task(operator.run())
    await settle(world, [])
    operating.cancel()
    [pod] = world.open()
    asked = 0

    def refused(method: str, path: str) -> None:
        nonlocal asked
        asked += 1
        raise Forbidden("its Role is gone")

    pod.transport.before = refused
    await pod.loop.shutdown(0.0, seconds)
    closed = not pod.server.open
    await world.close()
    return closed, asked


def test_a_shutdown_that_is_refused_closes_and_does_not_hammer_the_api_server() -> None:
    closed, asked = run(shut_down_without_rights(5.0))
    assert closed
    assert 0 < asked <= 5 / RETRY_SECONDS * 3, "each pass may ask for a few things, at most every retry interval"
