"""One started mysqld: its process, its output, what was true when it started."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from instance.process import exits
from instance.process.logpipe import LogPipe
from instance.process.reaper import Child

CGROUP_FILES: Final = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


@dataclass
class Started:
    """`config`: the my.cnf it was started with; `oom_kills`: the kernel's counter at the start; `initial`: it was given
    statements to run first."""

    generation: int
    child: Child
    pipe: LogPipe
    config: bytes
    oom_kills: int
    initial: bool = False
    stopping: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, number: signal.Signals) -> None:
        """Signal it. The pid cannot be anyone else's: it is reaped on this event loop, and `exited` is done then."""
        if not self.child.exited.done():
            os.kill(self.child.pid, number)

    async def ends(self, within: float) -> bool:
        """Wait for its end; False when it still runs after so many seconds."""
        try:
            async with asyncio.timeout(within):
                await self.gone.wait()
        except TimeoutError:
            return False
        return True


def remove_stale_socket(socket: Path) -> None:
    """Remove what a server that was killed left beside its socket. Call only while no server can be using it.

    The lock file names a pid, and mysqld refuses to start while a process (or thread) of that number exists. In a
    container that was started again the number belongs to somebody else.
    """
    for path in (socket, socket.with_name(socket.name + ".lock")):
        path.unlink(missing_ok=True)


def oom_kills() -> int:
    """How many processes of our cgroup the kernel has killed for memory; 0 when it does not say."""
    for path in CGROUP_FILES:
        try:
            return exits.oom_kills(path.read_text())
        except OSError:
            continue
    return 0
