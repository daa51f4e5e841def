"""The informer's copy equals the server after anything; faults have their own named tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmysql.errors import Transient
from cnmysql.kube.client import key_of
from tests.unit.kube.informer_world import (
    FAULTS,
    REFUSALS,
    Mirror,
    World,
    contents,
    following,
    half_then_drop,
    lose_and_drop,
    text_instead,
)
from tests.unit.kube.virtual import run


@dataclass(frozen=True)
class Write:
    name: str
    app: str
    keep: str
    big: bool


STEPS = st.one_of(
    st.builds(Write, st.sampled_from("abcd"), st.sampled_from("xy"), st.sampled_from("yn"), st.booleans()),
    st.tuples(st.just("delete"), st.sampled_from("abcd")),
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.01, 1.0, 45.0, 400.0])),
    st.tuples(st.just("fault"), st.sampled_from(sorted(FAULTS))),
    st.tuples(st.just("refuse"), st.sampled_from(sorted(REFUSALS))),
    st.just(("compact", "")),
    st.just(("hang", "")),
)


def step(world: World, action: Any) -> None:
    if isinstance(action, Write):
        filler = "x" * (200_000 if action.big else 1)
        world.write(action.name, action.app, action.keep, filler=filler)
        return
    verb, argument = action
    if verb == "delete":
        world.delete(argument)
    elif verb == "fault":
        world.transport.faults.append(world.replay if argument == "replay" else FAULTS[argument])
    elif verb == "refuse":
        world.transport.refusals.append(REFUSALS[argument]())
    elif verb == "compact":
        world.store.compact()


@settings(max_examples=250, deadline=None)
@given(st.lists(STEPS, max_size=40), st.sampled_from(["", "keep=y"]))
def test_store_equals_server_after_anything(steps: list[Any], selector: str) -> None:
    async def main() -> None:
        world = World()
        world.write("a")
        informer = world.informer(label_selector=selector)
        mirror = Mirror()
        informer.add_handler(mirror)
        async with following(informer):
            for action in steps:
                if action == ("hang", ""):
                    world.transport.hang = True
                    await asyncio.sleep(90)
                    world.transport.hang = False
                elif isinstance(action, tuple) and action[0] == "sleep":
                    await asyncio.sleep(action[1])
                else:
                    step(world, action)
            world.transport.faults.clear()
            world.transport.refusals.clear()
            await asyncio.sleep(300)
            assert contents(informer) == world.expected(selector)
            assert mirror.objects == contents(informer)
            assert mirror.wrong == []
            for app in "axy":
                names = {key_of(o) for o in informer.by_index("app", app)}
                assert names == {k for k, o in contents(informer).items() if o["metadata"]["labels"]["app"] == app}

    run(main())


def test_pages_of_a_long_list_and_an_expired_page() -> None:
    async def main() -> None:
        world = World()
        for number in range(1203):
            world.write(f"p{number}")
        lists: list[str] = []

        def compact_after_first_page(method: str, path: str) -> None:
            lists.append(path)
            if len(lists) == 2:
                world.store.compact()

        world.transport.before = compact_after_first_page
        informer = world.informer()
        async with following(informer):
            assert contents(informer) == world.expected()
        assert len(lists) == 3, "one page, the expired second one, then everything at once"

    run(main())


def test_a_dropped_watch_resumes_without_listing_again() -> None:
    async def main() -> None:
        world = World()
        world.write("a")
        informer = world.informer()
        async with following(informer):
            await asyncio.sleep(20)
            world.transport.faults.append(half_then_drop)
            world.write("b")
            await asyncio.sleep(2)
            assert contents(informer) == world.expected()
        assert [method for method, _ in world.transport.calls] == ["GET", "WATCH", "WATCH"]

    run(main())


@pytest.mark.parametrize("fault", ["text", "odd", "410", "500"])
def test_garbage_and_error_events_lead_to_a_relist(fault: str) -> None:
    async def main() -> None:
        world = World()
        informer = world.informer()
        async with following(informer):
            await asyncio.sleep(20)
            world.transport.faults.append(FAULTS[fault])
            world.write("a")
            await asyncio.sleep(5)
            assert contents(informer) == world.expected()
        assert [method for method, _ in world.transport.calls] == ["GET", "WATCH", "GET", "WATCH"]

    run(main())


def test_endless_garbage_is_met_with_growing_waits() -> None:
    async def main() -> None:
        world = World()
        world.write("a")
        informer = world.informer()
        async with following(informer):
            for _ in range(1000):
                world.transport.faults.append(text_instead)
            world.store.bookmark_every = 0.001
            await asyncio.sleep(600)
            lists = sum(method == "GET" for method, _ in world.transport.calls)
            assert 20 <= lists <= 60  # 0.8 s doubling to 30 s: neither a tight loop nor giving up

    run(main())


def test_retry_after_is_honoured() -> None:
    async def main() -> None:
        world = World()
        world.transport.refusals.append(Transient("busy", retry_after=25))
        informer = world.informer()
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with following(informer):
            assert 25 <= loop.time() - began < 27

    run(main())


def test_a_version_the_server_never_accepts_ends_in_a_relist() -> None:
    """After a restore from backup the server asks to retry for versions it has not reached; waiting is in vain."""

    async def main() -> None:
        world = World()
        world.write("a")
        informer = world.informer()
        async with following(informer):
            await asyncio.sleep(20)
            lists = sum(method == "GET" for method, _ in world.transport.calls)
            world.transport.faults.append(lose_and_drop)
            for _ in range(4):
                world.transport.refusals.append(Transient("Too large resource version", retry_after=1))
            world.write("a", "b")
            await asyncio.sleep(60)
            assert sum(method == "GET" for method, _ in world.transport.calls) == lists + 1
            assert contents(informer) == world.expected()

    run(main())


def test_silence_ends_a_dead_connection() -> None:
    async def main() -> None:
        world = World()
        informer = world.informer()
        async with following(informer):
            world.transport.hang = True
            await asyncio.sleep(100)
            world.write("a")
            world.transport.hang = False
            await asyncio.sleep(200)
            assert contents(informer) == world.expected()

    run(main())
