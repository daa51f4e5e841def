"""The informer over real sockets: the ways in which the library's own watch goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cnmysql import tasks
from cnmysql.clock import SystemClock
from cnmysql.errors import Unreachable
from cnmysql.kube.client import Client, key_of
from cnmysql.kube.httpbase import HttpTransport
from cnmysql.kube.informer import Informer
from cnmysql.kube.resources import PODS
from cnmysql.kube.wire import encode
from tests.support.fake_api import FakeApi, raw, refuse
from tests.support.fake_api_store import Refusal

PATH = "/api/v1/namespaces/ns/pods"


def write(api: FakeApi, name: str, **spec: Any) -> None:
    api.store.handle("POST", PATH, {}, {"metadata": {"name": name}, "spec": spec}, "")


class Follower:
    """An informer and the wish to see a state within a bound."""

    def __init__(self, api: FakeApi, transport: HttpTransport) -> None:
        self.api = api
        self.informer = Informer(Client(transport), PODS, namespace="ns", clock=SystemClock())
        self._changed = tasks.Signal()
        self.informer.add_handler(lambda *_: self._changed.set())

    def names(self) -> list[str]:
        return sorted(key_of(o).removeprefix("ns/") for o in self.informer.list())

    async def sees(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while self.names() != sorted(names):
                await self._changed.wait()

    def lists(self) -> int:
        return sum("watch" not in a.query for a in self.api.asked)


@pytest.fixture
async def follower(api: FakeApi, transport: HttpTransport) -> AsyncIterator[Follower]:
    write(api, "a")
    made = Follower(api, transport)
    task = asyncio.create_task(made.informer.run())
    await made.informer.wait_synced(10)
    await watching(api)
    yield made
    await tasks.cancel(task)
    await api.streams_closed()


async def watching(api: FakeApi) -> None:
    async with asyncio.timeout(10):
        await api.stream_opened.wait()


async def test_events_arrive_and_bookmarks_and_a_bounded_time_are_asked_for(api: FakeApi, follower: Follower) -> None:
    write(api, "b")
    await follower.sees("a", "b")
    api.store.handle("DELETE", f"{PATH}/a", {}, {}, "")
    await follower.sees("b")
    query = next(a.query for a in api.asked if "watch" in a.query)
    assert query["allowWatchBookmarks"] == "true"
    assert 300 <= int(query["timeoutSeconds"]) <= 600


async def test_a_line_of_more_than_4_mib(api: FakeApi, follower: Follower) -> None:
    """The library's reader raises LineTooLong."""
    write(api, "b", filler="x" * 5 * 1024 * 1024)
    await follower.sees("a", "b")
    assert follower.lists() == 1


def half_then(what: Any) -> Callable[[bytes], list[Any]]:
    return lambda line: [line[: len(line) // 2], what]


@pytest.mark.parametrize("what", [Unreachable("cut"), None], ids=["cut", "ended"])
async def test_a_line_cut_by_a_disconnect(api: FakeApi, follower: Follower, what: Any) -> None:
    """The library hands half a line out as an event of type str."""
    api.faults.append(half_then(what))
    write(api, "b")
    await follower.sees("a", "b")
    assert follower.lists() == 1


async def test_a_line_in_many_small_pieces(api: FakeApi, follower: Follower) -> None:
    api.faults.append(lambda line: [line[i : i + 7] for i in range(0, len(line), 7)])
    write(api, "b")
    await follower.sees("a", "b")


async def test_text_in_the_stream(api: FakeApi, follower: Follower) -> None:
    api.faults.append(lambda _: [b"upstream connect error\n"])
    write(api, "b")
    await follower.sees("a", "b")


async def test_text_instead_of_a_stream(api: FakeApi, follower: Follower) -> None:
    api.faults.append(lambda _: [Unreachable("cut")])
    api.answers.append(raw(503, b"no healthy upstream\n", "text/plain"))
    write(api, "b")
    await follower.sees("a", "b")


async def test_410_as_status_and_in_the_stream(api: FakeApi, follower: Follower) -> None:
    """The library tries once more with the same version, then raises."""
    expired = {"type": "ERROR", "object": Refusal(410, "Expired").body}
    api.faults.append(lambda _: [encode(expired) + b"\n"])
    write(api, "b")
    await follower.sees("a", "b")
    assert follower.lists() == 2
    api.faults.append(lambda _: [Unreachable("cut")])
    api.answers.append(refuse(Refusal(410, "Expired")))
    api.store.handle("DELETE", f"{PATH}/a", {}, {}, "")
    await follower.sees("b")
    assert follower.lists() == 3


async def test_a_server_that_goes_away_and_comes_back(api: FakeApi, follower: Follower) -> None:
    await api.stop()
    write(api, "b")
    api.store.handle("DELETE", f"{PATH}/a", {}, {}, "")
    await api.start()
    await follower.sees("b")
