"""One stream per instance: what is heard, what silence means, who is followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cnmysql.errors import Unreachable as Broken
from cnmysql.protocol.report import STREAM_SILENCE_SECONDS, Frame, Heartbeat, InstanceStatus, MysqldReport
from manager.cluster.snapshot import Report, Unreachable
from manager.streams import Peer, Streams
from tests.unit.manager.virtual import LoopClock, until, virtual

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def peer(instance: str = "db-1", uid: str = "u1") -> Peer:
    return Peer("shop/db", "shop", instance, uid, "10.0.0.1")


def status(**more: object) -> InstanceStatus:
    base = InstanceStatus(instance_name="db-1", pod_uid="u1", mysqld=MysqldReport(state="running", since="x"))
    return base.model_copy(update=more)


class Line:
    """The other end: frames put here are streamed; an error breaks the connection; dials are counted."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame | Exception | None] = asyncio.Queue()
        self.dials = 0
        self.open = 0

    @asynccontextmanager
    async def connect(self, _: Peer) -> AsyncIterator[AsyncIterator[Frame]]:
        self.dials += 1
        self.open += 1
        try:
            yield self._read()
        finally:
            self.open -= 1

    async def _read(self) -> AsyncIterator[Frame]:
        while True:
            item = await self.frames.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item


@virtual
async def test_reports_wake_and_heartbeats_only_refresh() -> None:
    line, changed = Line(), list[str]()
    streams = Streams(line.connect, LoopClock(), changed.append)
    streams.sync("shop/db", [peer()])
    await line.frames.put(Frame(report=status(gtid_executed="a")))
    await until(lambda: bool(streams.of("shop/db")))
    first = streams.of("shop/db")["db-1"]
    assert changed == ["shop/db"]
    await asyncio.sleep(2)
    await line.frames.put(Frame(heartbeat=Heartbeat(gtid_executed=f"{UUID}:1-2", received=f"{UUID}:1-3")))
    await until(lambda: streams.of("shop/db")["db-1"] != first)
    second = streams.of("shop/db")["db-1"]
    assert isinstance(first, Report)
    assert isinstance(second, Report)
    assert (second.status.gtid_executed, second.status.received) == (f"{UUID}:1-2", f"{UUID}:1-3")
    assert second.seen >= first.seen + 2
    assert changed == ["shop/db"]
    await streams.close()


@pytest.mark.parametrize("end", [Broken("reset"), None])
@virtual
async def test_a_broken_stream_is_unreachable_since_it_broke_and_dialled_again(end: Exception | None) -> None:
    line, changed = Line(), list[str]()
    streams = Streams(line.connect, LoopClock(), changed.append)
    streams.sync("shop/db", [peer()])
    await line.frames.put(Frame(report=status()))
    await until(lambda: bool(changed))
    await line.frames.put(end)
    await until(lambda: len(changed) == 2)
    lost = streams.of("shop/db")["db-1"]
    assert isinstance(lost, Unreachable)
    await line.frames.put(end)
    await until(lambda: line.dials >= 3)
    still = streams.of("shop/db")["db-1"]
    assert isinstance(still, Unreachable)
    assert still.since == lost.since
    assert len(changed) == 2
    await line.frames.put(Frame(report=status(open=True)))
    await until(lambda: isinstance(streams.of("shop/db")["db-1"], Report))
    await streams.close()


@pytest.mark.parametrize("lie", [{"instance_name": "db-2"}, {"pod_uid": "u2"}])
@virtual
async def test_nobody_speaks_for_another(lie: dict[str, str]) -> None:
    line = Line()
    streams = Streams(line.connect, LoopClock(), lambda _: None)
    streams.sync("shop/db", [peer()])
    await line.frames.put(Frame(report=status(**lie)))
    await until(lambda: line.dials == 2)
    heard = streams.of("shop/db")
    assert isinstance(heard["db-1"], Unreachable) and "speaks as" in heard["db-1"].reason
    assert set(heard) == {"db-1"}
    await streams.close()


