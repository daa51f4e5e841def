"""Programs and private servers that provisioning runs: bounded, guarded by the watchdog, their output in our log."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cnmysql.clock import Clock
from cnmysql.errors import Terminal, Transient, Unreachable
from cnmysql.log import Secret
from cnmysql.mysql.conn import Connection, ConnectParams, connect
from instance.process.lines import last_errors
from instance.process.logpipe import LogPipe
from instance.process.reaper import Child, Reaper
from instance.process.spawn import CannotRun, spawn
from instance.process.started import remove_stale_socket
from instance.settings import Settings
from instance.watchdog import Watchdog

PRIVATE: Final = (
    "--skip-networking",
    "--skip-log-bin",
    "--skip-replica-start",
    "--super-read-only=OFF",
    "--read-only=OFF",
    "--persisted-globals-load=OFF",
    "--event-scheduler=OFF",
    "--log-error-verbosity=2",
    "--general-log=OFF",
    "--slow-query-log=OFF",
    "--log-raw=OFF",
)
"""A server only its socket reaches and that logs nothing: what it writes is part of every later copy, never a
transaction of its own. Not in the logs of statements either, whatever my.cnf says: passwords are in the statements,
and the logs in the volume."""
NO_KEYS: Final = (
    "--auto-generate-certs=OFF",
    "--caching-sha2-password-auto-generate-rsa-keys=OFF",
    "--loose-sha256-password-auto-generate-rsa-keys=OFF",
)
"""No private keys in a data directory that is copied or may be thrown away."""
PROGRAM_SECONDS: Final = 30.0
INITIALIZE_SECONDS: Final = 600.0
START_SECONDS: Final = 600.0
RECOVERY_SECONDS: Final = 6 * 3600.0
"""Bound of a start on data that a crash or a copy left behind: none that makes progress should be cut off."""
STOP_SECONDS: Final = 300.0
KILL_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05


class ProgramFailed(Terminal):
    """A program of MySQL's ended with an error; the message has its last error lines."""


@dataclass(frozen=True)
class Tools:
    """What every step needs. `lock_fd` is inherited by servers, so that the volume stays locked while one lives."""

    settings: Settings
    reaper: Reaper
    watchdog: Watchdog
    clock: Clock
    lock_fd: int | None = None

    def spawn(self, arguments: Sequence[str]) -> tuple[Child, LogPipe]:
        """Start mysqld with these arguments. Raises ProgramFailed when it cannot be run at all."""
        try:
            return spawn(self.reaper, self.watchdog, self.settings, arguments, inherited=(self.lock_fd,))
        except CannotRun as error:
            raise ProgramFailed(error.message) from error

    async def program(self, what: str, *arguments: str, within: float = PROGRAM_SECONDS) -> list[str]:
        """Run mysqld to its end; its output lines. Raises ProgramFailed when it fails or takes too long."""
        child, pipe = self.spawn(arguments)
        try:
            async with asyncio.timeout(within):
                code = await asyncio.shield(child.exited)
        except TimeoutError:
            raise ProgramFailed(f"{what} took longer than {within:g} s") from None
        finally:
            await end(child, signal.SIGKILL, 0.0)
        await pipe.drained(self.clock)
        if code != 0:
            raise ProgramFailed(f"{what} ended with {code}: {_reason(pipe)}")
        return pipe.text()


async def initialize(tools: Tools, data: Path, *options: str) -> None:
    """Make a new, empty server directory: root without password, no binary log, no keys. Raises ProgramFailed."""
    everything = (f"--datadir={data}", "--initialize-insecure", "--skip-log-bin", *NO_KEYS, *options)
    await tools.program("mysqld --initialize", *everything, within=INITIALIZE_SECONDS)


def _reason(pipe: LogPipe) -> str:
    """The first errors are the cause, the later ones say that it gives up."""
    return " | ".join(last_errors(pipe.text())[:3]) or "it said nothing"


async def end(child: Child, number: signal.Signals, within: float) -> int:
    """Signal a child, SIGKILL it when it is not gone in time; its exit code. Raises Transient when it cannot die."""
    if not child.exited.done():
        os.kill(child.pid, number)
        if number is not signal.SIGKILL:
            await asyncio.wait([child.exited], timeout=within)
        if not child.exited.done():
            os.kill(child.pid, signal.SIGKILL)
            await asyncio.wait([child.exited], timeout=KILL_SECONDS)
    if not child.exited.done():
        raise Transient(f"pid {child.pid} lives on after SIGKILL")
    return child.exited.result()


class PrivateServer:
    """A mysqld on a directory being built. Use as `async with`: leaving it always ends the process."""

    def __init__(self, tools: Tools, data: Path, options: Sequence[str] = PRIVATE) -> None:
        self._tools = tools
        self._data = data
        self._options = tuple(options)
        self.socket = tools.settings.paths.run / "provision.sock"
        self._child: Child | None = None
        self._pipe: LogPipe | None = None

    async def __aenter__(self) -> PrivateServer:
        remove_stale_socket(self.socket)
        self._child, self._pipe = self._tools.spawn(
            (
                f"--datadir={self._data}",
                f"--socket={self.socket}",
                f"--pid-file={self.socket.with_suffix('.pid')}",
                *self._options,
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._child is not None:
            await end(self._child, signal.SIGKILL, 0.0)

    async def connect(self, user: str, password: Secret, *, within: float = START_SECONDS) -> Connection:
        """Wait until it answers, then log in. Raises ProgramFailed when it ends or stays silent, Forbidden when the
        login is refused."""
        params = ConnectParams(
            user=user, password=password, socket=str(self.socket), lock_wait_seconds=30, max_execution_ms=0
        )
        deadline = self._tools.clock.monotonic() + within
        while True:
            self._check_alive()
            try:
                return await connect(params)
            except Unreachable:
                if self._tools.clock.monotonic() > deadline:
                    raise ProgramFailed(f"the private server does not answer after {within:g} s") from None
            await self._tools.clock.sleep(POLL_SECONDS)

    async def stop(self, within: float = STOP_SECONDS) -> None:
        """Shut it down cleanly. Raises ProgramFailed when it does not end with 0 in time."""
        assert self._child is not None
        code = await end(self._child, signal.SIGTERM, within)
        if code != 0:
            raise ProgramFailed(f"the private server ended with {code}: {self._why()}")

    def _check_alive(self) -> None:
        assert self._child is not None
        if self._child.exited.done():
            raise ProgramFailed(f"the private server ended with {self._child.exited.result()}: {self._why()}")

    def _why(self) -> str:
        assert self._pipe is not None
        return _reason(self._pipe)
