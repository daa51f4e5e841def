"""Background processes that outlive the command that started them.

Each is recorded as `<run>/<name>.pid` with its pid, its start time (clock ticks since boot, field 22 of
/proc/PID/stat, see proc(5)) and the boot it belongs to. A pid that was given to another process since does not
match its record, so the bed can only ever end what it started.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bed.config import BedError


@dataclass(frozen=True)
class Record:
    """One started process: enough to recognise it later, whatever happened to its pid in between."""

    pid: int
    started: int
    boot: str

    def render(self) -> str:
        return f"{self.pid} {self.started} {self.boot}\n"

    @classmethod
    def parse(cls, text: str) -> Record | None:
        """None for a file that a kill cut short: such a process is found by its cgroup instead."""
        words = text.split()
        if len(words) != 3 or not (words[0].isdigit() and words[1].isdigit()):
            return None
        return cls(int(words[0]), int(words[1]), words[2])


def parse_stat(text: str) -> tuple[str, int]:
    """State letter and start time from a /proc/PID/stat line. The name in parentheses may hold anything."""
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """Start time of a running process; None when there is none, or only its zombie."""
    try:
        state, started = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else started


def is_alive(record: Record) -> bool:
    return record.boot == boot_id() and start_time(record.pid) == record.started


def end(record: Record, *, how: signal.Signals = signal.SIGKILL, timeout: float = 10) -> None:
    """Signals the process and waits until it is gone; nothing happens when it is gone already.

    The pid is held by a pidfd while the start time is compared, so it cannot change hands in between.
    Raises BedError when the process survives the bound.
    """
    try:
        handle = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(record):
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, how)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(timeout * 1000):
            raise BedError(f"process {record.pid} is still there {timeout:.0f} s after {how.name}")
        with contextlib.suppress(ChildProcessError):
            os.waitpid(record.pid, 0)
    finally:
        os.close(handle)


def send(record: Record, how: signal.Signals) -> None:
    """Sends a signal such as SIGSTOP. Raises BedError when the process is not running."""
    if not is_alive(record):
        raise BedError(f"process {record.pid} is not running")
    os.kill(record.pid, how)


def spawn(argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> Record:
    """Starts a command in a session of its own, with its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(part) for part in argv]
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(
        command[0],
        command,
        dict(os.environ if env is None else env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    started = start_time(pid)
    if started is None:
        raise BedError(f"{command[0]} ended at once; its output is in {log}")
    return Record(pid, started, boot_id())


class Table:
    """The recorded processes of one bed, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.pid"

    def names(self) -> list[str]:
        return sorted(file.stem for file in self._folder.glob("*.pid"))

    def get(self, name: str) -> Record | None:
        try:
            return Record.parse(self._file(name).read_text())
        except FileNotFoundError:
            return None

    def running(self, name: str) -> Record | None:
        """The record of a process that is still the one we started, else None."""
        record = self.get(name)
        return record if record is not None and is_alive(record) else None

    def start(self, name: str, argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> bool:
        """Starts and records a process unless it runs already; says whether it started one."""
        if self.running(name) is not None:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        record = spawn(argv, log, env)
        draft = self._file(name).with_suffix(".new")
        draft.write_text(record.render())
        draft.replace(self._file(name))
        return True

    def stop(self, name: str, *, how: signal.Signals = signal.SIGKILL, timeout: float = 10) -> None:
        """Ends a recorded process and forgets it; fine when it is gone already."""
        record = self.get(name)
        if record is not None:
            end(record, how=how, timeout=timeout)
        self._file(name).unlink(missing_ok=True)
