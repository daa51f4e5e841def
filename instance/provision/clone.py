"""One CLONE from one donor into the work directory, watched: a donor that hangs shows as bytes that stand still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError, SqlError, Transient, Unreachable
from cnmysql.mysql import read, statements
from cnmysql.mysql.conn import Connection, Result
from cnmysql.mysql.statements import Source
from cnmysql.tasks import cancel

_log = log.get("join")

POLL_SECONDS: Final = 0.25
STALL_SECONDS: Final = 30.0
KILL_SECONDS: Final = 10.0
NO_BOUND: Final = 10 * 365 * 86400.0
"""A copy may take days; what bounds it is progress, not time."""
LOCAL_STAGES: Final = frozenset({"FILE SYNC"})
"""Stages without a donor: no byte arrives while the disk is flushed."""


class CloneFailed(Transient):
    """This attempt with this donor failed; try another one."""


@dataclass(frozen=True)
class Copier:
    """A recipient server: `session` runs the statement, `observer` watches and kills it."""

    session: Connection
    observer: Connection
    clock: Clock
    on_progress: Callable[[int, int], None]
    """Bytes done and in all (0 while unknown)."""
    stall: float = STALL_SECONDS

    async def clone(self, source: Source, target: Path) -> None:
        """Copy `source` into `target` (must not exist).

        Raises CloneFailed with MySQL's reason (3862 refused or broken off, 3634 the donor serves another clone).
        """
        await self.session.execute(statements.clone_setup(source))
        task = asyncio.create_task(self.session.execute(statements.clone_into(source, str(target)), timeout=NO_BOUND))
        try:
            await self._watch(task)
            await task
        except (SqlError, Unreachable) as error:
            raise CloneFailed(f"clone from {source.host}: {error.message}") from error
        finally:
            if not task.done():
                await cancel(task)

    async def _watch(self, task: asyncio.Task[Result]) -> None:
        """Report progress until the statement ends. Raises CloneFailed after `stall` seconds without any."""
        last = -1
        moved = self.clock.monotonic()
        while not (await asyncio.wait([task], timeout=POLL_SECONDS))[0]:
            progress = await read.clone_progress(self.observer)
            if progress is None:
                continue
            if progress.bytes_done != last or progress.stage in LOCAL_STAGES:
                last, moved = progress.bytes_done, self.clock.monotonic()
                self.on_progress(progress.bytes_done, progress.bytes_total)
            elif self.clock.monotonic() - moved > self.stall:
                await self._kill(task)
                raise CloneFailed(f"the donor sent nothing for {self.stall:g} s")

    async def _kill(self, task: asyncio.Task[Result]) -> None:
        """KILL QUERY and wait for the statement's end; the server then removes what it had copied."""
        try:
            await self.observer.execute(statements.kill_query(self.session.thread_id))
        except CnmysqlError as error:
            _log.warning("could not end the clone", error=error.message)
        await asyncio.wait([task], timeout=KILL_SECONDS)
        if task.done() and not task.cancelled():
            # Its error is the consequence of the kill; retrieved so that it is not reported as lost.
            task.exception()
