"""Whom to copy from. Pure: reports in, a donor or the reasons why nobody fits out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cnmysql import names
from cnmysql.mysql.version import Version, clone_compatible
from cnmysql.protocol.report import InstanceStatus

UNKNOWN_LAG: Final = 1 << 31


@dataclass(frozen=True)
class Silent:
    """The peer did not answer; why, for people."""

    why: str


@dataclass(frozen=True)
class Peers:
    """What is known when a donor is looked for. `failed`: how often each was tried in vain by this join."""

    own: str
    version: Version
    primary: str
    reports: Mapping[str, InstanceStatus | Silent]
    excluded: frozenset[str] = frozenset()
    """Diverged or fenced by the Cluster's status."""
    failed: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Nobody:
    """No donor now; one reason per peer."""

    reasons: Mapping[str, str]

    @property
    def message(self) -> str:
        if not self.reasons:
            return "the Cluster has no other instance to copy from"
        return "no instance can be copied from: " + "; ".join(f"{n}: {why}" for n, why in self.reasons.items())


def choose(peers: Peers) -> str | Nobody:
    """The donor's name: one not tried in vain before, a replica rather than the primary, the least behind."""
    reasons: dict[str, str] = {}
    fitting: list[tuple[int, bool, int, int, str]] = []
    for name, report in sorted(peers.reports.items()):
        if name == peers.own:
            continue
        why = _unfit(peers, name, report)
        if why or isinstance(report, Silent):
            reasons[name] = why
            continue
        tried = (peers.failed or {}).get(name, 0)
        fitting.append((tried, name == peers.primary, _lag(report), names.ordinal(name), name))
    return min(fitting)[-1] if fitting else Nobody(reasons)


def _unfit(peers: Peers, name: str, report: InstanceStatus | Silent) -> str:
    """Why this peer cannot be the donor, empty when it can."""
    if isinstance(report, Silent):
        return report.why
    if name in peers.excluded:
        return "diverged or fenced"
    if report.provisioning is not None or report.mysqld.state != "running":
        return f"mysqld is {report.mysqld.state}"
    if report.problem is not None:
        return report.problem.reason
    if report.errant:
        return "has errant transactions"
    if report.version is None:
        return "its version is not known"
    if not clone_compatible(Version.parse(report.version), peers.version):
        return f"MySQL {report.version} cannot be copied by {peers.version}"
    return _not_current(peers, name, report)


def _not_current(peers: Peers, name: str, report: InstanceStatus) -> str:
    """A primary must be open; a replica must follow, or at least try to while its source is away."""
    if name == peers.primary:
        return "" if report.open else "the primary is not open"
    replication = report.replication
    if replication is None:
        return "follows nobody"
    if not replication.sql_running or not (replication.io_running or replication.io_connecting):
        return "its replication is stopped"
    return ""


def _lag(report: InstanceStatus) -> int:
    seconds = report.replication.seconds_behind_source if report.replication is not None else 0
    return UNKNOWN_LAG if seconds is None else seconds
