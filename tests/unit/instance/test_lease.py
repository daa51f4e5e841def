"""What the Lease keeper takes and renews, and what it leaves alone. How a hold ends is in `test_lease_end`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from cnmysql.errors import Conflict, Refused, Unreachable
from cnmysql.kube.resources import LEASES
from cnmysql.names import ANN_DUMP_THREADS
from instance.lease import judge, taken
from instance.role.view import LeaseFacts
from tests.unit.instance.lease_bed import OWN, Bed, told


@pytest.mark.parametrize(
    ("holder", "hold"),
    [
        ("", "empty"),
        (OWN, "own"),
        ("db-2/uid-1", "foreign"),
        ("db-1/uid-0", "foreign"),
        ("db-1", "foreign"),
        ("db-1/uid-12", "foreign"),
        (f" {OWN}", "foreign"),
    ],
)
def test_only_exactly_our_identity_is_ours(holder: str, hold: str) -> None:
    assert judge({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": holder}}, OWN).hold == hold


def test_a_lease_without_spec_is_empty() -> None:
    assert judge({"metadata": {"resourceVersion": "1"}}, OWN).hold == "empty"


def test_taking_keeps_what_is_not_ours_and_the_version() -> None:
    lease = {
        "metadata": {"name": "db-primary", "resourceVersion": "7", "annotations": {"a": "b"}},
        "spec": {"holderIdentity": "", "leaseTransitions": 4},
    }
    result = taken(lease, OWN, datetime(2030, 1, 1, tzinfo=UTC), None)
    assert result["metadata"] == lease["metadata"]
    assert result["spec"]["holderIdentity"] == OWN
    assert result["spec"]["leaseTransitions"] == 5
    assert result["spec"]["renewTime"] == "2030-01-01T00:00:00.000000Z"


def test_an_empty_lease_is_taken_and_arms_the_watchdog() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        before = asyncio.get_running_loop().time()
        await bed.keeper.acquire()
        facts = bed.keeper.facts
        assert facts.held and facts.armed and facts.sent is not None
        assert before <= facts.sent
        assert bed.permits == [facts.sent + 8.0]
        assert bed.spec["holderIdentity"] == OWN and bed.spec["leaseDurationSeconds"] == 10

    told(story)


@pytest.mark.parametrize("verb", ["acquire", "renew"])
@pytest.mark.parametrize("holder", ["db-2/uid-1", "db-1/uid-0"])
def test_a_foreign_hold_is_never_taken(verb: str, holder: str) -> None:
    async def story(bed: Bed) -> None:
        await bed.create(holder)
        with pytest.raises(Refused, match=holder):
            await getattr(bed.keeper, verb)()
        assert bed.writes == 0 and bed.permits == []
        assert bed.keeper.facts == LeaseFacts(None, f"held by {holder}", False)

    told(story)


@pytest.mark.parametrize("verb", ["acquire", "renew"])
def test_a_missing_lease_is_lost_and_never_created(verb: str) -> None:
    async def story(bed: Bed) -> None:
        with pytest.raises(Refused, match="does not exist"):
            await getattr(bed.keeper, verb)()
        assert {method for method, _ in bed.transport.calls} == {"GET"}

    told(story)


def test_renewing_does_not_take_an_empty_lease() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        with pytest.raises(Refused, match="nobody"):
            await bed.keeper.renew()
        assert bed.spec["holderIdentity"] == ""

    told(story)


def test_our_own_hold_is_renewed_after_a_restart() -> None:
    async def story(bed: Bed) -> None:
        await bed.create(OWN)
        await bed.keeper.renew()
        assert bed.keeper.facts.held and "acquireTime" not in bed.spec

    told(story)


def test_it_renews_every_two_seconds_after_sending() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        await asyncio.sleep(20.5)
        assert bed.writes == 11
        steps = [b - a for a, b in zip(bed.permits, bed.permits[1:], strict=False)]
        assert all(step == pytest.approx(2.0, abs=0.05) for step in steps)

    told(story)


def test_an_answer_that_got_lost_counts_for_nothing_but_harms_nothing() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        bed.transport.lose_answers = 1
        with pytest.raises(Unreachable):
            await bed.keeper.acquire()
        assert bed.keeper.facts == LeaseFacts() and bed.permits == []
        assert bed.spec["holderIdentity"] == OWN
        await bed.keeper.acquire()
        assert bed.keeper.facts.held

    told(story)


def test_a_renewal_with_a_lost_answer_is_followed_by_one_that_succeeds() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        bed.transport.lose_answers = 1
        await asyncio.sleep(10)
        assert bed.keeper.facts.held
        now = asyncio.get_running_loop().time()
        assert bed.keeper.facts.sent is not None and now - bed.keeper.facts.sent < 2.5

    told(story)


def test_two_takers_of_one_empty_lease() -> None:
    """The loser's compare-and-swap fails; it reads again and finds a foreign hold."""

    async def story(bed: Bed) -> None:
        await bed.create()

        def first(method: str, _: str) -> None:
            if method == "PUT":
                bed.transport.before = None
                lease = next(target for target in bed.store.objects if target.plural == "leases")
                current = bed.store.objects[lease]
                bed.store._write(lease, {**current, "spec": {"holderIdentity": "db-2/uid-1"}})

        bed.transport.before = first
        with pytest.raises(Refused, match="db-2"):
            await bed.keeper.acquire()
        assert bed.spec["holderIdentity"] == "db-2/uid-1" and bed.permits == []

    told(story)


def test_every_renewal_says_how_many_replicas_are_sent_to() -> None:
    """A number that is not known any more must not stand there: zero would be taken for the end of every replica."""

    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.client.merge_patch(LEASES, "ns", "db-primary", {"metadata": {"annotations": {"a": "b"}}})
        await bed.keeper.acquire()
        assert bed.notes == {"a": "b"}
        for count, noted in ((2, {ANN_DUMP_THREADS: "2"}), (0, {ANN_DUMP_THREADS: "0"}), (None, {})):
            bed.dump_threads = count
            await asyncio.sleep(2.5)
            assert bed.notes == {"a": "b"} | noted
        bed.dump_threads = 2
        await asyncio.sleep(2.5)
        await bed.keeper.release()
        assert bed.notes == {"a": "b"}

    told(story)


def test_someone_else_s_annotation_does_not_cost_the_hold() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()
        await bed.keeper.acquire()
        await bed.client.merge_patch(LEASES, "ns", "db-primary", {"metadata": {"annotations": {"a": "b"}}})
        await asyncio.sleep(3)
        assert bed.keeper.facts.held

    told(story)


def test_a_conflict_that_does_not_end_is_passed_on() -> None:
    async def story(bed: Bed) -> None:
        await bed.create()

        def always(method: str, _: str) -> None:
            if method == "PUT":
                lease = next(target for target in bed.store.objects if target.plural == "leases")
                bed.store._write(lease, bed.store.objects[lease])

        bed.transport.before = always
        with pytest.raises(Conflict):
            await bed.keeper.acquire()
        assert bed.permits == []

    told(story)
