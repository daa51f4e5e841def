"""What mysqld's exits nobody asked for add up to: when it may be started again, or why not. No I/O, no clock."""

from __future__ import annotations

import math

from cnmysql.protocol.report import ExitKind, Problem
from instance.process import exits
from instance.process.exits import Again, GiveUp, Hold, Past

CONFIG_POLL_SECONDS = 1.0
"""How soon a corrected my.cnf is noticed while a wrong one keeps mysqld down."""


class Failures:
    """Memory of exits. Times are seconds of a monotonic clock; `config` is the content of my.cnf."""

    def __init__(self) -> None:
        self._past: tuple[Past, ...] = ()
        self._not_before = 0.0
        self._config = b""
        self.problem: Problem | None = None
        self.final = False
        """It died too often: the manager has to end."""

    def note(self, kind: ExitKind, now: float, config: bytes) -> None:
        """mysqld has just ended by itself, having been started with this configuration."""
        self._past = exits.remember(self._past, Past(now, kind))
        step = exits.after_exit(self._past, now)
        match step:
            case Again():
                self._not_before = now + step.after
            case Hold():
                self._not_before = now + (math.inf if step.after is None else step.after)
                self._config = config
                self.problem = Problem(reason=step.reason, message=step.message)
            case GiveUp():
                self.final = True
                self.problem = Problem(reason=step.reason, message=step.message)

    def delay(self, now: float, config: bytes) -> float | None:
        """Seconds until the next start, 0 for now, None when only a human's order can bring it."""
        left = self._not_before - now
        if self.problem is None:
            return max(left, 0.0)
        if self.problem.reason != "ConfigurationInvalid":
            return None
        if left <= 0 or config != self._config:
            return 0.0
        return min(left, CONFIG_POLL_SECONDS)

    def starting(self) -> None:
        """A start is being tried: what held it back is over until it fails again."""
        self.problem = None

    def forget(self) -> None:
        """Somebody ordered a start: begin with a clean record."""
        self._past = ()
        self._not_before = 0.0
        self.problem = None
