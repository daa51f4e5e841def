"""Being told to stop, without a moment in which the telling is lost.

The kernel drops a signal for process 1 that has no handler yet. So the launcher blocks the stop signals before
anything else happens, and they are let through when the event loop handles them; one that came early is delivered
then. Children inherit a blocked signal, so none may be started before that.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Final

STOP: Final = (signal.SIGTERM, signal.SIGINT)
"""Blocked by `instance.__main__`."""


def on_stop(callback: Callable[[], object]) -> None:
    """Call back on the running event loop for every stop signal, those that came before included."""
    loop = asyncio.get_running_loop()
    for number in STOP:
        loop.add_signal_handler(number, callback)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
