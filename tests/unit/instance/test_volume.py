"""Looking at the volume: space, and whether another Pod was recorded."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from cnmysql import names
from cnmysql.clock import SystemClock
from cnmysql.protocol.report import StorageReport
from instance.role.epoch import record_pod
from instance.volume import DISK_FULL_FREE, Look, VolumeWatch, look


class Quick(SystemClock):
    """Does not wait between looks."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.001)


def test_a_look(tmp_path: Path) -> None:
    record_pod(tmp_path, "somebody-before")
    record_pod(tmp_path, "me")
    seen = look(tmp_path)
    assert seen.pod == "me"
    assert seen.storage.capacity_bytes >= seen.storage.used_bytes > 0
    assert 0 < seen.storage.available_bytes <= seen.storage.capacity_bytes


def test_a_volume_nobody_asked_for_belongs_to_nobody(tmp_path: Path) -> None:
    (tmp_path / names.FILE_LOCK).touch()
    watch = VolumeWatch(tmp_path, "me", SystemClock())
    watch.last = look(tmp_path)
    assert not watch.replaced


async def test_another_pod_is_noticed_once(tmp_path: Path) -> None:
    record_pod(tmp_path, "me")
    watch = VolumeWatch(tmp_path, "me", Quick())
    noticed = asyncio.Event()
    count: list[int] = []

    def notice() -> None:
        count.append(1)
        noticed.set()

    watch.on_change = notice
    watch.last = look(tmp_path)
    running = asyncio.create_task(watch.run())
    record_pod(tmp_path, "other")
    await asyncio.wait_for(noticed.wait(), 5)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert count == [1] and watch.replaced
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_volume_that_cannot_be_read_leaves_what_was_known(tmp_path: Path) -> None:
    watch = VolumeWatch(tmp_path / "gone", "me", Quick())
    watch.last = Look(StorageReport(used_bytes=1, capacity_bytes=2, available_bytes=1), "me")
    running = asyncio.create_task(watch.run())
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not running.done() and not watch.replaced and watch.last.pod == "me"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def test_full_means_less_than_the_next_event_may_need(tmp_path: Path) -> None:
    watch = VolumeWatch(tmp_path, "me", SystemClock())
    assert not watch.full
    for free, full in ((DISK_FULL_FREE - 1, True), (DISK_FULL_FREE, False)):
        watch.last = Look(StorageReport(used_bytes=1, capacity_bytes=2, available_bytes=free), "me")
        assert watch.full is full
