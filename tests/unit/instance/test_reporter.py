"""The report: what it claims when, and which changes cause a frame."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from cnmysql.protocol.report import (
    HEARTBEAT_SECONDS,
    Frame,
    InstanceStatus,
    LeaseReport,
    MysqldReport,
    ReplicationReport,
    StorageReport,
)
from instance.reporter import Publisher, trigger
from tests.sim.role_models import CLOCK
from tests.sim.role_world import Pod, World
from tests.unit.kube.virtual import run

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
MYSQLD = MysqldReport(state="running", since="2026-01-01T00:00:00Z")
BASE = InstanceStatus(
    instance_name="db-1",
    pod_uid="u",
    mysqld=MYSQLD,
    gtid_executed=f"{UUID}:1",
    lease=LeaseReport(held=True, age_seconds=1.0),
    replication=ReplicationReport(source_host="h", io_running=True, sql_running=True),
    storage=StorageReport(used_bytes=8100, capacity_bytes=10500, available_bytes=1900),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"gtid_executed": f"{UUID}:1-2"},
        {"received": f"{UUID}:1-2"},
        {"uptime_seconds": 9},
        {"dump_threads": 2},
        {"status_age_seconds": 1.5},
        {"lease": LeaseReport(held=True, age_seconds=2.0)},
        {"storage": StorageReport(used_bytes=8499, capacity_bytes=10500, available_bytes=1501)},
        {
            "replication": ReplicationReport(
                source_host="h",
                io_running=True,
                sql_running=True,
                seconds_behind_source=3,
                retrieved_gtid_set=f"{UUID}:1",
            )
        },
    ],
)
def test_what_moves_all_the_time_causes_no_frame(changes: dict[str, Any]) -> None:
    assert trigger(BASE.model_copy(update=changes)) == trigger(BASE)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 2},
        {"open": True},
        {"super_read_only": True},
        {"mysqld": MysqldReport(state="exited", since="2026-01-01T00:00:01Z")},
        {"lease": LeaseReport(held=False)},
        {"replication": ReplicationReport(source_host="h", io_running=False, sql_running=True)},
        {"role_state": "closing"},
        {"storage": StorageReport(used_bytes=8500, capacity_bytes=10500, available_bytes=1500)},
        {"storage": StorageReport(used_bytes=7999, capacity_bytes=10500, available_bytes=2001)},
    ],
)
def test_what_matters_causes_one(changes: dict[str, Any]) -> None:
    assert trigger(BASE.model_copy(update=changes)) != trigger(BASE)


def test_a_slow_listener_gets_the_newest_report_and_no_backlog() -> None:
    async def story() -> list[str]:
        state = ["one"]
        publisher = Publisher(lambda: BASE.model_copy(update={"role_state": state[0]}))
        seen: list[str] = []
        async with aclosing(publisher.frames()) as frames:
            seen.append(_state(await anext(frames)))
            for word in ("two", "three", "four"):
                state[0] = word
                publisher.changed()
            seen.append(_state(await anext(frames)))
            seen.append(_state(await anext(frames)))
        return seen

    assert run(story()) == ["one", "four", "heartbeat"]


def test_a_change_that_is_taken_back_in_time_is_no_change() -> None:
    async def story() -> str:
        publisher = Publisher(lambda: BASE)
        async with aclosing(publisher.frames()) as frames:
            await anext(frames)
            publisher.changed()
            return _state(await anext(frames))

    assert run(story()) == "heartbeat"


def test_wake_ups_without_a_change_do_not_put_the_heartbeat_off() -> None:
    async def story() -> tuple[str, float]:
        publisher = Publisher(lambda: BASE)
        now = asyncio.get_running_loop().time

        async def poke() -> None:
            while True:
                publisher.changed()
                await asyncio.sleep(0.5)

        poking = asyncio.create_task(poke())
        async with aclosing(publisher.frames()) as frames:
            await anext(frames)
            began = now()
            frame = await anext(frames)
        poking.cancel()
        return _state(frame), now() - began

    state, waited = run(story())
    assert state == "heartbeat"
    assert waited <= HEARTBEAT_SECONDS + 0.5


def _state(frame: Frame) -> str:
    return frame.report.role_state if frame.report is not None else "heartbeat"


async def grown() -> tuple[World, Pod]:
    """One instance, named by a first order that has been obeyed."""
    world = World(1, instances=1)
    await world.found()
    pod = world.pods["db-1"]
    while not pod.reporter.current().closed or pod.loop.view is None:
        await CLOCK.sleep(0.1)
    return world, pod


def test_it_is_closed_when_booted_and_never_while_it_may_open() -> None:
    """From taking the Lease on it does not call itself closed, whatever was read before."""

    async def story() -> None:
        world, pod = await grown()
        assert pod.reporter.current().closed
        await pod.loop.edges.keeper.acquire()
        report = pod.reporter.current()
        assert not report.closed and not report.open
        pod.loop.edges.keeper.disarm()
        assert pod.reporter.current().closed
        await world.close()

    run(story())


def test_a_dead_mysqld_is_closed_and_its_facts_are_gone() -> None:
    async def story() -> None:
        world, pod = await grown()
        assert pod.reporter.current().server_uuid is not None
        pod.server.die()
        report = pod.reporter.current()
        assert report.closed and report.server_uuid is None and report.gtid_executed is None
        assert not report.is_ready and report.not_ready_reason == "mysqld is not running"
        pod.server.boot()
        report = pod.reporter.current()
        assert not report.closed and report.server_uuid is None
        await world.close()

    run(story())


def test_a_frozen_server_leaves_the_last_values_and_their_age() -> None:
    async def story() -> None:
        world, pod = await grown()
        await pod.reporter.status()
        hung = asyncio.Event()

        async def never(generation: int | None = None) -> None:
            await hung.wait()

        pod.server._call = never  # type: ignore[method-assign]
        before = pod.reporter.current()
        await CLOCK.sleep(3)
        report = pod.reporter.current()
        assert report.gtid_executed == before.gtid_executed and report.status_age_seconds >= 3
        await world.close()

    run(story())
