"""mysqld's output on its way into our log, without ever making mysqld wait.

A full pipe blocks the writer, so one thread reads both pipes as fast as they fill, whatever the event loop does.
What exceeds the rate is dropped and counted, never queued; the newest bytes are always kept for the report of an exit.
"""

from __future__ import annotations

import contextlib
import contextvars
import fcntl
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Final

from cnmysql import log
from cnmysql.clock import Clock
from instance.process import lines

_PIPE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 18
_TAIL_BYTES: Final = 64 * 1024
RATE: Final = 2000
"""Lines a second that are passed on for long; BURST at once."""
BURST: Final = 5000
DRAIN_SECONDS: Final = 1.0


class LogPipe:
    """The pipes of one process. Hand `stdout` and `stderr` to the child, call `started`, later `drained` and `text`.

    `on_line(code)` is called in the reading thread for every line that carries a code.
    """

    def __init__(self, process: str, on_line: Callable[[str], None] | None = None) -> None:
        self._logger = log.get(process)
        self._process = process
        self._on_line = on_line
        self._reads: dict[int, str] = {}
        self._partial: dict[int, bytes] = {}
        self._tail = b""
        self._budget = float(BURST)
        self._filled = time.monotonic()
        self.dropped = 0
        """Lines not passed on so far."""
        self._unreported = 0
        self.stdout = self._open("stdout")
        self.stderr = self._open("stderr")
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=f"log-{process}", daemon=True)

    def _open(self, stream: str) -> int:
        read, write = os.pipe()
        # Above /proc/sys/fs/pipe-max-size an unprivileged process is refused; the default size works too.
        with contextlib.suppress(OSError):
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._reads[read] = stream
        self._partial[read] = b""
        return write

    def started(self) -> None:
        """The child has its ends: close ours and read until it and its children have closed theirs."""
        os.close(self.stdout)
        os.close(self.stderr)
        self._thread.start()

    def discard(self) -> None:
        """The child never started."""
        for fd in (self.stdout, self.stderr, *self._reads):
            os.close(fd)

    def finished(self) -> bool:
        """Everything was read to the end."""
        return not self._thread.is_alive()

    async def drained(self, clock: Clock) -> None:
        """Wait (a second at most) until the output of a process that has ended is read."""
        deadline = clock.monotonic() + DRAIN_SECONDS
        while not self.finished() and clock.monotonic() < deadline:
            await clock.sleep(0.01)

    def text(self) -> list[str]:
        """The newest lines, both streams, at most 64 KiB."""
        return self._tail.decode(errors="replace").splitlines()

    def _run(self) -> None:
        poll = select.poll()
        for fd in self._reads:
            poll.register(fd, select.POLLIN | select.POLLHUP)
        left = set(self._reads)
        while left:
            for fd, _ in poll.poll():
                chunk = os.read(fd, _READ_BYTES)
                if not chunk:
                    poll.unregister(fd)
                    self._take(fd, b"\n" if self._partial[fd] else b"")
                    os.close(fd)
                    left.discard(fd)
                else:
                    self._take(fd, chunk)
        self._report_drops()

    def _take(self, fd: int, chunk: bytes) -> None:
        whole, newline, rest = (self._partial[fd] + chunk).rpartition(b"\n")
        # A line without end is cut so that it cannot grow for ever.
        if not newline and len(rest) > _TAIL_BYTES:
            whole, newline, rest = rest, b"\n", b""
        self._partial[fd] = rest
        if not newline:
            return
        self._tail = (self._tail + whole + b"\n")[-_TAIL_BYTES:]
        count = whole.count(b"\n") + 1
        if not self._affordable(count):
            self.dropped += count
            self._unreported += count
            return
        self._report_drops()
        for text in whole.decode(errors="replace").split("\n"):
            self._emit(text, self._reads[fd])

    def _affordable(self, count: int) -> bool:
        now = time.monotonic()
        self._budget = min(BURST, self._budget + (now - self._filled) * RATE)
        self._filled = now
        if count > self._budget:
            return False
        self._budget -= count
        return True

    def _report_drops(self) -> None:
        if self._unreported:
            self._logger.warning("dropped output lines", process=self._process, dropped=self._unreported)
            self._unreported = 0

    def _emit(self, text: str, stream: str) -> None:
        line = lines.parse(text)
        if not line.message:
            return
        extra = {"code": line.code, "subsystem": line.subsystem} if line.code else {}
        getattr(self._logger, line.level)(line.message, process=self._process, stream=stream, **extra)
        if line.code and self._on_line is not None:
            self._on_line(line.code)
