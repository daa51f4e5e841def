"""Looks at the data volume from a thread: a hung volume must not hold up the event loop.

What is known is from the last look that came back; `age` tells how long ago that was.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.protocol.report import StorageReport
from instance.role.epoch import recorded_pod

_log = log.get("volume")
LOOK_EVERY = 1.0
DISK_FULL_FREE = 16 * 1024 * 1024
"""Less free space than this is reported as full: the next binary log event may not fit."""


@dataclass(frozen=True)
class Look:
    storage: StorageReport
    pod: str
    """Pod uid that last asked for the volume; empty when none was recorded."""


def look(volume: Path) -> Look:
    """One look. Raises OSError."""
    stat = os.statvfs(volume)
    return Look(
        StorageReport(
            used_bytes=(stat.f_blocks - stat.f_bfree) * stat.f_frsize,
            capacity_bytes=stat.f_blocks * stat.f_frsize,
            available_bytes=stat.f_bavail * stat.f_frsize,
        ),
        recorded_pod(volume),
    )


class VolumeWatch:
    """Looks every second."""

    def __init__(self, volume: Path, pod_uid: str, clock: Clock) -> None:
        self._volume = volume
        self._pod_uid = pod_uid
        self._clock = clock
        self.on_change: Callable[[], None] = lambda: None
        """Called when another Pod was recorded."""
        self.last: Look | None = None

    @property
    def replaced(self) -> bool:
        """Another Pod wants the volume: ours is no longer the recorded one."""
        return self.last is not None and self.last.pod not in ("", self._pod_uid)

    @property
    def full(self) -> bool:
        return self.last is not None and self.last.storage.available_bytes < DISK_FULL_FREE

    async def run(self) -> None:
        while True:
            before = self.replaced
            try:
                self.last = await asyncio.to_thread(look, self._volume)
            except OSError as error:
                _log.warning("the data volume cannot be looked at", error=str(error))
            if self.replaced and not before:
                self.on_change()
            await self._clock.sleep(LOOK_EVERY)
