"""The frame around initdb and join, as far as no server is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from cnmysql import names
from cnmysql.clock import SystemClock
from instance.lock import VolumeLock
from instance.provision import frame
from instance.provision.progress import Progress
from instance.role.epoch import recorded_pod
from instance.settings import Paths, Settings
from tests.support.touches import touches


async def not_needed(*_: Any) -> Any:
    pytest.fail("the volume is complete")


MARK = '{"clusterUID": "uid", "instance": "db-1", "mode": "initdb", "at": ""}'


def complete(volume: Path) -> Settings:
    data = volume / Path(names.DATA_DIR).name
    data.mkdir()
    (data / names.FILE_BOOTSTRAPPED).write_text(MARK)
    return Settings(
        mode="join", cluster="db", namespace="shop", instance="db-1", cluster_uid="uid", pod_uid="new",
        paths=Paths(volume=volume, termination_log=volume / "last-words"),
    )  # fmt: skip


def provisioning(settings: Settings) -> Coroutine[Any, Any, int]:
    clock = SystemClock()
    watchdog: Any = None
    ways = frame.Ways(not_needed, not_needed)
    return frame.provision(settings, watchdog, clock, Progress(settings, clock, "join"), ways)


async def test_the_event_loop_never_waits_for_the_volume(tmp_path: Path) -> None:
    settings = complete(tmp_path)
    (tmp_path / ".cnmysql-join").mkdir()
    with touches(tmp_path) as found:
        assert await provisioning(settings) == frame.EXIT_DONE
    assert found == []
    assert not (tmp_path / ".cnmysql-join").exists()


async def test_a_container_of_an_earlier_pod_is_told_to_go_before_its_lock_is_waited_for(tmp_path: Path) -> None:
    settings = complete(tmp_path)
    earlier = VolumeLock(tmp_path)
    assert earlier.try_acquire()
    work = asyncio.create_task(provisioning(settings))
    async with asyncio.timeout(10):
        for _ in range(500):
            if recorded_pod(tmp_path) == "new":
                break
            await asyncio.sleep(0.01)
        assert recorded_pod(tmp_path) == "new" and not work.done()
        earlier.close()
        assert await work == frame.EXIT_DONE
