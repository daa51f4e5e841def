"""The life of the main container after its status is served: boot, work, orderly end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError
from cnmysql.mysql.version import Version
from cnmysql.protocol.report import Problem
from cnmysql.tasks import TaskSet, cancel
from instance import upgrade
from instance.lock import VolumeLock
from instance.mysqld import Mysqld, StillAlive
from instance.process import signals
from instance.process.reaper import Reaper
from instance.process.version import server_version
from instance.provision import workdir
from instance.provision.frame import termination_message
from instance.provision.survey import observe
from instance.provision.volume import Complete, Foreign, Missing, decide_run
from instance.role.epoch import record_pod
from instance.settings import Settings
from instance.watchdog import Watchdog

_log = log.get("run")

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
RESERVE_SECONDS: Final = 5.0
"""Kept back from the stop delay, so that the last SIGKILL is ours and not the kubelet's."""
CLOSE_GRACE_SECONDS: Final = 5.0
"""Beyond its own bound, how long the ordered close may take before mysqld is stopped without it."""


class Role(Protocol):
    """The other half of the instance: connections, role, lease."""

    async def prepare(self) -> None: ...

    async def run(self) -> None: ...

    async def shutdown(self, *, within: float) -> None: ...


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    settings: Settings
    watchdog: Watchdog
    clock: Clock
    reaper: Reaper
    mysqld: Mysqld
    role: Role


class Run:
    """One run of the main container. `until_told` returns the exit code."""

    def __init__(self, parts: Parts) -> None:
        self._settings = parts.settings
        self._watchdog = parts.watchdog
        self._clock = parts.clock
        self._reaper = parts.reaper
        self._mysqld = parts.mysqld
        self._role = parts.role
        self._told = asyncio.Event()
        self._failure = ""
        self._tasks = TaskSet(lambda name, error: _log.error("a task failed", task=name, error=str(error)))

    async def until_told(self) -> int:
        """Work until SIGTERM, the watchdog's death or a failure, then close and stop mysqld."""
        signals.on_stop(self._told.set)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._watchdog.fileno(), self._watchdog_died)
        told = asyncio.create_task(self._told.wait(), name="told")
        work = [asyncio.create_task(self._boot(), name="boot")]
        try:
            if await self._first(told, work) is work[0] and not self._failure:
                # Two tasks, not one group: when one fails, the other still serves the ordered end.
                work += [
                    asyncio.create_task(self._mysqld.run(), name="mysqld"),
                    asyncio.create_task(self._role.run(), name="role"),
                ]
                await self._first(told, work[1:])
            await self._end()
        finally:
            loop.remove_reader(self._watchdog.fileno())
            for task in (told, *work):
                if not task.done():
                    await cancel(task)
            await self._tasks.close()
        return EXIT_FAILED if self._failure else EXIT_DONE

    async def _first(self, told: asyncio.Task[Any], work: list[asyncio.Task[None]]) -> asyncio.Task[Any]:
        """The first task that ends; its failure, if it ended with one, is noted."""
        done, _ = await asyncio.wait([told, *work], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None:
                self._fail(error)
        return next(iter(done))

    def _watchdog_died(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watchdog.fileno())
        self._failure = "the watchdog died: nothing would end the server if this process froze"
        _log.error("the watchdog died; closing")
        self._told.set()

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self._failure = error.message if isinstance(error, CnmysqlError) else f"{type(error).__name__}: {error}"
        _log.error("the instance manager failed", exc_info=error)

    async def _boot(self) -> None:
        """Make sure that the volume is ours alone and may be served by this version."""
        # Everything on the volume in a thread: one that hangs must not take the status and the probes with it.
        volume = self._settings.paths.volume
        # A container of an earlier Pod that still holds the lock learns by this that it has to go.
        await asyncio.to_thread(record_pod, volume, self._settings.pod_uid)
        lock = await asyncio.to_thread(VolumeLock, volume)
        await lock.acquire(self._clock, lambda: self._mysqld.hold(None))
        self._mysqld.lock_fd = lock.fileno()
        await self._role.prepare()
        problem = await self._obstacle()
        self._mysqld.hold(problem)
        if problem is not None:
            _log.error("mysqld is not started", reason=problem.reason, error=problem.message)

    async def _obstacle(self) -> Problem | None:
        """Why mysqld must not be started on this volume, or None."""
        paths = self._settings.paths
        match decide_run(await asyncio.to_thread(observe, paths.volume), self._settings.cluster_uid):
            case Complete():
                await asyncio.to_thread(workdir.clear_leftovers, paths.volume)
            case Missing(message):
                return Problem(reason="DataMissing", message=message)
            case Foreign(message):
                return Problem(reason="ForeignData", message=message)
        version = await server_version(self._reaper, self._settings.mysqld)
        change = upgrade.check(await asyncio.to_thread(upgrade.evidence, paths.data), version)
        if not change.allowed:
            return Problem(reason="UpgradeRefused", message=change.reason)
        self._mysqld.on_running = lambda: self._record(version)
        return None

    def _record(self, version: Version) -> None:
        work = asyncio.to_thread(upgrade.record, self._settings.paths.data, version)
        self._tasks.start(work, name="record version")

    async def _end(self) -> None:
        """Close in order, then stop mysqld, all within the stop delay; SIGKILL is the last resort."""
        deadline = self._clock.monotonic() + max(self._settings.stop_delay - RESERVE_SECONDS, 1.0)
        _log.info("stopping", reason=self._failure or "told to")
        if self._failure:
            termination_message(self._settings, self._failure)
        # From here on a server that dies is not started again.
        self._mysqld.wanted = False
        smart = 0.0 if self._failure else self._settings.smart_shutdown_timeout
        try:
            async with asyncio.timeout(smart + CLOSE_GRACE_SECONDS):
                await self._role.shutdown(within=smart)
        except (TimeoutError, CnmysqlError) as error:
            # A server that may still be open must not be asked to stop: it would go on answering until it has.
            _log.error("the ordered close did not finish", error=str(error) or "too late")
            deadline = self._clock.monotonic()
        try:
            await self._mysqld.stop(within=max(deadline - self._clock.monotonic(), 0.0))
        except StillAlive as error:
            # The kernel ends it with our container; until then it holds the lock on the volume.
            self._fail(error)
