"""What the end of mysqld means and what follows from it. Pure: facts in, verdict out.

Exit codes are the server's own: 0 clean, 16 RESTART or CLONE under a parent that restarts it, 2 after a caught
SIGSEGV or SIGABRT, 1 for anything it refuses to start with ("mysqld exit codes" in the manual; tried on 9.7).
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cnmysql.protocol.report import ExitKind, MysqldExit, ProblemReason

RESTART_CODE: Final = 16
BACKOFF: Final = (0.2, 1.0, 3.0, 10.0)
"""Seconds before the first, second, ... restart after a crash; the last one repeats."""
CONFIGURATION_DELAY: Final = 5.0
CONFIGURATION_TRIES: Final = 3
CONFIGURATION_RECHECK: Final = 60.0
"""After the tries: start again when my.cnf changed, or after this, for causes outside it (disk full, port taken)."""
CLEAN_LIMIT: Final = 3
CLEAN_WINDOW: Final = 60.0
LOOP_LIMIT: Final = 5
LOOP_WINDOW: Final = 600.0


@dataclass(frozen=True)
class Death:
    """The facts about one end of mysqld. `returncode` as in subprocess; `oom_kills`: growth of the cgroup's counter."""

    returncode: int
    requested: bool = False
    oom_kills: int = 0


def classify(death: Death) -> ExitKind:
    """The kind of an exit."""
    code = death.returncode
    if code == 0:
        return "clean"
    if code == RESTART_CODE:
        return "restart"
    if code == -signal.SIGKILL:
        return "oomKilled" if death.oom_kills > 0 and not death.requested else "signal"
    if code == 1:
        return "configuration"
    if code < 0 and -code not in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE):
        return "signal"
    return "crash"


def signal_name(returncode: int) -> str | None:
    """`SIGKILL` for -9; None when no signal ended it."""
    if returncode >= 0:
        return None
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def described(death: Death, at: str, last_errors: tuple[str, ...]) -> MysqldExit:
    """The exit as it is reported."""
    return MysqldExit(
        kind=classify(death),
        code=death.returncode if death.returncode >= 0 else None,
        signal=signal_name(death.returncode),
        at=at,
        requested=death.requested,
        last_errors=last_errors,
    )


@dataclass(frozen=True)
class Past:
    """One earlier exit nobody asked for. `at`: seconds of a monotonic clock."""

    at: float
    kind: ExitKind


@dataclass(frozen=True)
class Again:
    """Start mysqld again after so many seconds."""

    after: float


@dataclass(frozen=True)
class Hold:
    """Do not start it again before my.cnf changed, `after` seconds passed (None: never) or somebody asks."""

    reason: ProblemReason
    message: str
    after: float | None = None


@dataclass(frozen=True)
class GiveUp:
    """End the manager with an error, so that the Pod shows what happens."""

    reason: ProblemReason
    message: str


def after_exit(past: Sequence[Past], now: float) -> Again | Hold | GiveUp:
    """What to do after the newest of `past`, an exit nobody asked for. `past` is oldest first and not empty."""
    newest = past[-1].kind
    if newest == "restart":
        return Again(0.0)
    if newest == "configuration":
        tries = _trailing(past, "configuration")
        if tries < CONFIGURATION_TRIES:
            return Again(CONFIGURATION_DELAY)
        return Hold(
            "ConfigurationInvalid",
            f"mysqld refused to start {tries} times; correct what its last errors name",
            CONFIGURATION_RECHECK,
        )
    if newest == "clean":
        recent = [p for p in past if p.kind == "clean" and now - p.at <= CLEAN_WINDOW]
        if len(recent) >= CLEAN_LIMIT:
            return Hold("CrashLoop", f"mysqld was shut down by somebody else {len(recent)} times in {CLEAN_WINDOW:g} s")
        return Again(0.0)
    crashes = [p for p in past if p.kind in ("crash", "oomKilled", "signal") and now - p.at <= LOOP_WINDOW]
    if len(crashes) >= LOOP_LIMIT:
        return GiveUp("CrashLoop", f"mysqld died {len(crashes)} times in {LOOP_WINDOW / 60:g} min ({newest})")
    return Again(BACKOFF[min(len(crashes), len(BACKOFF)) - 1])


def remember(past: Sequence[Past], newest: Past) -> tuple[Past, ...]:
    """The exits that still matter, with the newest one."""
    return (*(p for p in past if newest.at - p.at <= LOOP_WINDOW), newest)


def _trailing(past: Sequence[Past], kind: ExitKind) -> int:
    count = 0
    for entry in reversed(past):
        if entry.kind != kind:
            break
        count += 1
    return count


def oom_kills(text: str) -> int:
    """The `oom_kill` counter of a cgroup's memory.events (v2) or memory.oom_control (v1); 0 when it is not there."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill" and value.strip().isdigit():
            return int(value)
    return 0
