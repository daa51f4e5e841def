"""Fields of the status that mirror what instances, volumes and certificates say about themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from cnmysql.clock import parse_rfc3339, rfc3339
from manager.cluster import facts
from manager.cluster.snapshot import Snapshot

_RESIZING: Final = frozenset({"Resizing", "FileSystemResizePending"})
_PROGRESS_SECONDS: Final = 10.0
"""Progress of a copy is written at most this often."""


def diverged(s: Snapshot) -> list[str]:
    """Instances with transactions of their own, or that lost some."""
    return sticky(s, "divergedInstances", {"Diverged", "LostTail"})


def disk_full(s: Snapshot) -> bool:
    """The primary says that its volume is full."""
    report = facts.fresh_report(s, s.record.current_primary)
    return report is not None and report.problem is not None and report.problem.reason == "DiskFull"


def sticky(s: Snapshot, field: str, problems: set[str]) -> list[str]:
    """Instances that report one of the problems, and those listed before that have not been heard since."""
    before = set(s.status.get(field) or ())
    found = []
    for instance in facts.pods_of(s):
        report = facts.fresh_report(s, instance)
        silent = report is None or report.mysqld.state != "running"
        if (report is not None and report.problem is not None and report.problem.reason in problems) or (
            silent and instance in before
        ):
            found.append(instance)
    return found


def resizing(s: Snapshot) -> list[str]:
    """Volume claims that are being grown."""
    return sorted(
        name
        for name, claim in s.objects.volumes.items()
        if any(
            c["type"] in _RESIZING and c["status"] == "True"
            for c in (claim.get("status") or {}).get("conditions") or ()
        )
    )


def provisioning(s: Snapshot) -> tuple[dict[str, Any], float | None]:
    """Progress by instance; an update of the numbers alone waits for its turn."""
    before: dict[str, Any] = s.status.get("provisioning") or {}
    after: dict[str, Any] = {}
    wake: float | None = None
    for instance in facts.pods_of(s):
        report = facts.fresh_report(s, instance)
        if report is None or report.provisioning is None or report.provisioning.stage == "done":
            continue
        progress = report.provisioning
        told = before.get(instance)
        if told is not None and told.get("stage") == progress.stage:
            age = (s.now - _time(told.get("updatedAt"), s.now)).total_seconds()
            if age < _PROGRESS_SECONDS or told.get("bytesDone") == progress.bytes_done:
                after[instance] = told
                wake = max(0.5, _PROGRESS_SECONDS - age) if progress.bytes_total else wake
                continue
        after[instance] = {
            "stage": progress.stage,
            "bytesDone": progress.bytes_done,
            "bytesTotal": progress.bytes_total,
            "updatedAt": rfc3339(s.now),
            **({"donor": progress.donor} if progress.donor else {}),
        }
    return after, wake


def _time(text: object, otherwise: datetime) -> datetime:
    try:
        return parse_rfc3339(str(text))
    except ValueError:
        return otherwise


def positions(s: Snapshot) -> dict[str, Any]:
    """GTID sets move all the time: they are written along with other changes and never for themselves."""
    reports = ((i, facts.fresh_report(s, i)) for i in facts.pods_of(s))
    sets = {i: r.gtid_executed for i, r in reports if r is not None and r.gtid_executed}
    if not sets or sets == s.status.get("gtidExecutedByInstance"):
        return {}
    return {"gtidExecutedByInstance": sets, "gtidExecutedUpdatedAt": rfc3339(s.now)}


def hashes(s: Snapshot) -> dict[str, str]:
    """Runtime of each instance; one that is silent keeps what it said."""
    before: dict[str, str] = s.status.get("executableHashByInstance") or {}
    found = {}
    for instance in facts.pods_of(s):
        report = facts.fresh_report(s, instance)
        value = report.executable_hash if report is not None else before.get(instance, "")
        if value:
            found[instance] = value
    return found
