"""The one place that reaps. As PID 1 we inherit every orphan; our own children have an owner who waits for them.

Two reapers would steal each other's statuses, so nothing else in this program may wait for a child: no
`Popen.wait`, no asyncio subprocess. Children are started by `spawn`, which registers them in the same step of the
event loop, before their end can be seen.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from cnmysql import log

_log = log.get("process")


@dataclass(frozen=True)
class Child:
    """A running child: its exit status arrives as `returncode` does in subprocess (negative: the signal)."""

    pid: int
    exited: asyncio.Future[int]


class Reaper:
    """Collects every dead child on SIGCHLD and hands the status to whoever registered it."""

    def __init__(self) -> None:
        self._owned: dict[int, asyncio.Future[int]] = {}
        self._popen: dict[int, subprocess.Popen[bytes]] = {}
        self.orphans = 0
        """Children of others reaped so far."""

    def install(self) -> None:
        """Start reaping on the running event loop, which must be the main thread's."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)
        self.reap()

    def remove(self) -> None:
        """Stop reaping."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def spawn(
        self,
        command: Sequence[str],
        *,
        stdout: IO[bytes] | int,
        stderr: IO[bytes] | int,
        env: dict[str, str],
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Start a child in a session of its own, with an empty standard input. Raises OSError when it cannot run."""
        popen = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=env,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            umask=0o027,
        )
        return self._own(popen)

    def _own(self, popen: subprocess.Popen[bytes]) -> Child:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._owned[popen.pid] = future
        self._popen[popen.pid] = popen
        return Child(popen.pid, future)

    def reap(self) -> None:
        """Collect everything that has ended. Signals coalesce, so it goes on until nothing is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._deliver(pid, os.waitstatus_to_exitcode(status))

    def _deliver(self, pid: int, code: int) -> None:
        future = self._owned.pop(pid, None)
        if future is None:
            self.orphans += 1
            _log.debug("reaped an orphan", pid=pid, code=code)
            return
        # Popen must not look for a child that is gone.
        self._popen.pop(pid).returncode = code
        if not future.done():
            future.set_result(code)
