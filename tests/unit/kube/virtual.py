"""Virtual time: an event loop whose clock jumps to the next timer, so hours pass in milliseconds and never for real."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_THREAD_SECONDS = 10.0
"""Real ones. Without a timer only a thread can wake the loop: that which ends its executor when it is closed."""


class _Jump(selectors.SelectSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.loop.now += timeout
        elif not ready and not (ready := super().select(_THREAD_SECONDS)):
            raise RuntimeError("deadlock: nothing is ready and no timer is set")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class LoopClock:
    """The product's Clock on the running loop's time."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def boottime(self) -> float:
        return self.monotonic()

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run(coro: Coroutine[Any, Any, T], *, limit: float = 1e6) -> T:
    """Run in virtual time; TimeoutError after `limit` virtual seconds."""

    async def bounded() -> T:
        async with asyncio.timeout(limit):
            return await coro

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(bounded())
