"""Standard error that never blocks: what the container runtime does not take in time is dropped and counted.

The manager logs on its event loop. A runtime that stops reading would stop the loop, and a stopped manager costs
the primary its permission to write.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from io import TextIOBase
from typing import Final

LIMIT_BYTES: Final = 4 << 20


class Sink(TextIOBase):
    """A text stream whose writes return at once; a thread of its own writes to `fd`."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._ready = threading.Condition()
        self._idle = True
        threading.Thread(target=self._run, name="log-sink", daemon=True).start()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        data = text.encode(errors="replace")
        with self._ready:
            if self._bytes + len(data) > LIMIT_BYTES:
                self._dropped += 1
            else:
                self._queue.append(data)
                self._bytes += len(data)
                self._ready.notify_all()
        return len(text)

    def flush(self) -> None:
        """Nothing to do: lines are on their way; `drain` waits for them."""

    def drain(self, within: float) -> bool:
        """Wait until everything is written, at most so many seconds. False when something is still left."""
        with self._ready:
            return self._ready.wait_for(lambda: self._idle and not self._queue, within)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._idle = not self._queue
                self._ready.notify_all()
                self._ready.wait_for(lambda: bool(self._queue))
                self._idle = False
                batch = b"".join(self._queue)
                dropped, self._dropped = self._dropped, 0
                self._queue.clear()
            if dropped:
                batch += b'{"level":"warning","msg":"dropped log lines","logger":"log","dropped":%d}\n' % dropped
            self._write(batch)
            with self._ready:
                self._bytes = sum(map(len, self._queue))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError:
                # Nobody reads standard error any more; there is nowhere left to say so.
                return