@virtual
async def test_silence_breaks_the_stream() -> None:
    line, changed = Line(), list[str]()
    streams = Streams(line.connect, LoopClock(), changed.append)
    streams.sync("shop/db", [peer()])
    await line.frames.put(Frame(report=status()))
    await until(lambda: bool(changed))
    began = asyncio.get_running_loop().time()
    await until(lambda: len(changed) == 2)
    assert STREAM_SILENCE_SECONDS - 0.1 < asyncio.get_running_loop().time() - began < STREAM_SILENCE_SECONDS + 0.1
    await streams.close()


@virtual
async def test_dialling_backs_off_to_two_seconds() -> None:
    line = Line()
    streams = Streams(line.connect, LoopClock(), lambda _: None)
    for _ in range(200):
        await line.frames.put(Broken("refused"))
    streams.sync("shop/db", [peer()])
    await asyncio.sleep(30)
    assert 14 <= line.dials <= 25
    await streams.close()


@virtual
async def test_exactly_the_given_peers_are_followed() -> None:
    line = Line()
    streams = Streams(line.connect, LoopClock(), lambda _: None)
    streams.sync("shop/db", [peer()])
    await line.frames.put(Frame(report=status()))
    await until(lambda: bool(streams.of("shop/db")))
    streams.sync("shop/db", [peer()])
    await asyncio.sleep(1)
    assert (line.dials, line.open) == (1, 1)
    streams.sync("shop/db", [peer(uid="u2")])
    await until(lambda: line.dials == 2 and line.open == 1)
    streams.sync("shop/db", [])
    await until(lambda: line.open == 0)
    assert streams.of("shop/db") == {}
    await streams.close()


@virtual
async def test_a_leaving_pod_is_heard_beside_its_successor_and_not_dialled_anew() -> None:
    old, new, changed = Line(), Line(), list[str]()
    lines = {"u1": old, "u2": new}
    streams = Streams(lambda p: lines[p.pod_uid].connect(p), LoopClock(), changed.append)
    streams.sync("shop/db", [peer()])
    await old.frames.put(Frame(report=status()))
    await until(lambda: bool(streams.of("shop/db")))
    streams.sync("shop/db", [peer(uid="u2")], [peer()])
    assert set(streams.of("shop/db")) == {"u1"}
    await new.frames.put(Frame(report=status(pod_uid="u2")))
    await until(lambda: "db-1" in streams.of("shop/db"))
    changed.clear()
    await old.frames.put(Frame(report=status(closed=True)))
    await until(lambda: bool(changed))
    heard = streams.of("shop/db")
    former, present = heard["u1"], heard["db-1"]
    assert isinstance(former, Report)
    assert isinstance(present, Report)
    assert (former.status.closed, present.status.pod_uid, old.dials) == (True, "u2", 1)
    streams.sync("shop/db", [peer(uid="u2")])
    await until(lambda: old.open == 0)
    assert set(streams.of("shop/db")) == {"db-1"}
    streams.sync("shop/db", [peer(uid="u2")], [peer()])
    await asyncio.sleep(1)
    assert old.dials == 1
    await streams.close()


@virtual
async def test_closing_ends_every_connection() -> None:
    line = Line()
    streams = Streams(line.connect, LoopClock(), lambda _: None)
    streams.sync("shop/db", [peer()])
    await until(lambda: line.open == 1)
    await streams.close()
    assert line.open == 0


@pytest.mark.parametrize("error", [Broken("refused"), TypeError("a bug")])
@virtual
async def test_an_instance_that_never_answered_is_told_of_once(error: Exception) -> None:
    line, changed = Line(), list[str]()
    streams = Streams(line.connect, LoopClock(), changed.append)
    streams.sync("shop/db", [peer()])
    for _ in range(5):
        await line.frames.put(error)
    await until(lambda: line.dials == 6)
    assert isinstance(streams.of("shop/db")["db-1"], Unreachable)
    assert changed == ["shop/db"], "the first failure is news, the same again is none"
    await streams.close()


@virtual
async def test_a_bug_in_reading_one_frame_does_not_end_the_stream() -> None:
    line, changed = Line(), list[str]()
    streams = Streams(line.connect, LoopClock(), changed.append)
    streams.sync("shop/db", [peer()])
    await line.frames.put(KeyError("a bug"))
    await line.frames.put(Frame(report=status()))
    await until(lambda: isinstance(streams.of("shop/db").get("db-1"), Report))
    assert (line.dials, changed) == (2, ["shop/db", "shop/db"])
    await streams.close()
