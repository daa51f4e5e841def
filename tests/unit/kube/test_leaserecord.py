from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cnmysql.kube import leaserecord
from cnmysql.kube.leaserecord import LeaseRecord, Observed, micro_time

NOW = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def test_micro_time_is_utc_whatever_the_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5)))
    assert micro_time(NOW) == micro_time(there) == "2030-01-02T03:04:05.000678Z"
    with pytest.raises(ValueError, match="without zone"):
        micro_time(datetime(2030, 1, 1))  # noqa: DTZ001 - the point


def test_a_record_survives_the_way_through_a_lease() -> None:
    record = LeaseRecord("me", 15, micro_time(NOW), micro_time(NOW), 3, "7")
    assert leaserecord.parse({"metadata": {"resourceVersion": "7"}, "spec": leaserecord.spec(record)}) == record
    empty = leaserecord.parse({"metadata": {"resourceVersion": "7"}})
    assert empty == LeaseRecord(version="7")


def test_taking_counts_a_transition_and_renewing_does_not() -> None:
    first = leaserecord.held(LeaseRecord(), by="a", duration=15, now=NOW)
    assert (first.holder, first.transitions, first.acquired) == ("a", 0, micro_time(NOW))
    later = NOW + timedelta(seconds=2)
    again = leaserecord.held(replace(first, version="1"), by="a", duration=15, now=later)
    assert (again.acquired, again.renewed, again.transitions) == (micro_time(NOW), micro_time(later), 0)
    other = leaserecord.held(replace(first, version="2"), by="b", duration=15, now=later)
    assert (other.holder, other.acquired, other.transitions) == ("b", micro_time(later), 1)
    free = leaserecord.released(other, now=later)
    assert (free.holder, free.transitions, free.version) == ("", 1, "2")
    assert "holderIdentity" not in leaserecord.spec(free)


def test_a_foreign_hold_expires_by_our_clock_and_any_change_starts_it_anew() -> None:
    record = LeaseRecord("other", 15, renewed="2999-01-01T00:00:00.000000Z", version="1")
    seen = Observed(LeaseRecord(), 0).seen(record, 100)
    assert not seen.may_take("me", 114.9)
    assert seen.may_take("me", 115), "what its clock says does not matter"
    changed = seen.seen(replace(record, version="2"), 114)
    assert not changed.may_take("me", 128.9)
    assert changed.seen(replace(record, version="2"), 120).may_take("me", 129)


def test_own_and_empty_holds_may_be_taken_at_once() -> None:
    assert Observed(LeaseRecord("me", 15), 0).may_take("me", 0)
    assert Observed(LeaseRecord(), 0).may_take("me", 0)
    assert not Observed(LeaseRecord("other", 0), 0).may_take("me", 0.5), "no duration is not expired"
