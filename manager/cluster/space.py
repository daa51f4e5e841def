"""Is a data volume about to run full? Told while there is still time to grow it: a full one stops the Cluster."""

from __future__ import annotations

from typing import Final

from cnmysql import names
from manager.actions import Emit
from manager.cluster import facts
from manager.cluster.outcome import Condition
from manager.cluster.snapshot import Snapshot

PRESSED_PERCENT: Final = 85
RELIEVED_PERCENT: Final = 80
"""Pressure ends below this, so that temporary files at the threshold do not write the status again and again."""


def condition(s: Snapshot) -> Condition | None:
    """StoragePressure, by what the instances say of their volumes; None when the stored one is not to be touched:
    nobody says anything, or it holds and one that is silent may be why."""
    holds = _holds(s)
    limit = RELIEVED_PERCENT if holds else PRESSED_PERCENT
    present = facts.pods_of(s)
    used = {i: percent for i in present if (percent := _used_percent(s, i)) is not None}
    full = [i for i, percent in used.items() if percent >= limit]
    if full:
        remedy = "raise spec.storage.size or remove data before they are full"
        return Condition(True, names.STORAGE_ABOVE, f"data volumes are nearly full: {', '.join(full)}; {remedy}")
    if not used or (holds and len(used) < len(present)):
        return None
    return Condition(False, names.STORAGE_BELOW, "")


def events(s: Snapshot, now: Condition | None) -> tuple[Emit, ...]:
    """One when pressure begins, one when it ends."""
    if now is None or now.holds == _holds(s):
        return ()
    if now.holds:
        return (Emit(names.EVENT_STORAGE_PRESSURE, now.message, warning=True),)
    return (Emit(names.EVENT_STORAGE_RESOLVED, "every data volume has room again", warning=False),)


def _holds(s: Snapshot) -> bool:
    return bool(facts.stored_condition(s, names.CONDITION_STORAGE).get("status") == "True")


def _used_percent(s: Snapshot, instance: str) -> int | None:
    report = facts.fresh_report(s, instance)
    return report.storage.used_percent if report is not None and report.storage is not None else None
