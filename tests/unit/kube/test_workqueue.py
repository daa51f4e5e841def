"""Never the same key twice at once, no lost wake-up, delays and backoff: in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmysql import tasks
from cnmysql.kube.workqueue import QueueClosed, TokenBucket, WorkQueue
from tests.unit.kube.virtual import LoopClock, run

KEYS = st.sampled_from("abc")
DELAYS = st.sampled_from([0.0, 0.001, 0.5, 2.0])
ACTIONS = st.one_of(
    st.tuples(st.just("add"), KEYS),
    st.tuples(st.just("after"), KEYS, DELAYS),
    st.tuples(st.just("limited"), KEYS),
    st.tuples(st.just("sleep"), DELAYS),
    st.tuples(st.just("cancel"), st.integers(0, 3)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, max_size=60), st.lists(DELAYS, min_size=1, max_size=10))
def test_no_key_twice_at_once_and_no_lost_wake_up(actions: list[Any], durations: list[float]) -> None:
    """Every add is followed by a pass over its key that starts afterwards, also when workers die while waiting."""

    async def main() -> None:
        queue = WorkQueue(LoopClock())
        loop = asyncio.get_running_loop()
        wanted: dict[str, float] = {}
        started: dict[str, float] = {}
        busy: Counter[str] = Counter()
        turns = 0

        async def worker() -> None:
            nonlocal turns
            while True:
                key = await queue.get()
                busy[key] += 1
                assert busy[key] == 1
                started[key] = loop.time()
                turns += 1
                try:
                    await asyncio.sleep(durations[turns % len(durations)])
                finally:
                    busy[key] -= 1
                    queue.done(key)

        workers = [asyncio.create_task(worker()) for _ in range(4)]
        for verb, argument, *rest in actions:
            if verb == "sleep":
                await asyncio.sleep(argument)
            elif verb == "cancel":
                await tasks.cancel(workers[argument])
                workers[argument] = asyncio.create_task(worker())
            else:
                wanted[argument] = loop.time()
                if verb == "add":
                    queue.add(argument)
                elif verb == "after":
                    queue.add_after(argument, rest[0])
                else:
                    queue.add_rate_limited(argument)
        await asyncio.sleep(700)
        for task in workers:
            assert not task.done()
            await tasks.cancel(task)
        assert set(started) == set(wanted)
        assert all(started[key] >= wanted[key] for key in wanted)
        assert len(queue) == 0

    run(main())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(KEYS, st.integers(0, 30)), min_size=1, max_size=40))
def test_an_add_during_work_brings_another_pass_that_sees_it(writes: list[tuple[str, int]]) -> None:
    """The level-triggered promise: whatever was true at the last add has been seen by a pass when all is quiet."""

    async def main() -> None:
        queue = WorkQueue(LoopClock())
        truth: Counter[str] = Counter()
        seen: dict[str, int] = {}

        async def worker() -> None:
            while True:
                key = await queue.get()
                now = truth[key]
                await asyncio.sleep(0.01)
                seen[key] = now
                queue.done(key)

        workers = [asyncio.create_task(worker()) for _ in range(3)]
        for key, pause in writes:
            truth[key] += 1
            queue.add(key)
            await asyncio.sleep(pause / 1000)
        await asyncio.sleep(10)
        assert seen == dict(truth)
        for task in workers:
            await tasks.cancel(task)

    run(main())


def test_an_add_after_the_pass_began_is_not_merged_into_it() -> None:
    async def main() -> None:
        queue = WorkQueue(LoopClock())
        queue.add("a")
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        assert len(queue) == 0, "a worker has it"
        queue.done("a")
        assert await queue.get() == "a"
        queue.done("a")
        assert len(queue) == 0

    run(main())


def test_a_worker_cancelled_at_its_wake_up_passes_it_on() -> None:
    async def main() -> None:
        queue = WorkQueue(LoopClock())
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await asyncio.wait_for(second, 1) == "a"
        assert first.cancelled()

    run(main())


def test_the_earliest_of_several_delays_counts_once() -> None:
    async def main() -> None:
        queue, loop = WorkQueue(LoopClock()), asyncio.get_running_loop()
        began = loop.time()
        for seconds in (30, 5, 60, 10):
            queue.add_after("a", seconds)
        queue.add_after("b", 2)
        assert await queue.get() == "b"
        assert await queue.get() == "a"
        assert loop.time() - began == pytest.approx(5)
        queue.done("a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(200):
                await queue.get()

    run(main())


def test_backoff_doubles_from_5_ms_to_5_min_per_key_and_ends_with_forget() -> None:
    async def main() -> None:
        queue = WorkQueue(LoopClock())
        waits = [queue.add_rate_limited("a") for _ in range(20)]
        assert waits[:4] == [0.005, 0.01, 0.02, 0.04]
        assert waits[-1] == 300
        assert queue.add_rate_limited("b") == 0.005
        assert queue.failures("a") == 20
        queue.forget("a")
        assert queue.add_rate_limited("a") == 0.005
        assert queue.add_rate_limited("c", at_least=17) == 17
        queue.shutdown()

    run(main())


def test_bucket_bounds_the_retries_of_all_keys_together() -> None:
    async def main() -> None:
        clock = LoopClock()
        queue = WorkQueue(clock, bucket=TokenBucket(clock, rate=10, burst=5))
        waits = [queue.add_rate_limited(f"k{i}") for i in range(15)]
        assert waits[:5] == [0.005] * 5
        assert waits[-1] == pytest.approx(1.0)
        await asyncio.sleep(100)
        assert queue.add_rate_limited("later") == 0.005
        queue.shutdown()

    run(main())


def test_shutdown_wakes_waiters_drops_what_waits_and_lets_work_end() -> None:
    async def main() -> None:
        queue = WorkQueue(LoopClock())
        queue.add("working")
        assert await queue.get() == "working"
        waiter = asyncio.create_task(queue.get())
        queue.add_after("later", 10)
        queue.add("working")
        await asyncio.sleep(0)
        queue.shutdown()
        with pytest.raises(QueueClosed):
            await waiter
        queue.add("new")
        queue.add_after("new", 1)
        idle = asyncio.create_task(queue.idle())
        await asyncio.sleep(20)
        assert not idle.done()
        queue.done("working")
        await idle
        with pytest.raises(QueueClosed):
            await queue.get()

    run(main())


def test_metrics_hear_everything() -> None:
    class Heard:
        def __init__(self) -> None:
            self.said: list[tuple[str, float]] = []

        def depth(self, waiting: int) -> None:
            self.said.append(("depth", waiting))

        def added(self) -> None:
            self.said.append(("added", 0))

        def retried(self) -> None:
            self.said.append(("retried", 0))

        def started(self, waited: float) -> None:
            self.said.append(("started", round(waited, 3)))

        def finished(self, worked: float) -> None:
            self.said.append(("finished", round(worked, 3)))

    async def main() -> None:
        heard = Heard()
        queue = WorkQueue(LoopClock(), metrics=heard)
        queue.add("a")
        await asyncio.sleep(2)
        await queue.get()
        await asyncio.sleep(3)
        queue.done("a")
        queue.add_rate_limited("a")
        assert heard.said == [
            ("added", 0),
            ("depth", 1),
            ("started", 2.0),
            ("depth", 0),
            ("finished", 3.0),
            ("retried", 0),
        ]
        queue.shutdown()

    run(main())
