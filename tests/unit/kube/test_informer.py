"""What an informer tells its handlers, and what it says of itself. What it survives is in `test_informer_faults`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cnmysql.errors import Unreachable
from cnmysql.kube.wire import Json
from tests.unit.kube.informer_world import Mirror, World, contents, following, lose_and_drop
from tests.unit.kube.virtual import run


def test_unseen_deletion_is_told_after_relist() -> None:
    async def main() -> None:
        world = World()
        world.write("a")
        world.write("b")
        informer, mirror = world.informer(), Mirror()
        informer.add_handler(mirror)
        async with following(informer):
            world.transport.faults.append(lose_and_drop)
            world.delete("a")
            world.store.compact()
            await asyncio.sleep(60)
            assert mirror.calls[-1] == ("ns/a", True, False)
            assert contents(informer) == world.expected()

    run(main())


def test_deleted_and_recreated_unseen_is_one_change_from_old_to_new() -> None:
    async def main() -> None:
        world = World()
        world.write("a")
        informer, mirror = world.informer(), Mirror()
        informer.add_handler(mirror)
        async with following(informer):
            before = informer.get("ns/a")
            world.transport.faults.append(lose_and_drop)
            world.delete("a")
            world.write("a")
            world.store.compact()
            await asyncio.sleep(60)
            after = informer.get("ns/a")
            assert before is not None
            assert after is not None
            assert before["metadata"]["uid"] != after["metadata"]["uid"]
            assert mirror.calls[-1] == ("ns/a", True, True)

    run(main())


def test_old_news_after_new_is_not_news() -> None:
    async def main() -> None:
        world = World()
        informer, mirror = world.informer(), Mirror()
        informer.add_handler(mirror)
        async with following(informer):
            world.transport.faults.extend([world.replay] * 3)
            world.write("a", "x")
            world.write("a", "y")
            world.delete("a")
            await asyncio.sleep(1)
            assert contents(informer) == {}
            assert mirror.calls == [("ns/a", False, True), ("ns/a", True, True), ("ns/a", True, False)]

    run(main())


def test_contact_is_fresh_while_bookmarks_come_and_old_while_not() -> None:
    async def main() -> None:
        world = World()
        informer = world.informer()
        assert informer.last_contact == float("-inf")
        loop = asyncio.get_running_loop()
        async with following(informer):
            await asyncio.sleep(3000)
            assert loop.time() - informer.last_contact <= 61
            world.transport.hang = True
            await asyncio.sleep(3000)
            assert loop.time() - informer.last_contact >= 2900

    run(main())


def test_absent_resource_is_said_and_found_when_it_appears() -> None:
    async def main() -> None:
        world = World()
        world.store.absent.add("pods")
        informer = world.informer()
        async with following(informer, synced=False):
            with pytest.raises(Unreachable, match="not listed within 5 s"):
                await informer.wait_synced(5)
            assert (informer.absent, informer.synced) == (True, False)
            world.store.absent.clear()
            world.write("a")
            await informer.wait_synced(40)
            assert (informer.absent, informer.synced) == (False, True)
            assert contents(informer) == world.expected()

    run(main())


def test_resync_tells_every_object_again() -> None:
    async def main() -> None:
        world = World()
        world.write("a")
        informer, mirror = world.informer(resync=600), Mirror()
        informer.add_handler(mirror)
        async with following(informer):
            await asyncio.sleep(700)
            assert mirror.calls == [("ns/a", False, True), ("ns/a", True, True)]

    run(main())


def test_a_failing_handler_blinds_nobody() -> None:
    async def main() -> None:
        world = World()
        world.write("a")
        informer, mirror = world.informer(), Mirror()

        def broken(key: str, old: Json | None, new: Json | None) -> None:
            raise KeyError(key)

        informer.add_handler(broken)
        informer.add_handler(mirror)
        async with following(informer):
            world.write("b")
            await asyncio.sleep(1)
            assert set(mirror.objects) == {"ns/a", "ns/b"}

    run(main())


def test_a_failing_transform_does_not_end_the_informer() -> None:
    async def main() -> None:
        world = World()
        world.write("a")
        broken = [True]

        def transform(obj: Json) -> Json:
            if broken[0]:
                raise KeyError("spec")
            return {**obj, "spec": {}}

        informer = world.informer(transform=transform)
        async with following(informer, synced=False):
            await asyncio.sleep(10)
            assert not informer.synced
            broken[0] = False
            await informer.wait_synced(40)
            assert [o["spec"] for o in informer.list()] == [{}]

    run(main())


def test_metadata_only_asks_for_it() -> None:
    async def main() -> None:
        world = World()
        accepts: list[str] = []
        request = world.transport.request

        async def noting(method: str, path: str, *, accept: str = "", **rest: Any) -> Json:
            accepts.append(accept)
            return await request(method, path, accept=accept, **rest)

        world.transport.request = noting  # type: ignore[method-assign]
        async with following(world.informer(metadata_only=True)):
            assert "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" in accepts[0]

    run(main())
