"""Waiting times after failures: growing, bounded, and spread so that many clients do not return in step."""

from __future__ import annotations

import random

from cnmysql.retry import pause


class Backoff:
    """Delays from `first` to `cap` seconds, doubling; each is drawn from the upper half of its step."""

    def __init__(self, first: float = 0.8, cap: float = 30.0) -> None:
        self._first = first
        self._cap = cap
        self.failures = 0

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        step = pause(self.failures, first=self._first, last=self._cap)
        self.failures += 1
        return max(self._first, step * random.uniform(0.5, 1.0))  # noqa: S311 - spreading load, not a secret

    def reset(self) -> None:
        self.failures = 0
