"""Plain questions about a snapshot."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cnmysql.clock import rfc3339
from manager.cluster import facts
from tests.unit.manager.snapshots import pod, ready, says, silent, status

CONTAINER: dict[str, Any] = {"name": "mysql", "restartCount": 0, "state": {}}


def waiting(reason: str) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{**CONTAINER, "state": {"waiting": {"reason": reason}}}]}}


@pytest.mark.parametrize(
    ("primary", "count", "expected"),
    [
        ("db-1", 3, "123"), ("", 2, "12"), ("db-3", 1, "3"), ("db-3", 2, "13"), ("db-5", 3, "125"), ("db-2", 3, "123"),
        ("other-9", 2, "12"),
    ],
)  # fmt: skip
def test_wanted(primary: str, count: int, expected: str) -> None:
    s = status(ready(), currentPrimary=primary or None)
    assert facts.wanted(s, count) == tuple(f"db-{o}" for o in expected)


def test_a_report_counts_only_fresh_and_from_the_present_pod() -> None:
    s = ready()
    assert facts.fresh_report(s, "db-1") is not None
    assert facts.fresh_report(replace(s, clock=s.clock + 5.1), "db-1") is None
    assert facts.fresh_report(silent(s, "db-1"), "db-1") is None
    assert facts.fresh_report(says(s, "db-1", pod_uid="former"), "db-1") is None
    assert facts.fresh_report(pod(s, "db-1", None), "db-1") is None
    assert facts.fresh_report(s, "db-9") is None


def died(message: str = "", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": 1, "message": message, **more}}


def restarted(count: int, *, lived: float, ago: float, message: str = "", reason: str = "Error") -> dict[str, Any]:
    """Runs again after its last life of so many seconds ended so many seconds ago."""
    end = ready().now - timedelta(seconds=ago)
    times = {"startedAt": rfc3339(end - timedelta(seconds=lived)), "finishedAt": rfc3339(end)}
    container = {**CONTAINER, "state": {"running": {}}, "restartCount": count}
    return {"status": {"containerStatuses": [{**container, "lastState": died(message, reason=reason, **times)}]}}


WEEK = 7 * 86400.0
OOM = (
    "container mysql keeps restarting (OOMKilled: it needs more than its memory limit allows; "
    "raise spec.resources.limits.memory)"
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        (waiting("ImagePullBackOff"), "ImagePullBackOff"),
        (waiting("CrashLoopBackOff"), "CrashLoopBackOff"),
        (waiting("ContainerCreating"), ""),
        ({"status": {"containerStatuses": [{**CONTAINER, "restartCount": 1}]}}, ""),
        ({"status": {"containerStatuses": [{**CONTAINER, "restartCount": 2}]}}, ""),
        (
            {"status": {"containerStatuses": [{**CONTAINER, "restartCount": 2, "lastState": died()}]}},
            "container mysql keeps restarting",
        ),
        (restarted(2, lived=5, ago=5), "container mysql keeps restarting"),
        (restarted(2, lived=5, ago=5, reason="OOMKilled"), OOM),
        # It has run for a week since; or had run for one before, and went down with its node.
        (restarted(2, lived=5, ago=WEEK), ""),
        (restarted(2, lived=WEEK, ago=5), ""),
        (restarted(1, lived=5, ago=5, message="ForeignData: x"), "mysql: ForeignData: x"),
        (restarted(1, lived=5, ago=WEEK, message="ForeignData: x"), ""),
        # The kubelet has not started it again yet.
        ({"status": {"containerStatuses": [{**CONTAINER, "state": died("ForeignData: y")}]}}, "mysql: ForeignData: y"),
        (
            {"status": {"containerStatuses": [{**CONTAINER, "restartCount": 1, "lastState": died("ForeignData: x")}]}},
            "mysql: ForeignData: x",
        ),
        ({"status": {"containerStatuses": [{**CONTAINER, "restartCount": 9, "ready": True}]}}, ""),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted"),
        (
            {
                "status": {
                    "conditions": [
                        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
                    ]
                }
            },
            "Unschedulable: no room",
        ),
    ],
)
def test_stuck(change: dict[str, Any], expected: str) -> None:
    assert facts.stuck(pod(ready(), "db-2", change), "db-2") == expected
