"""The frame around initdb and join: serve the status, take the lock, judge the volume, build, finish or explain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cnmysql import log
from cnmysql.clock import Clock, rfc3339
from cnmysql.errors import CnmysqlError, Terminal
from cnmysql.protocol.report import ProblemReason
from instance.lock import VolumeLock
from instance.process.reaper import Reaper
from instance.provision import workdir
from instance.provision.progress import Progress
from instance.provision.server import Tools
from instance.provision.survey import observe
from instance.provision.volume import Adopt, Build, Complete, Foreign, Mark, decide
from instance.provision.workdir import WorkDir
from instance.role.epoch import record_pod
from instance.settings import Settings
from instance.watchdog import Watchdog

_log = log.get("provision")

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_FOREIGN: Final = 3
EXPECTED: Final = (CnmysqlError, OSError, ValueError)
"""OSError: a volume that is full or broken, a Secret that is not mounted; ValueError: a certificate or a configuration
that cannot be understood."""
LINGER_SECONDS: Final = 3.0
"""How long a failure stays readable over the control API before the container ends."""


class ProvisionFailed(Terminal):
    """The attempt ended; `reason` is what the report says. The next start tries again from nothing."""

    def __init__(self, reason: ProblemReason, message: str) -> None:
        super().__init__(message)
        self.reason: ProblemReason = reason


@dataclass(frozen=True)
class Job:
    """What a builder gets: it fills `work.data` and returns the server's version."""

    tools: Tools
    work: WorkDir
    progress: Progress

    @property
    def settings(self) -> Settings:
        return self.tools.settings


Builder = Callable[[Job], Awaitable[str]]
Adopter = Callable[[Tools, Progress], Awaitable[None]]


@dataclass(frozen=True)
class Ways:
    """How a volume comes to hold our data: built anew, or a former Cluster's made ours."""

    build: Builder
    adopt: Adopter


async def provision(settings: Settings, watchdog: Watchdog, clock: Clock, progress: Progress, ways: Ways) -> int:
    """Fill the volume unless it is filled; the exit code of the program. Cancelling leaves what a kill leaves."""
    # Everything on the volume in a thread: one that hangs must not take the status with it.
    lock = await asyncio.to_thread(VolumeLock, settings.paths.volume)
    reaper = Reaper()
    reaper.install()
    try:
        # A container of an earlier Pod that still holds the lock learns by this that it has to go.
        await asyncio.to_thread(record_pod, settings.paths.volume, settings.pod_uid)
        await lock.acquire(clock, progress.waiting)
        return await _locked(settings, Tools(settings, reaper, watchdog, clock, lock.fileno()), progress, ways)
    finally:
        reaper.remove()
        lock.close()


async def _locked(settings: Settings, tools: Tools, progress: Progress, ways: Ways) -> int:
    volume = settings.paths.volume
    mark = Mark(settings.cluster_uid, settings.instance, settings.mode)
    match decide(await asyncio.to_thread(observe, volume), mark, settings.adopt_from):
        case Complete():
            await asyncio.to_thread(workdir.clear_leftovers, volume)
            _log.info("the data directory is complete")
            return EXIT_DONE
        case Foreign(message):
            await _explain(tools, progress, "ForeignData", message)
            return EXIT_FOREIGN
        case Adopt(former):
            return await _adopt(tools, progress, ways.adopt, mark, former.cluster_uid)
        case Build(redo):
            if redo:
                _log.warning("an earlier attempt did not finish; starting again")
            return await _build(Job(tools, WorkDir(volume, mark), progress), ways.build)


async def _build(job: Job, build: Builder) -> int:
    clock = job.tools.clock
    try:
        await asyncio.to_thread(job.work.begin)
        version = await build(job)
        job.progress.stage("finish")
        await asyncio.to_thread(job.work.finish, version, rfc3339(clock.now()))
    except EXPECTED as error:
        await asyncio.to_thread(job.work.abandon)
        return await _failed(job.tools, job.progress, error)
    job.progress.stage("done")
    _log.info("the data directory is complete", version=version)
    return EXIT_DONE


async def _adopt(tools: Tools, progress: Progress, adopt: Adopter, mark: Mark, former_uid: str) -> int:
    """Nothing is wiped when it fails: the data is somebody's, and every attempt starts with the same steps."""
    _log.warning("taking over the data of another Cluster", formerUID=former_uid)
    try:
        await adopt(tools, progress)
        progress.stage("finish")
        at = rfc3339(tools.clock.now())
        await asyncio.to_thread(workdir.take_over, tools.settings.paths.volume, mark, former_uid, at)
    except EXPECTED as error:
        return await _failed(tools, progress, error)
    progress.stage("done")
    _log.info("the data directory is ours", formerUID=former_uid)
    return EXIT_DONE


async def _failed(tools: Tools, progress: Progress, error: Exception) -> int:
    reason = error.reason if isinstance(error, ProvisionFailed) else "BootstrapFailed"
    await _explain(tools, progress, reason, str(error))
    return EXIT_FAILED


async def _explain(tools: Tools, progress: Progress, reason: ProblemReason, message: str) -> None:
    """Say why in every place somebody may look: log, termination message, status."""
    _log.error("provisioning failed", reason=reason, error=message)
    progress.problem(reason, message)
    termination_message(tools.settings, f"{reason}: {message}")
    await tools.clock.sleep(LINGER_SECONDS)


def termination_message(settings: Settings, text: str) -> None:
    """What the container's status shows as its last word; at most 4096 bytes (Kubernetes' limit)."""
    try:
        settings.paths.termination_log.write_text(log.redact_head(text, 4000))
    except OSError as error:
        _log.debug("no termination message", error=str(error))
