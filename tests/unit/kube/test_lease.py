"""Leader election in virtual time: one leader at most, loss ends the work, release comes after it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmysql import tasks
from cnmysql.errors import Unreachable
from cnmysql.kube.client import Client
from cnmysql.kube.lease import LeaderElector, LeadershipLost
from cnmysql.kube.leaserecord import LeaseRecord, parse
from tests.support.fake_api_store import FakeStore, Refusal
from tests.support.fake_api_transport import MemoryTransport
from tests.unit.kube.virtual import LoopClock, run

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/op"


class Candidate:
    """An elector with its own connection to the common store, and work that notes when it runs."""

    def __init__(self, store: FakeStore, name: str, *, stopping: float = 0.0) -> None:
        self.store = store
        self.transport = MemoryTransport(store)
        self.elector = LeaderElector(Client(self.transport), "ns", "op", name, LoopClock())
        self.stopping = stopping
        self.spans: list[list[float]] = []
        self.began = asyncio.Event()
        self.task = asyncio.create_task(self.elector.run(self.work))

    async def work(self) -> None:
        loop = asyncio.get_running_loop()
        span = [loop.time(), float("inf")]
        self.spans.append(span)
        self.began.set()
        try:
            await asyncio.sleep(1e9)
        finally:
            try:
                await asyncio.sleep(self.stopping)
            finally:
                span[1] = loop.time()

    @property
    def leads(self) -> bool:
        return bool(self.spans) and self.spans[-1][1] == float("inf")


def record(store: FakeStore) -> LeaseRecord:
    return parse(store.handle("GET", PATH, {}, None, ""))


def test_the_first_leads_and_a_standby_follows_a_release_at_once() -> None:
    async def main() -> None:
        store = FakeStore()
        one = Candidate(store, "one", stopping=8)
        await asyncio.sleep(1)
        two = Candidate(store, "two")
        await asyncio.sleep(60)
        assert (one.leads, two.leads) == (True, False)
        assert one.elector.is_leader_fresh(2.5)
        assert not two.elector.is_leader_fresh(1e6)
        assert two.elector.holder == "one"
        one.task.cancel()
        await asyncio.sleep(7)
        assert record(store).holder == "one", "still stopping its work"
        assert one.elector.is_leader_fresh(3), "and renewing meanwhile"
        await asyncio.sleep(4)
        assert two.leads
        assert one.task.cancelled()
        assert one.spans[-1][1] <= two.spans[0][0]
        assert record(store).transitions == 1
        await tasks.cancel(two.task)
        assert record(store).holder == ""

    run(main())


def test_a_dead_leader_is_followed_after_its_duration() -> None:
    async def main() -> None:
        store = FakeStore()
        one = Candidate(store, "one")
        await asyncio.sleep(5)
        two = Candidate(store, "two")
        await asyncio.sleep(5)
        one.transport.hang = True
        one.transport.refusals.extend([Unreachable("dead")] * 1000)
        began = asyncio.get_running_loop().time()
        await asyncio.wait_for(two.began.wait(), 60)
        assert 12 <= asyncio.get_running_loop().time() - began <= 18
        with pytest.raises(LeadershipLost):
            await one.task
        assert one.spans[0][1] < two.spans[0][0], "the cut-off leader stopped before the other began"
        await tasks.cancel(two.task)

    run(main())


def test_a_hanging_server_makes_the_leader_step_down_within_the_deadline() -> None:
    async def main() -> None:
        one = Candidate(FakeStore(), "one")
        await asyncio.sleep(5)
        one.transport.hang = True
        began = asyncio.get_running_loop().time()
        with pytest.raises(LeadershipLost):
            await one.task
        assert asyncio.get_running_loop().time() - began <= 10
        assert not one.leads

    run(main())


def test_short_failures_do_not_cost_the_lead() -> None:
    async def main() -> None:
        one = Candidate(FakeStore(), "one")
        await asyncio.sleep(5)
        one.transport.refusals.extend([Unreachable("x"), Refusal(429, "TooManyRequests")])
        one.transport.lose_answers = 1
        await asyncio.sleep(60)
        assert one.leads
        assert len(one.spans) == 1
        await tasks.cancel(one.task)

    run(main())


@pytest.mark.parametrize("theft", ["taken", "cleared", "deleted"])
def test_a_hold_that_is_not_ours_any_more_ends_the_work(theft: str) -> None:
    async def main() -> None:
        store = FakeStore()
        one = Candidate(store, "one")
        await asyncio.sleep(5)
        if theft == "deleted":
            store.handle("DELETE", PATH, {}, {}, "")
        else:
            holder = {"taken": "thief", "cleared": None}[theft]
            store.handle("PATCH", PATH, {}, {"metadata": {}, "spec": {"holderIdentity": holder}}, "merge")
        with pytest.raises(LeadershipLost):
            async with asyncio.timeout(3):
                await one.task
        assert not one.leads
        if theft == "taken":
            assert record(store).holder == "thief", "nothing of another's is released"

    run(main())


def test_an_unrelated_write_to_the_lease_is_not_a_loss() -> None:
    async def main() -> None:
        store = FakeStore()
        one = Candidate(store, "one")
        await asyncio.sleep(5)
        before: list[str] = []

        def annotate_just_before_our_write(method: str, path: str) -> None:
            if method == "PUT" and not before:
                before.append(path)
                store.handle("PATCH", PATH, {}, {"metadata": {"annotations": {"a": "b"}}}, "merge")

        one.transport.before = annotate_just_before_our_write
        await asyncio.sleep(30)
        assert before
        assert one.leads
        assert store.handle("GET", PATH, {}, None, "")["metadata"]["annotations"] == {"a": "b"}
        await tasks.cancel(one.task)

    run(main())


def test_failing_work_releases_and_raises() -> None:
    async def main() -> None:
        store = FakeStore()

        async def work() -> None:
            await asyncio.sleep(5)
            raise KeyError("bug")

        elector = LeaderElector(Client(MemoryTransport(store)), "ns", "op", "one", LoopClock())
        with pytest.raises(KeyError):
            await elector.run(work)
        assert record(store).holder == ""
        assert not elector.is_leader_fresh(1e6)

    run(main())


def test_work_that_will_not_stop_is_left_behind_when_the_lease_runs_out() -> None:
    async def main() -> None:
        one = Candidate(FakeStore(), "one", stopping=1000)
        await asyncio.sleep(5)
        one.transport.hang = True
        began = asyncio.get_running_loop().time()
        with pytest.raises(LeadershipLost):
            await one.task
        assert asyncio.get_running_loop().time() - began <= 15

    run(main())


def test_cancelled_twice_it_renews_no_more() -> None:
    async def main() -> None:
        store = FakeStore()
        one = Candidate(store, "one", stopping=2)
        await asyncio.sleep(5)
        one.task.cancel()
        await asyncio.sleep(1)
        one.task.cancel()
        await asyncio.wait([one.task])
        other = Candidate(store, "other")
        await asyncio.sleep(30)
        assert other.leads
        await tasks.cancel(other.task)

    run(main())


def test_times_must_leave_room() -> None:
    async def main() -> None:
        client = Client(MemoryTransport(FakeStore()))
        with pytest.raises(ValueError, match="must hold"):
            LeaderElector(client, "ns", "op", "one", LoopClock(), duration=10, renew_deadline=10)

    run(main())


ACTIONS = st.tuples(
    st.sampled_from(["hang", "thaw", "refuse", "lose", "restart", "stop", "delete", "wait"]),
    st.integers(0, 2),
    st.sampled_from([0.0, 0.7, 3.0, 9.0, 20.0]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, max_size=40))
def test_never_two_leaders_and_always_one_again(actions: list[Any]) -> None:
    """Three candidates, cut off, thawed, restarted and robbed of answers; deleting the Lease included."""

    async def main() -> None:
        store = FakeStore()
        numbers = iter(range(1000))
        candidates = [Candidate(store, f"c{next(numbers)}", stopping=2) for _ in range(3)]
        everyone = list(candidates)
        for verb, which, pause in actions:
            one = candidates[which]
            if verb in {"hang", "thaw"}:
                one.transport.hang = verb == "hang"
            elif verb == "refuse":
                one.transport.refusals.extend([Unreachable("x")] * 3)
            elif verb == "lose":
                one.transport.lose_answers = 1
            elif verb in {"restart", "stop"}:
                one.task.cancel()
                if verb == "restart":
                    await asyncio.wait([one.task])
                    candidates[which] = Candidate(store, f"c{next(numbers)}", stopping=2)
                    everyone.append(candidates[which])
            elif verb == "delete" and not any(c.leads for c in everyone):
                store.objects.clear()
            await asyncio.sleep(pause)
        for one in candidates:
            one.transport.hang = False
        last = Candidate(store, "last", stopping=2)
        everyone.append(last)
        await asyncio.sleep(120)
        assert sum(c.leads for c in everyone) == 1
        spans = sorted(span for c in everyone for span in c.spans)
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
        for one in everyone:
            one.task.cancel()
        await asyncio.wait([one.task for one in everyone])
        for one in everyone:
            if not one.task.cancelled():
                assert isinstance(one.task.exception(), LeadershipLost)

    run(main())
