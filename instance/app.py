"""Wiring: what is made in which order, what ends the program and how."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from cnmysql import log
from cnmysql.clock import Clock, SystemClock
from cnmysql.tasks import Signal, cancel
from instance.process import signals
from instance.process.sink import Sink
from instance.settings import Settings
from instance.watchdog import Watchdog

if TYPE_CHECKING:
    from cnmysql.pki.contexts import RotatingServerContext

_log = log.get("instance")

EXIT_FAILED: Final = 1
DRAIN_SECONDS: Final = 1.0
TLS_CHECK_SECONDS: Final = 2.0
"""A renewed certificate reaches a file within seconds, and within seconds it is to be in use."""


def main(settings: Settings, watchdog: Watchdog) -> int:
    """Run one of the three programs to its end; the exit code."""
    sink = Sink()
    log.configure(
        settings.log_level,
        stream=cast(TextIO, sink),
        process="manager",
        cluster=settings.cluster,
        namespace=settings.namespace,
        instance=settings.instance,
    )
    clock = SystemClock()
    program = _run(settings, watchdog, clock) if settings.mode == "run" else _provision(settings, watchdog, clock)
    try:
        return asyncio.run(program)
    finally:
        watchdog.close()
        sink.drain(DRAIN_SECONDS)


async def _provision(settings: Settings, watchdog: Watchdog, clock: Clock) -> int:
    """initdb or join; SIGTERM ends it like a kill would, which the next start knows how to continue from."""
    from cnmysql.pki.contexts import RotatingServerContext
    from instance import handlers
    from instance.provision import adopt, frame
    from instance.provision.progress import Progress

    build: frame.Builder
    if settings.mode == "initdb":
        from instance.provision import initdb

        build = initdb.build
    else:
        from instance.provision import join

        build = join.build
    progress = Progress(settings, clock, "initdb" if settings.mode == "initdb" else "join")
    context = RotatingServerContext(settings.paths.server_tls)
    control = await handlers.serve_control(
        progress, None, context,
        cluster=settings.cluster, namespace=settings.namespace, host=settings.bind, port=settings.control_port,
    )  # fmt: skip
    rotation = asyncio.create_task(_follow_files(context, clock), name="tls")
    try:
        return await _until_told(frame.provision(settings, watchdog, clock, progress, frame.Ways(build, adopt.adopt)))
    finally:
        await cancel(rotation)
        await control.close()


async def _follow_files(context: RotatingServerContext, clock: Clock) -> None:
    """Use rotated certificates; a copy may take longer than one is valid."""
    while True:
        await clock.sleep(TLS_CHECK_SECONDS)
        try:
            context.refresh()
        except (OSError, ssl.SSLError, ValueError) as error:
            _log.warning("the new certificate cannot be used yet", error=str(error))


async def _until_told(work: Coroutine[Any, Any, int]) -> int:
    """The result of `work`, or EXIT_FAILED when SIGTERM or SIGINT came first."""
    task = asyncio.ensure_future(work)
    signals.on_stop(task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
        _log.info("told to stop")
        return EXIT_FAILED


async def _run(settings: Settings, watchdog: Watchdog, clock: Clock) -> int:
    """The main container: status first, then the lock, then mysqld, then the role."""
    from instance.mysqld import Mysqld
    from instance.process.reaper import Reaper
    from instance.role.half import RoleHalf
    from instance.run import Parts, Run

    reaper = Reaper()
    reaper.install()
    changed = Signal()
    mysqld = Mysqld(settings, watchdog, clock, changed.set, reaper=reaper)
    half = RoleHalf(settings, mysqld, watchdog, clock, changed)
    await half.serve()
    _log.info("serving")
    try:
        return await Run(Parts(settings, watchdog, clock, reaper, mysqld, half)).until_told()
    finally:
        await half.close()
