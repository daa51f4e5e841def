"""Starting mysqld on the mounted my.cnf, whatever for: its output goes into our log, its parent restarts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cnmysql.errors import Terminal
from instance.process.logpipe import LogPipe
from instance.process.reaper import Child, Reaper
from instance.settings import Settings, child_environment
from instance.watchdog import Watchdog


class CannotRun(Terminal):
    """There is no process; the message says why."""


def spawn(
    reaper: Reaper,
    watchdog: Watchdog,
    settings: Settings,
    arguments: Sequence[str],
    *,
    inherited: Sequence[int | None] = (),
    on_line: Callable[[str], None] | None = None,
) -> tuple[Child, LogPipe]:
    """Start it with these arguments. `inherited`: descriptors it gets besides its output. Raises CannotRun.

    It is guarded until it is reaped, and before anything else is done, so that hardly a moment is left in which only
    the end of process 1 itself (the kernel then ends the whole container) would take it along."""
    pipe = LogPipe("mysqld", on_line)
    try:
        child = reaper.spawn(
            [settings.mysqld, f"--defaults-file={settings.paths.config_file}", *arguments],
            stdout=pipe.stdout,
            stderr=pipe.stderr,
            env=child_environment(),
            pass_fds=tuple(fd for fd in inherited if fd is not None),
        )
    except OSError as error:
        pipe.discard()
        raise CannotRun(f"cannot run {settings.mysqld}: {error.strerror}") from error
    watchdog.guard(child.pid)
    child.exited.add_done_callback(lambda _: watchdog.unguard(child.pid))
    pipe.started()
    return child, pipe
