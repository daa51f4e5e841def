"""Moments of the primary Lease, in seconds after sending its last successful renewal, and bounds of the role loop.

All are measured on CLOCK_BOOTTIME, which goes on while the machine sleeps. A holder must have been dead or closed for
a while before anybody may treat an unchanged Lease as abandoned; each moment leaves the next one time to work.
"""

from __future__ import annotations

from typing import Final

from cnmysql.retry import pause

LEASE_DURATION: Final = 10
RENEW_EVERY: Final = 2.0
CLOSE_AFTER: Final = 6.0
"""Without a renewal for this long the server is closed."""
WRITE_UNTIL: Final = 8.0
"""Whatever the manager does, the watchdog kills mysqld now."""
LOOP_STALE: Final = 4.0
"""A role loop that has not come round for this long gets no further permission to write."""

CLOSE_BOUND: Final = 2.0
"""All steps of closing together; then SIGKILL."""
HUNG_AFTER: Final = 10.0
"""A server that answered before and has been silent this long is killed and started again."""

TICK: Final = 1.0
"""Longest pause between two passes."""
PEERS_FRESH: Final = 3.0
"""Answers of peers older than this decide nothing."""
RETEST_EVERY: Final = 30.0
"""How often a running replica is compared with its source for transactions of its own."""
RESTART_FIRST: Final = 0.5
RESTART_CAP: Final = 30.0
OPEN_CAP: Final = 5.0


def open_pause(failures: int) -> float:
    """Pause before opening is tried again: an order that admission refuses must not keep the API server busy."""
    return pause(failures, first=RESTART_FIRST, last=OPEN_CAP)


def restart_pause(restarts: int) -> float:
    """Pause before replication threads that keep dying are started again: doubling, capped."""
    return pause(restarts, first=RESTART_FIRST, last=RESTART_CAP)
