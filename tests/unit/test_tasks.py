from __future__ import annotations

import asyncio

import pytest

from cnmysql.tasks import Signal, TaskSet, cancel


async def test_signal_given_before_the_wait_is_not_lost() -> None:
    signal = Signal()
    signal.set()
    signal.set()
    assert await signal.wait(5)
    assert not await signal.wait(0.01)


async def test_cancel_waits_for_the_end_and_passes_errors_on() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("broke while ending") from None

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="broke while ending"):
        await cancel(task)


async def test_task_set_reports_a_failure_once_and_cancels_the_rest() -> None:
    seen: list[str] = []
    failed = asyncio.Event()

    def on_error(name: str, error: BaseException) -> None:
        seen.append(f"{name}: {error}")
        failed.set()

    async def breaks() -> None:
        raise RuntimeError("no")

    tasks = TaskSet(on_error)
    waiting = tasks.start(asyncio.Event().wait(), name="waiting")
    tasks.start(breaks(), name="breaks")
    await asyncio.wait_for(failed.wait(), 5)
    await tasks.close()
    assert seen == ["breaks: no"]
    assert waiting.cancelled()
