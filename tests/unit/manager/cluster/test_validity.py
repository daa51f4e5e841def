"""Condition CertificatesValid, its Events on transition only, and the ends of certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from manager.actions import Emit
from manager.cluster import validity
from manager.cluster.snapshot import Malformed, Snapshot
from tests.sim.issuing import START
from tests.unit.manager.snapshots import ready, spec, status

LEAF_END = START + timedelta(days=90)
EXPIRING = "CertificateExpiring"


def at(moment: datetime, s: Snapshot | None = None) -> Snapshot:
    return replace(s or ready(1), now=moment)


def stored(s: Snapshot, now: validity.Validity) -> Snapshot:
    """After the condition was written."""
    said = {"type": "CertificatesValid", "status": "False", "reason": now.reason, "message": now.message}
    return status(s, conditions=[said])


@pytest.mark.parametrize(
    ("before_end", "holds", "reason"),
    [
        (timedelta(days=8), True, "Valid"),
        (timedelta(days=7), False, EXPIRING),
        (timedelta(0), False, EXPIRING),
        (-timedelta(days=1), False, EXPIRING),
    ],
)
def test_seven_days_ahead(before_end: timedelta, holds: bool, reason: str) -> None:
    found = validity.assess(at(LEAF_END - before_end))
    assert found is not None
    assert (found.holds, found.reason) == (holds, reason)
    assert holds or "db-1-server-tls at 2026-04-01T00:00:00Z" in found.message


def test_the_plan_wakes_when_the_judgement_turns() -> None:
    found = validity.assess(at(LEAF_END - timedelta(days=8)))
    assert found is not None
    assert found.wake_after is not None
    turned = validity.assess(at(LEAF_END - timedelta(days=8) + timedelta(seconds=found.wake_after)))
    assert turned is not None
    assert turned.reason == EXPIRING


def test_an_event_on_transition_only() -> None:
    s = at(LEAF_END - timedelta(days=3))
    found = validity.assess(s)
    assert found is not None
    assert validity.events(s, found) == (Emit(EXPIRING, found.message, warning=True),)
    assert validity.events(stored(s, found), found) == ()


def test_nothing_is_said_of_a_spec_that_cannot_be_read_or_secrets_not_read_yet() -> None:
    assert validity.assess(replace(ready(1), spec=Malformed("x"))) is None
    assert validity.assess(spec(ready(1), certificates={"serverCASecret": "unread"})) is None


def test_what_is_not_known_keeps_its_former_ends() -> None:
    s = spec(ready(1), certificates={"serverCASecret": "unread"})
    former = ready(1).status["certificates"]["expirations"]
    assert validity.status(s, None)["expirations"] == former
