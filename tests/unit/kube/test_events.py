"""Events: told once, repeated as a series, never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cnmysql import tasks
from cnmysql.kube.client import Client
from cnmysql.kube.events import MOST_SERIES, NORMAL, WARNING, EventRecorder
from cnmysql.kube.wire import Json
from tests.support.fake_api_store import FakeStore, Refusal
from tests.support.fake_api_transport import MemoryTransport
from tests.unit.kube.virtual import LoopClock, run

EVENTS = "/apis/events.k8s.io/v1/events"
CLUSTER: Json = {
    "apiVersion": "mysql.cloudnative-mysql.io/v1alpha1",
    "kind": "Cluster",
    "metadata": {"name": "db", "namespace": "ns", "uid": "u1", "resourceVersion": "5", "labels": {}},
    "spec": {},
}


class Bench:
    def __init__(self) -> None:
        self.store = FakeStore()
        self.transport = MemoryTransport(self.store)
        self.recorder = EventRecorder(Client(self.transport), "cluster-controller", "op-1", clock=LoopClock())

    def events(self) -> list[Json]:
        return self.store.select(EVENTS, {})

    def writes(self) -> list[str]:
        return [method for method, _ in self.transport.calls]

    def tell(self, note: str = "primary is db-1", type: str = NORMAL) -> None:
        self.recorder.emit(CLUSTER, "Promoted", type, note, action="Promote")


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    task = asyncio.create_task(made.recorder.run())
    yield made
    await tasks.cancel(task)


def test_an_event_has_every_field_the_api_wants() -> None:
    async def main() -> None:
        async with bench() as b:
            b.tell()
            await asyncio.sleep(1)
            [event] = b.events()
            assert event["metadata"]["name"].startswith("db.")
            assert event["metadata"]["namespace"] == "ns"
            assert event["eventTime"].endswith("Z")
            assert event["regarding"] == {
                "apiVersion": CLUSTER["apiVersion"],
                "kind": "Cluster",
                "name": "db",
                "namespace": "ns",
                "uid": "u1",
                "resourceVersion": "5",
            }
            told = {k: event[k] for k in ("reason", "type", "action", "note", "reportingController")}
            assert told == {
                "reason": "Promoted",
                "type": "Normal",
                "action": "Promote",
                "note": "primary is db-1",
                "reportingController": "cluster-controller",
            }
            assert event["reportingInstance"] == "op-1"
            assert "series" not in event

    run(main())


def test_repetition_is_a_series_written_at_most_every_half_minute() -> None:
    async def main() -> None:
        async with bench() as b:
            for _ in range(100):
                b.tell()
                await asyncio.sleep(1)
            await asyncio.sleep(60)
            [event] = b.events()
            assert event["series"]["count"] == 100
            assert event["series"]["lastObservedTime"].endswith("Z")
            assert b.writes() == ["POST", "PATCH", "PATCH", "PATCH", "PATCH"]
            quiet = len(b.writes())
            await asyncio.sleep(3600)
            assert len(b.writes()) == quiet, "no news, no writes"

    run(main())


def test_different_notes_and_types_are_different_events() -> None:
    async def main() -> None:
        async with bench() as b:
            b.tell("one")
            b.tell("two")
            b.tell("one", WARNING)
            await asyncio.sleep(1)
            assert len(b.events()) == 3

    run(main())


def test_a_series_the_server_dropped_begins_anew() -> None:
    async def main() -> None:
        async with bench() as b:
            b.tell()
            await asyncio.sleep(1)
            b.store.objects.clear()
            b.tell()
            await asyncio.sleep(60)
            b.tell()
            await asyncio.sleep(60)
            [event] = b.events()
            assert event["series"]["count"] == 2

    run(main())


def test_failures_are_retried_then_dropped_and_never_raised() -> None:
    async def main() -> None:
        async with bench() as b:
            b.transport.refusals.extend([Refusal(503, "ServiceUnavailable")] * 3)
            b.tell("kept")
            await asyncio.sleep(30)
            assert [e["note"] for e in b.events()] == ["kept"]
            b.transport.refusals.append(Refusal(403, "Forbidden", "namespace is being terminated"))
            b.tell("dropped")
            await asyncio.sleep(30)
            b.transport.refusals.extend([Refusal(503, "ServiceUnavailable")] * 20)
            b.tell("also dropped")
            await asyncio.sleep(300)
            b.transport.refusals.clear()
            b.tell("later")
            await asyncio.sleep(30)
            assert sorted(e["note"] for e in b.events()) == ["kept", "later"]

    run(main())


def test_memory_is_bounded_while_the_server_is_away() -> None:
    async def main() -> None:
        async with bench() as b:
            b.transport.hang = True
            for number in range(MOST_SERIES + 100):
                b.tell(f"note {number}")
            b.transport.hang = False
            await asyncio.sleep(60)
            notes = {e["note"] for e in b.events()}
            assert len(notes) == MOST_SERIES
            assert f"note {MOST_SERIES + 99}" in notes
            assert "note 0" not in notes

    run(main())


def test_long_notes_are_cut_in_whole_characters() -> None:
    async def main() -> None:
        async with bench() as b:
            b.tell("é" * 2000)
            await asyncio.sleep(1)
            assert b.events()[0]["note"] == "é" * 512

    run(main())


def test_objects_without_namespace_have_their_events_in_default() -> None:
    async def main() -> None:
        async with bench() as b:
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u"}}
            b.recorder.emit(node, "Lost", WARNING, "gone")
            await asyncio.sleep(1)
            [event] = b.events()
            assert event["metadata"]["namespace"] == "default"
            assert event["action"] == "Lost"

    run(main())
