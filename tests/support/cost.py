"""What a call costs the thread it runs in, whatever else the machine does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call; the better of two, because the first may have to load something."""
    return min(_once(work), _once(work))


def _once(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began
