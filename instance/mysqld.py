"""The single owner of mysqld: nobody else starts, stops, signals or waits for it.

mysqld always boots closed (super_read_only, offline mode, replication not started); opening is the role loop's
business. Its end is classified (`instance.process.exits`), reported at once and followed by a restart with backoff,
a hold or the manager's own end.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from cnmysql import log
from cnmysql.clock import Clock, rfc3339
from cnmysql.errors import Terminal, Transient
from cnmysql.protocol.report import MysqldPhase, MysqldReport, Problem
from cnmysql.tasks import Signal
from instance.process import exits
from instance.process.exits import Death
from instance.process.failures import Failures
from instance.process.lines import READY_CODES, last_errors
from instance.process.reaper import Reaper
from instance.process.spawn import CannotRun, spawn
from instance.process.started import Started, oom_kills, remove_stale_socket
from instance.settings import Settings
from instance.watchdog import Watchdog

_log = log.get("process")

BOOT_CLOSED: Final = ("--super-read-only=ON", "--read-only=ON", "--offline-mode=ON", "--skip-replica-start=ON")
"""Options of every start; they win over the file. Tried on 9.7: offline_mode is accepted at start and in force
before the first connection."""
KILL_SECONDS: Final = 5.0
"""How long a process may live on after SIGKILL before we say that it hangs in the kernel."""


class StillAlive(Transient):
    """mysqld did not die within KILL_SECONDS of SIGKILL: its volume hangs. Waiting longer is all one can do."""


class GivenUp(Terminal):
    """mysqld died too often; the manager ends so that the Pod shows it."""


class Initial(Protocol):
    """Statements for one start, in a file that is open; closed after the start."""

    @property
    def option(self) -> str: ...

    @property
    def fd(self) -> int: ...

    def close(self) -> None: ...


class Mysqld:
    """Supervises one mysqld. `on_change` is called (on the event loop) after every change of `report`."""

    def __init__(
        self,
        settings: Settings,
        watchdog: Watchdog,
        clock: Clock,
        on_change: Callable[[], None],
        *,
        reaper: Reaper,
        lock_fd: int | None = None,
        options: tuple[str, ...] = BOOT_CLOSED,
    ) -> None:
        self._settings = settings
        self._watchdog = watchdog
        self._clock = clock
        self._on_change = on_change
        self._reaper = reaper
        self.lock_fd = lock_fd
        self._options = options
        self.before_start: Callable[[], Awaitable[None]] | None = None
        """Awaited before every start; raising stops `run`."""
        self.initial: Callable[[], Initial | None] | None = None
        """Asked (in a thread) before every start for statements that mysqld runs before the first connection."""
        self._initial_in_vain = False
        self.on_running: Callable[[], None] | None = None
        """Called when a start is over and the server answers."""
        self._wanted = True
        self._wake = Signal()
        self._current: Started | None = None
        self._last: Started | None = None
        self._failures = Failures()
        self._obstacle: Problem | None = None
        self.problem: Problem | None = None
        """Why it is not running although it should; None when all is well."""
        self.generation = 0
        """Raised by every start."""
        self.undead = False
        """SIGKILL did not end it in time: neither renew nor claim anything."""
        self._report = MysqldReport(state="waiting", since=rfc3339(clock.now()))

    # What others may know.

    @property
    def report(self) -> MysqldReport:
        return self._report

    @property
    def pid(self) -> int | None:
        return self._current.child.pid if self._current is not None else None

    @property
    def running(self) -> bool:
        """The process exists; it need not answer yet."""
        return self._current is not None

    @property
    def config_at_start(self) -> bytes | None:
        """The my.cnf that the running mysqld was started with."""
        return self._current.config if self._current is not None else None

    @property
    def wanted(self) -> bool:
        """Whether mysqld is to be started again when it ends."""
        return self._wanted

    @wanted.setter
    def wanted(self, value: bool) -> None:
        self._wanted = value
        self._wake.set()

    def mark_running(self, generation: int) -> None:
        """It answers: this start is over. Called for what the log says and by whoever pings it."""
        if self._current is not None and self._current.generation == generation and self._report.state == "starting":
            self._set("running")
            if self.on_running is not None:
                self.on_running()

    def hold(self, problem: Problem | None) -> None:
        """State `waiting` with the reason; None withdraws it and lets `run` start mysqld."""
        self._obstacle = problem
        self._set("waiting")
        self._wake.set()

    # What others may order.

    async def start(self) -> None:
        """Want it running and start it now if it is not, whatever held it."""
        self._failures.forget()
        self._obstacle = None
        self._wanted = True
        if self._current is None:
            await self._launch()
        self._wake.set()

    async def stop(self, *, within: float) -> None:
        """SIGTERM, SIGKILL when it is not gone within so many seconds; it stays down. Raises StillAlive."""
        self._wanted = False
        await self._end(signal.SIGTERM, within)

    async def kill(self) -> None:
        """SIGKILL and wait for the end; it is started again (closed) if wanted. Raises StillAlive."""
        await self._end(signal.SIGKILL, 0.0)

    async def restart(self, *, within: float | None = None) -> None:
        """Stop in order (default bound: the stop delay), then start. Raises StillAlive."""
        await self.stop(within=self._settings.stop_delay if within is None else within)
        await self.start()

    async def run(self) -> None:
        """Keep it running while it is wanted. Raises GivenUp when it dies too often."""
        while True:
            delay = self._delay()
            if delay == 0:
                await self._launch()
            else:
                await self._wake.wait(delay)
            if self._current is None and self._last is not None:
                await self._complete_errors(self._last)
            if self._failures.final and self.problem is not None:
                raise GivenUp(self.problem.message)

    # How.

    def _delay(self) -> float | None:
        """Seconds until the next start, 0 for now, None when only a wake-up can change anything."""
        if self._current is not None or not self._wanted or self._obstacle is not None:
            return None
        return self._failures.delay(self._clock.monotonic(), self._read_config())

    async def _launch(self) -> None:
        if self.before_start is not None:
            await self.before_start()
        first = await self._initial()
        try:
            self._spawn(first)
        finally:
            if first is not None:
                first.close()

    async def _initial(self) -> Initial | None:
        """Not twice in a row when the start failed: it must not be these statements that keep mysqld down."""
        if self.initial is None or self._initial_in_vain:
            self._initial_in_vain = False
            return None
        return await asyncio.to_thread(self.initial)

    def _spawn(self, first: Initial | None) -> None:
        if self._current is not None or not self._wanted:
            return
        self._failures.starting()
        self._watchdog.forbid()
        self.generation += 1
        generation = self.generation
        loop = asyncio.get_running_loop()

        def on_line(code: str) -> None:
            # In the reading thread; a loop that has ended wants to know nothing any more.
            if code in READY_CODES and not loop.is_closed():
                loop.call_soon_threadsafe(self.mark_running, generation)

        remove_stale_socket(self._settings.paths.socket)
        inherited = (self.lock_fd, first.fd if first else None)
        try:
            child, pipe = spawn(
                self._reaper,
                self._watchdog,
                self._settings,
                self._arguments(first),
                inherited=inherited,
                on_line=on_line,
            )
        except CannotRun as error:
            self._note(Death(1), (error.message,))
            return
        run = Started(generation, child, pipe, self._read_config(), oom_kills(), initial=first is not None)
        self._current = self._last = run
        child.exited.add_done_callback(lambda future: self._exited(run, future.result()))
        _log.info("started mysqld", pid=child.pid, generation=generation)
        restarts = self._report.restarts + (1 if generation > 1 else 0)
        self._set("starting", restarts=restarts)

    def _arguments(self, first: Initial | None) -> list[str]:
        paths = self._settings.paths
        given = [f"--datadir={paths.data}", f"--socket={paths.socket}", f"--pid-file={paths.pid_file}", *self._options]
        return given if first is None else [*given, first.option]

    def _exited(self, run: Started, returncode: int) -> None:
        self._initial_in_vain = run.initial and self._report.state == "starting"
        self._current = None
        self.undead = False
        run.gone.set()
        death = Death(returncode, run.stopping, max(0, oom_kills() - run.oom_kills))
        self._note(death, last_errors(run.pipe.text()))

    def _note(self, death: Death, errors: tuple[str, ...]) -> None:
        """Report an exit and decide what follows."""
        report = exits.described(death, rfc3339(self._clock.now()), errors)
        level = _log.info if death.requested or report.kind == "restart" else _log.error
        level("mysqld ended", kind=report.kind, code=report.code, signal=report.signal, requested=death.requested)
        if not death.requested:
            self._failures.note(report.kind, self._clock.monotonic(), self._read_config())
        self._set("stopped" if death.requested else "exited", exit=report)
        self._wake.set()

    async def _complete_errors(self, run: Started) -> None:
        """Put the output that was still in the pipe at the exit into the report."""
        await run.pipe.drained(self._clock)
        self._last = None
        exit_report = self._report.exit
        errors = last_errors(run.pipe.text())
        if exit_report is not None and errors != exit_report.last_errors:
            self._set(self._report.state, exit=exit_report.model_copy(update={"last_errors": errors}))

    async def _end(self, number: signal.Signals, within: float) -> None:
        run = self._current
        if run is None:
            if self._report.state in ("exited", "waiting"):
                self._set("stopped")
            return
        run.stopping = True
        self._set("stopping")
        run.send(number)
        if number is not signal.SIGKILL and await run.ends(within):
            return
        if run.gone.is_set():
            return
        _log.warning("killing mysqld", pid=run.child.pid)
        run.send(signal.SIGKILL)
        if not await run.ends(KILL_SECONDS):
            self.undead = True
            self._on_change()
            raise StillAlive(f"mysqld (pid {run.child.pid}) lives on {KILL_SECONDS:g} s after SIGKILL")

    def _set(self, state: MysqldPhase, **changes: object) -> None:
        if state != self._report.state:
            changes["since"] = rfc3339(self._clock.now())
        self._report = self._report.model_copy(update={"state": state, **changes})
        self.problem = self._obstacle or self._failures.problem
        self._on_change()

    def _read_config(self) -> bytes:
        """The my.cnf as it is now; empty when it cannot be read, which mysqld will complain about."""
        try:
            return self._settings.paths.config_file.read_bytes()
        except OSError:
            return b""
