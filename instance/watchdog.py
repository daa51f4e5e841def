"""The watchdog: a small process that kills mysqld when the manager's permission to write has run out.

It is forked before anything heavy is imported and shares one page of memory with the manager: "may write until",
in nanoseconds of CLOCK_BOOTTIME, 0 while there is nothing to kill. It holds a pidfd of the current mysqld, sent
over a socket pair, so a recycled pid can never be hit. Whatever happens to the manager, frozen, starved, stuck or
dead, an open server does not outlive its permission:

- the moment passes: SIGKILL to mysqld, counted in the shared page so that the manager can say why it died;
- the manager's end of the socket closes (it died): SIGKILL at once, and the watchdog ends;
- the watchdog itself dies: `fileno()` becomes readable in the manager, which must close the primary.
"""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import select
import signal
import socket
import struct
import time
from typing import Final, NoReturn

_NANO: Final = 1_000_000_000
_DEADLINE, _KILLS, _CALLS = 0, 1, 2
_WAKE_SECONDS: Final = 1.0
"""Longest nap while armed: poll(2) counts CLOCK_MONOTONIC, which stands still while the machine sleeps."""
_IGNORED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGPIPE,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_GUARD, _UNGUARD, _POKE = b"g", b"u", b"p"


def _boottime() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Watchdog:
    """The manager's side. No call here waits for the watchdog: messages and memory reach it even if we freeze next."""

    def __init__(self, pid: int, channel: socket.socket, shared: mmap.mmap) -> None:
        self.pid = pid
        self._channel = channel
        self._shared = shared
        self._words = memoryview(shared).cast("q")
        self._guarded: int | None = None

    @classmethod
    def fork(cls) -> Watchdog:
        """Split off the watchdog. Call before threads exist and before heavy imports: it keeps what is loaded now."""
        shared = mmap.mmap(-1, mmap.PAGESIZE)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Blocked until the watchdog ignores them: a signal for the manager must not end a newborn watchdog.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
        pid = os.fork()
        if pid == 0:
            ours.close()
            _Guard(theirs, shared).run(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        ours.setblocking(False)
        return cls(pid, ours, shared)

    def permit_until(self, boottime: float) -> None:
        """mysqld may write until this moment (seconds of CLOCK_BOOTTIME); 0 is the same as `forbid`."""
        moment = int(boottime * _NANO)
        previous = self._words[_DEADLINE]
        self._words[_DEADLINE] = moment
        if moment and (previous == 0 or moment < previous):
            # A later moment needs no wake-up: it is seen when the earlier one has passed.
            self._send(_POKE)

    def forbid(self) -> None:
        """The server is closed or about to boot closed: nothing to kill."""
        self._words[_DEADLINE] = 0

    def guard(self, pid: int) -> None:
        """Watch over this mysqld, a child of ours that is not reaped yet, instead of an earlier one."""
        fd = os.pidfd_open(pid)
        try:
            self._send(_GUARD, fd)
        finally:
            os.close(fd)
        self._guarded = pid

    def unguard(self, pid: int) -> None:
        """This mysqld is dead and reaped. Nothing happens when another one is guarded by now."""
        if pid != self._guarded:
            return
        self._guarded = None
        self.forbid()
        self._send(_UNGUARD)

    @property
    def kills(self) -> int:
        """How many times it had to kill a server since the start."""
        return int(self._words[_KILLS])

    def fileno(self) -> int:
        """Readable when the watchdog is dead: nothing guards the server any more, close it."""
        return self._channel.fileno()

    def alive(self) -> bool:
        """False once it has died."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Let go of it; it kills a server it still guards and ends."""
        self._channel.close()

    def _send(self, message: bytes, fd: int | None = None) -> None:
        # The dead watchdog is reported by fileno(); a full queue cannot be: it reads before it does anything else.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if fd is None:
                self._channel.send(message)
            else:
                socket.send_fds(self._channel, [message], [fd])


class _Guard:
    """The watchdog's side: one loop, no allocation worth naming, nothing that can block before the kill."""

    def __init__(self, channel: socket.socket, shared: mmap.mmap) -> None:
        self._channel = channel
        self._words = memoryview(shared).cast("q")
        self._pidfd = -1

    def run(self, mask: set[int | signal.Signals]) -> NoReturn:
        status = 1
        try:
            self._isolate()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            while self._step():
                pass
            status = 0
        finally:
            self._kill("the manager is gone")
            os._exit(status)

    def _isolate(self) -> None:
        """Own session, no signal that is meant for the manager ends us, name visible in process lists."""
        os.setsid()
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:  # noqa: PTH123 - no pathlib here
            comm.write("cnmysql-watch")

    def _step(self) -> bool:
        """Wait for a message or the moment; False when the manager's end has closed."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if poll.poll(self._nap()) and not self._receive():
            return False
        deadline = int(self._words[_DEADLINE])
        if deadline and _boottime() >= deadline and self._pidfd >= 0:
            self._kill("its permission to write ran out")
        return True

    def _nap(self) -> float | None:
        """Milliseconds until the next look; None (for ever) while nothing is permitted or nobody is guarded."""
        deadline = int(self._words[_DEADLINE])
        if not deadline or self._pidfd < 0:
            return None
        left = max(deadline - _boottime(), 0) / _NANO
        return min(left, _WAKE_SECONDS) * 1000 + 1

    def _receive(self) -> bool:
        message, fds = _receive_with_fds(self._channel)
        if message in (_GUARD, _UNGUARD):
            self._drop()
        if fds:
            self._pidfd = fds[0]
        return bool(message)

    def _drop(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _kill(self, why: str) -> None:
        if self._pidfd < 0:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            self._drop()
            return
        self._words[_KILLS] += 1
        self._drop()
        _say(f"killed mysqld: {why}")


def _say(text: str) -> None:
    """One log line, unless standard error is full: a writable pipe takes a line below PIPE_BUF without blocking."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    if any(event & select.POLLOUT for _, event in poll.poll(0)):
        with contextlib.suppress(OSError):
            os.write(2, f'{{"level":"error","msg":"{text}","logger":"watchdog","process":"watchdog"}}\n'.encode())


def _receive_with_fds(channel: socket.socket) -> tuple[bytes, list[int]]:
    size = struct.calcsize("i")
    message, ancillary, _, _ = channel.recvmsg(16, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)
