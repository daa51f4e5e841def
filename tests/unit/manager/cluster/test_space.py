"""When a data volume counts as nearly full, when no longer, and what is said of it."""

from __future__ import annotations

from cnmysql.protocol.report import StorageReport
from manager.actions import Emit, PatchStatus
from manager.cluster import facts, space, status
from manager.cluster.snapshot import Snapshot
from tests.unit.manager.snapshots import Json, pod, ready, says, silent
from tests.unit.manager.snapshots import status as with_status


def filled(s: Snapshot, instance: str, percent: float) -> Snapshot:
    """Its volume of 10 500 bytes, 500 of them root's, is so full."""
    used = int(percent * 100)
    return says(
        s, instance, storage=StorageReport(used_bytes=used, capacity_bytes=10_500, available_bytes=10_000 - used)
    )


def seen(s: Snapshot) -> tuple[Snapshot, list[Emit]]:
    """The snapshot after the status was written, and the Events about volumes that went with it."""
    emitted: list[Emit] = []
    for action in status.decide(s, (), held=False).actions:
        if isinstance(action, PatchStatus):
            s = with_status(s, **action.patch)
        elif isinstance(action, Emit) and action.reason.startswith("StoragePressure"):
            emitted.append(action)
    return s, emitted


def stored(s: Snapshot) -> Json:
    return facts.stored_condition(s, "StoragePressure")


def test_nothing_is_said_before_usage_is_reported() -> None:
    assert space.condition(ready()) is None
    assert not stored(seen(ready())[0])


def test_it_begins_at_85_percent_is_told_once_and_names_the_instances() -> None:
    s, events = seen(filled(filled(ready(), "db-1", 84.99), "db-2", 20))
    assert (stored(s)["status"], stored(s)["reason"], events) == ("False", "BelowThreshold", [])
    s, events = seen(filled(s, "db-1", 85))
    assert (stored(s)["status"], stored(s)["reason"]) == ("True", "AboveThreshold")
    assert "nearly full: db-1; raise spec.storage.size" in stored(s)["message"]
    assert [(e.reason, e.warning) for e in events] == [("StoragePressure", True)]
    s, events = seen(filled(s, "db-2", 99))
    assert "nearly full: db-1, db-2;" in stored(s)["message"]
    assert events == []
    assert "%" not in stored(s)["message"], "a number would be written again and again"


def test_a_volume_that_wavers_at_the_threshold_writes_nothing() -> None:
    s, _ = seen(filled(ready(), "db-1", 85))
    for percent in (84, 86, 80, 85):
        assert status.decide(filled(s, "db-1", percent), (), held=False).actions == ()
    s, events = seen(_all_filled(s, 79.99))
    assert stored(s)["status"] == "False"
    assert [(e.reason, e.warning) for e in events] == [("StoragePressureResolved", False)]


def _all_filled(s: Snapshot, percent: float) -> Snapshot:
    for instance in ("db-1", "db-2", "db-3"):
        s = filled(s, instance, percent)
    return s


def test_it_does_not_end_while_one_that_may_be_full_is_silent() -> None:
    s, _ = seen(filled(_all_filled(ready(), 10), "db-3", 90))
    quiet, events = seen(silent(s, "db-3"))
    assert (stored(quiet)["status"], events) == ("True", [])
    gone, events = seen(pod(silent(s, "db-3"), "db-3", None))
    assert stored(gone)["status"] == "False"
    assert [e.reason for e in events] == ["StoragePressureResolved"]


def test_a_volume_of_nothing_is_not_full() -> None:
    empty = StorageReport(used_bytes=0, capacity_bytes=0, available_bytes=0)
    assert empty.used_percent == 0
