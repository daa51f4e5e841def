"""Which image instances run, and why another one that is asked for is not taken. Pure."""

from __future__ import annotations

from typing import Final

from cnmysql.mysql.version import Version, series_change, supported
from manager.cluster import facts
from manager.cluster.snapshot import Snapshot

UNNAMED_VERSION: Final = Version(9, 7, 0)
"""What an image is taken for whose tag names no version, until an instance reports."""


def in_force(s: Snapshot, asked: str) -> str:
    """The image asked for; while that is refused, the one that was accepted last: what is lost comes back on it."""
    accepted = str(s.status.get("image") or "")
    kept = s.record.has_history and accepted and refusal(s, asked)
    return accepted if kept else asked


def refusal(s: Snapshot, asked: str) -> str:
    """Why no instance may run this image."""
    verdict = supported(version_of(s, asked))
    if not verdict.allowed:
        return f"UnsupportedVersion: spec.imageName {asked}: {verdict.reason}"
    before, after = Version.of_image(str(s.status.get("image") or "")), Version.of_image(asked)
    if before is None or after is None:
        return ""
    verdict = series_change(before, after)
    if not verdict.allowed:
        return f"UpgradeRefused: spec.imageName {asked}: {verdict.reason}"
    if before.series != after.series:
        return (
            f"UpgradeRefused: spec.imageName {asked} changes the series from {before.series} to {after.series}, "
            f"which imageName alone may not do; set it back to an image of series {before.series}"
        )
    return ""


def version_of(s: Snapshot, image: str) -> Version:
    """By the tag; an image without a telling tag has the version its primary reports."""
    named = Version.of_image(image)
    if named is not None:
        return named
    for instance in (s.record.current_primary, *facts.pods_of(s)):
        report = facts.fresh_report(s, instance) if instance else None
        if report is not None and report.version:
            return Version.parse(report.version)
    return UNNAMED_VERSION
