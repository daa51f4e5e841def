"""What a Lease says and when it may be taken: pure. Times of other machines are written for people and never judged.

Rule (after k8s.io/client-go/tools/leaderelection): a hold has expired when its record did not change for its own
duration while we were looking, measured on our clock alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cnmysql.kube.wire import Json


@dataclass(frozen=True)
class LeaseRecord:
    """The spec of a coordination.k8s.io/v1 Lease and the version it was read in. `holder` "" means nobody."""

    holder: str = ""
    duration: int = 0
    """Seconds without a change after which the hold may be taken from its holder."""
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0
    version: str = ""


def micro_time(moment: datetime) -> str:
    """`2006-01-02T15:04:05.000000Z`, the MicroTime of the API. The moment must carry a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without zone cannot be written as MicroTime")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(lease: Json) -> LeaseRecord:
    """The record in a Lease object; fields that are absent read as nobody's hold."""
    spec = lease.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration=spec.get("leaseDurationSeconds") or 0,
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        transitions=spec.get("leaseTransitions") or 0,
        version=lease["metadata"]["resourceVersion"],
    )


def spec(record: LeaseRecord) -> Json:
    """The Lease spec that says `record`."""
    body: Json = {"leaseDurationSeconds": record.duration, "leaseTransitions": record.transitions}
    fields = {"holderIdentity": record.holder, "acquireTime": record.acquired, "renewTime": record.renewed}
    return body | {name: value for name, value in fields.items() if value}


def held(record: LeaseRecord, *, by: str, duration: int, now: datetime) -> LeaseRecord:
    """The record after `by` took or renewed it. A change of hands counts a transition and a new acquire time."""
    stamp = micro_time(now)
    if record.holder == by:
        return replace(record, duration=duration, renewed=stamp)
    transitions = record.transitions + 1 if record.version else 0
    return replace(record, holder=by, duration=duration, acquired=stamp, renewed=stamp, transitions=transitions)


def released(record: LeaseRecord, *, now: datetime) -> LeaseRecord:
    """The record after its holder let go; the transitions stay counted."""
    return replace(record, holder="", duration=1, acquired="", renewed=micro_time(now))


@dataclass(frozen=True)
class Observed:
    """A record and since when (seconds of our own clock) it has been seen unchanged."""

    record: LeaseRecord
    since: float

    def seen(self, record: LeaseRecord, at: float) -> Observed:
        """The observation after reading `record` at `at`: the clock starts again when anything in it changed."""
        return self if record == self.record else Observed(record, at)

    def may_take(self, identity: str, at: float) -> bool:
        """True when nobody holds it, we do, or its holder did not renew for its duration while we watched."""
        if self.record.holder in {"", identity}:
            return True
        return at - self.since >= max(1, self.record.duration)
