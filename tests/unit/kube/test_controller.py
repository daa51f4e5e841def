"""Containment per key, retry classes, and ending: in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cnmysql import tasks
from cnmysql.errors import Conflict, Invalid, Transient
from cnmysql.kube.controller import Controller, Result
from cnmysql.kube.metrics import KubeMetrics
from cnmysql.kube.workqueue import WorkQueue
from cnmysql.metrics import CollectorRegistry, render
from tests.unit.kube.virtual import LoopClock, run


class Bench:
    """A controller over a reconcile that notes when it was called for which key."""

    def __init__(self, behave: Callable[[str, int], Awaitable[Result]], **options: Any) -> None:
        self.queue = WorkQueue(LoopClock())
        self.calls: list[tuple[str, float]] = []
        self.outcomes: list[str] = []
        self._behave = behave
        self.began = asyncio.get_running_loop().time()
        self.controller = Controller("test", self.queue, self._reconcile, metrics=self, **options)
        self.task = asyncio.create_task(self.controller.run())

    def reconciled(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    async def _reconcile(self, key: str) -> Result:
        self.calls.append((key, asyncio.get_running_loop().time() - self.began))
        return await self._behave(key, sum(k == key for k, _ in self.calls))

    def times(self, key: str) -> list[float]:
        return [round(at, 3) for k, at in self.calls if k == key]


def test_one_key_failing_in_every_way_does_not_disturb_another() -> None:
    async def behave(key: str, call: int) -> Result:
        if key == "good":
            return Result()
        kinds = [Transient("x"), Conflict("x"), KeyError("bug"), asyncio.CancelledError(), RecursionError(), None]
        error = kinds[call - 1]
        if error is not None:
            raise error
        return Result()

    async def main() -> None:
        bench = Bench(behave, workers=1)
        bench.queue.add("bad")
        for _ in range(5):
            bench.queue.add("good")
            await asyncio.sleep(1)
        assert bench.times("good") == [0, 1, 2, 3, 4]
        assert len(bench.times("bad")) == 6
        bad = [o for o in bench.outcomes if o != "done"]
        assert bad == ["retry", "conflict", "failed", "failed", "failed"]
        assert not bench.task.done()
        assert bench.queue.failures("bad") == 0, "success ends the backoff"
        await tasks.cancel(bench.task)

    run(main())


def test_terminal_waits_for_the_next_event() -> None:
    async def behave(key: str, call: int) -> Result:
        raise Invalid("spec.instances: -1: use a positive number")

    async def main() -> None:
        bench = Bench(behave)
        bench.queue.add("a")
        await asyncio.sleep(3600)
        assert bench.outcomes == ["terminal"]
        bench.queue.add("a")
        await asyncio.sleep(1)
        assert bench.outcomes == ["terminal", "terminal"]
        await tasks.cancel(bench.task)

    run(main())


def test_retry_after_and_requeue_after_are_honoured() -> None:
    async def behave(key: str, call: int) -> Result:
        if call == 1:
            raise Transient("busy", retry_after=30)
        return Result(requeue_after=100)

    async def main() -> None:
        bench = Bench(behave)
        bench.queue.add("a")
        await asyncio.sleep(135)
        assert bench.times("a") == [0, 30, 130]
        await tasks.cancel(bench.task)

    run(main())


def test_a_reconcile_that_hangs_is_cut_and_comes_back() -> None:
    async def behave(key: str, call: int) -> Result:
        if call == 1:
            await asyncio.sleep(1e5)
        return Result()

    async def main() -> None:
        bench = Bench(behave, limit=60)
        bench.queue.add("a")
        await asyncio.sleep(100)
        assert bench.times("a") == [0, 60.005]
        await tasks.cancel(bench.task)

    run(main())


def test_workers_run_different_keys_at_once() -> None:
    async def behave(key: str, call: int) -> Result:
        await asyncio.sleep(10)
        return Result()

    async def main() -> None:
        bench = Bench(behave, workers=3)
        for key in "abcd":
            bench.queue.add(key)
        await asyncio.sleep(25)
        assert [bench.times(k)[0] for k in "abcd"] == [0, 0, 0, 10]
        await tasks.cancel(bench.task)

    run(main())


def test_cancelling_ends_reconciles_and_shutdown_lets_them_end() -> None:
    ended: list[str] = []

    async def behave(key: str, call: int) -> Result:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("finished")
        return Result()

    async def main() -> None:
        bench = Bench(behave)
        bench.queue.add("a")
        await asyncio.sleep(1)
        bench.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bench.task
        bench = Bench(behave)
        bench.queue.add("a")
        await asyncio.sleep(1)
        bench.queue.shutdown()
        await bench.task
        assert ended == ["cancelled", "finished"]

    run(main())


def test_prometheus_families() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        families = KubeMetrics(registry)
        queue = WorkQueue(LoopClock(), metrics=families.queue("cluster"))

        async def reconcile(key: str) -> Result:
            return Result()

        controller = Controller("cluster", queue, reconcile, metrics=families.controller("cluster"))
        task = asyncio.create_task(controller.run())
        queue.add("a")
        queue.add_rate_limited("b")
        await asyncio.sleep(1)
        text = render(registry).decode()
        assert 'cnmysql_workqueue_adds_total{name="cluster"} 2.0' in text
        assert 'cnmysql_workqueue_retries_total{name="cluster"} 1.0' in text
        assert 'cnmysql_workqueue_depth{name="cluster"} 0.0' in text
        assert 'cnmysql_workqueue_queue_duration_seconds_count{name="cluster"} 2.0' in text
        assert 'cnmysql_workqueue_work_duration_seconds_count{name="cluster"} 2.0' in text
        assert 'cnmysql_controller_reconciles_total{controller="cluster",outcome="done"} 2.0' in text
        await tasks.cancel(task)

    run(main())
