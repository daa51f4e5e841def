"""Keys waiting to be worked on: each at most once in the queue, and never with two workers at the same time.

Invariant (after k8s.io/client-go/util/workqueue): `dirty` are keys that need work, `processing` those a worker has.
A key enters the ready line only when it is dirty and not processing; `done` puts it back in line when it became dirty
meanwhile. So an `add` is never lost, however it falls, and one key is never worked on twice at once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from typing import Final, Protocol

from cnmysql.clock import Clock
from cnmysql.retry import pause

FIRST_RETRY: Final = 0.005
LAST_RETRY: Final = 300.0


class QueueClosed(Exception):
    """The queue was shut down; there is no more work."""


class QueueMetrics(Protocol):
    """What a queue reports; times in seconds."""

    def depth(self, waiting: int) -> None: ...

    def added(self) -> None: ...

    def retried(self) -> None: ...

    def started(self, waited: float) -> None: ...

    def finished(self, worked: float) -> None: ...


class NoMetrics:
    """Reports to nobody."""

    def depth(self, waiting: int) -> None:
        return

    def added(self) -> None:
        return

    def retried(self) -> None:
        return

    def started(self, waited: float) -> None:
        return

    def finished(self, worked: float) -> None:
        return


class TokenBucket:
    """`burst` at once, then `rate` per second: bounds the retries of all keys together."""

    def __init__(self, clock: Clock, *, rate: float = 10.0, burst: float = 100.0) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = clock.monotonic()

    def reserve(self) -> float:
        """Take a token and say in how many seconds it may be used."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._tokens / self._rate)


class WorkQueue:
    """The queue. All methods are for one event loop; `get` and `done` go in pairs."""

    def __init__(self, clock: Clock, *, metrics: QueueMetrics | None = None, bucket: TokenBucket | None = None) -> None:
        self._clock = clock
        self._metrics: QueueMetrics = metrics if metrics is not None else NoMetrics()
        self._bucket = bucket if bucket is not None else TokenBucket(clock)
        self._ready: deque[str] = deque()
        self._dirty: dict[str, float] = {}  # since when
        self._processing: dict[str, float] = {}  # since when
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}  # the earliest wish of each delayed key
        self._heap: list[tuple[float, str]] = []  # may hold outdated entries; _due decides
        self._getters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = float("inf")
        self._idle = asyncio.Event()
        self._idle.set()
        self.closed = False

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: str) -> None:
        """The key needs work. Nothing happens when that is known already, or after shutdown."""
        if self.closed or key in self._dirty:
            return
        self._dirty[key] = self._clock.monotonic()
        self._metrics.added()
        if key not in self._processing:
            self._line_up(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Add the key later. Of several wishes for one key the earliest counts, and then all are fulfilled."""
        if self.closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        self._arm()

    def add_rate_limited(self, key: str, *, at_least: float = 0.0) -> float:
        """Add the key after its own backoff (5 ms doubling to 5 min), the bucket's wait or `at_least`: the longest.

        Returns the seconds it waits. `forget` ends the backoff.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        backoff = pause(failures, first=FIRST_RETRY, last=LAST_RETRY)
        wait = max(backoff, self._bucket.reserve(), at_least)
        self._metrics.retried()
        self.add_after(key, wait)
        return wait

    def forget(self, key: str) -> None:
        """The key did well: its next failure starts the backoff anew."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> str:
        """The next key to work on; `done` must follow. Raises QueueClosed after shutdown."""
        while True:
            if self.closed:
                raise QueueClosed
            if self._ready:
                return self._hand_out()
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter in self._getters:
                    self._getters.remove(getter)
                if self._ready:
                    self._wake_one()  # the wake-up was for us and we are leaving: pass it on
                raise

    def done(self, key: str) -> None:
        """The work on the key has ended, well or not. It is lined up again when it was added meanwhile."""
        self._metrics.finished(self._clock.monotonic() - self._processing.pop(key))
        if key in self._dirty and not self.closed:
            self._line_up(key)
        if not self._processing:
            self._idle.set()

    def shutdown(self) -> None:
        """Hand out nothing more and forget what waits; work in progress still ends with `done`."""
        self.closed = True
        self._ready.clear()
        self._dirty.clear()
        self._due.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
        while self._getters:
            self._wake_one()
        self._metrics.depth(0)

    async def idle(self) -> None:
        """Wait until no worker has a key; after `shutdown` that is the end of all work."""
        await self._idle.wait()

    def _hand_out(self) -> str:
        key = self._ready.popleft()
        now = self._clock.monotonic()
        self._metrics.started(now - self._dirty.pop(key))
        self._metrics.depth(len(self._ready))
        self._processing[key] = now
        self._idle.clear()
        return key

    def _line_up(self, key: str) -> None:
        self._ready.append(key)
        self._metrics.depth(len(self._ready))
        self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        """Make the timer fire for the earliest delayed key."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap or (self._timer is not None and self._timer_due <= self._heap[0][0]):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = self._heap[0][0]
        self._timer = asyncio.create_task(self._fire(self._timer_due), name="workqueue timer")

    async def _fire(self, due: float) -> None:
        while (remaining := due - self._clock.monotonic()) > 0:
            await self._clock.sleep(remaining)
        self._timer, self._timer_due = None, float("inf")
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key)
        self._arm()
