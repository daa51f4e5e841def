"""Time as a dependency: code that waits or compares times takes a Clock, tests give it one they control."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Seconds as floats. `boottime` goes on while the machine sleeps; leases are judged on it."""

    def monotonic(self) -> float: ...

    def boottime(self) -> float: ...

    def now(self) -> datetime:
        """Wall clock, UTC, only for what people read."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks (clock_gettime(2): CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME)."""

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def rfc3339(moment: datetime) -> str:
    """`2006-01-02T15:04:05Z`, the form of Kubernetes times. The moment must carry a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without zone cannot be written as RFC 3339")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> datetime:
    """Inverse of `rfc3339`; also reads fractions and offsets. Raises ValueError on anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)
