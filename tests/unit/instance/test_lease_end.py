"""How a hold on the primary Lease ends: it is not renewed, taken away, or given up. The server is never kept open."""

from __future__ import annotations

import asyncio

import pytest

from cnmysql.errors import Unreachable
from instance.role.view import LeaseFacts
from tests.unit.instance.lease_bed import Bed, told


def test_permission_stops_growing_when_the_api_server_is_away_and_grows_again() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        sent = bed.keeper.facts.sent
        assert sent is not None
        bed.transport.hang = True
        await asyncio.sleep(60)
        assert bed.permits == [sent + 8.0] and bed.keeper.facts.sent == sent
        assert bed.keeper.facts.held
        bed.transport.hang = False
        await asyncio.sleep(5)
        assert bed.permits[-1] > sent + 60

    told(story)


def test_a_hold_taken_away_is_noticed_at_the_next_renewal() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        await bed.take_away("db-2/uid-1")
        await asyncio.sleep(2.5)
        assert bed.keeper.facts.lost == "held by db-2/uid-1" and bed.keeper.facts.armed
        assert bed.spec["holderIdentity"] == "db-2/uid-1"
        writes = bed.writes
        await asyncio.sleep(30)
        assert bed.writes == writes

    told(story)


def test_a_hold_that_was_cleared_is_not_taken_back() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        await bed.take_away("")
        await asyncio.sleep(5)
        assert bed.keeper.facts.lost == "held by nobody" and bed.spec["holderIdentity"] == ""

    told(story)


def test_releasing_clears_our_hold_and_disarms() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        await bed.keeper.release()
        assert bed.spec["holderIdentity"] == "" and bed.keeper.facts == LeaseFacts()
        assert bed.permits[-1] == 0.0
        writes = bed.writes
        await asyncio.sleep(30)
        assert bed.writes == writes

    told(story)


@pytest.mark.parametrize("holder", ["db-2/uid-1", "db-1/uid-0", ""])
def test_releasing_leaves_what_is_not_ours(holder: str) -> None:
    async def story(bed: Bed) -> None:
        await bed.create(holder)
        await bed.keeper.release()
        assert bed.writes == 0 and bed.spec["holderIdentity"] == holder

    told(story)


def test_releasing_that_fails_is_said_and_still_renews_no_more() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        bed.transport.hang = True
        with pytest.raises(Unreachable):
            await bed.keeper.release()
        assert bed.keeper.facts.held and not bed.keeper.facts.armed
        bed.transport.hang = False
        writes = bed.writes
        await asyncio.sleep(30)
        assert bed.writes == writes
        await bed.keeper.release()
        assert bed.spec["holderIdentity"] == ""

    told(story)


def test_a_renewal_on_its_way_never_arms_a_server_closed_meanwhile() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()

        def disarm(method: str, _: str) -> None:
            if method == "PUT":
                bed.keeper.disarm()

        bed.transport.before = disarm
        await asyncio.sleep(3)
        assert bed.keeper.facts.held and not bed.keeper.facts.armed
        assert bed.permits[-1] == 0.0

    told(story)


def test_a_stuck_role_loop_gets_no_permission() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        bed.alive = False
        await asyncio.sleep(20)
        assert len(bed.permits) == 1

    told(story)
