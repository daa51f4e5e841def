"""The lock that keeps two containers out of one data directory.

flock(2) belongs to the open file, not to the process: mysqld inherits the descriptor, so the lock lasts until the
last process that can write to the volume has ended, even one that hangs in the kernel after its container is gone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cnmysql import log, names
from cnmysql.clock import Clock

_log = log.get("lock")
RETRY_SECONDS: Final = 0.25


class VolumeLock:
    """The lock on one data volume; `fileno()` is given to mysqld."""

    def __init__(self, volume: Path) -> None:
        self._fd = os.open(volume / names.FILE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def try_acquire(self) -> bool:
        """Take it if nobody else holds it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def acquire(self, clock: Clock, on_wait: Callable[[], None] | None = None) -> None:
        """Wait as long as it takes: the holder is another container on the same volume, and it has to end first.

        `on_wait` is called once when there is somebody to wait for.
        """
        if self.try_acquire():
            return
        _log.warning("another container holds the data directory; waiting for its end")
        if on_wait is not None:
            on_wait()
        while not self.try_acquire():
            await clock.sleep(RETRY_SECONDS)
        _log.info("the data directory is ours")

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Let go; children that inherited it keep it locked."""
        os.close(self._fd)
