"""Asynchronous tests in virtual time."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from tests.unit.kube.virtual import LoopClock, run

__all__ = ["LoopClock", "until", "virtual"]


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test in virtual time."""

    @functools.wraps(test)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))

    del wrapped.__wrapped__  # pytest would see the coroutine through it
    wrapped.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return wrapped


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait in virtual time; fails after so much of it."""
    for _ in range(int(seconds * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"did not happen within {seconds} s")
