"""Server versions: parsing, the series we run, what each version can do and how it spells it.

Everything that differs between versions is a row of a table here; the rest of the code asks by name.
Sources: the release notes of the versions named and "Upgrading MySQL" in the reference manuals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_VERSION = re.compile(r"^v?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?![0-9])")
_TAG = re.compile(r"^v?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[-_.].*)?$")


@dataclass(frozen=True, order=True)
class Version:
    """major.minor.patch of a server; vendor suffixes (`9.7.4-2`) are dropped."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Version:
        """Version from `@@version`, a package version or a tag. Raises ValueError when it does not start with one."""
        match = _VERSION.match(text.strip())
        if match is None:
            raise ValueError(f"{text!r} does not start with a server version such as 9.7.4")
        return cls(int(match[1]), int(match[2]), int(match[3] or 0))

    @classmethod
    def of_image(cls, image: str) -> Version | None:
        """Version named by an image's tag, None when it names none (digest, `latest`, `lts`, no tag).

        A tag without patch level stands for a late one of its series: 8.0 for 8.0.46; later series do not
        differ between patch levels in anything we ask.
        """
        name = image.rsplit("/", 1)[-1]
        if "@" in name or ":" not in name:
            return None
        match = _TAG.match(name.split(":", 1)[1])
        if match is None:
            return None
        major, minor = int(match[1]), int(match[2])
        patch = int(match[3]) if match[3] else (46 if (major, minor) == (8, 0) else 0)
        return cls(major, minor, patch)

    @property
    def series(self) -> str:
        """`major.minor`, the unit of upgrades."""
        return f"{self.major}.{self.minor}"

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def has(self, feature: Feature) -> bool:
        """True when this version has the feature."""
        return self >= SINCE[feature]


class Feature(StrEnum):
    """What a version may have; SINCE says from when."""

    ADMIN_INTERFACE = "admin interface"
    CLONE_PLUGIN = "clone plugin"
    PARTIAL_REVOKES = "partial revokes"
    ADMIN_TLS = "TLS files of the admin interface"
    REPLICA_WORDS = "SHOW/START/STOP/RESET REPLICA"
    CHANGE_REPLICATION_SOURCE = "CHANGE REPLICATION SOURCE TO"
    REPLICA_OPTIONS = "replica spelling of options and variables, source/replica semi-sync plugins"
    GTID_ONLY = "GTID_ONLY of a replication channel"
    BINLOG_AUTO_PURGE = "binlog_expire_logs_auto_purge"
    REDO_LOG_CAPACITY = "innodb_redo_log_capacity"
    JSON_ERROR_LOG = "log_sink_json without INSTALL COMPONENT"
    REVOKE_IF_EXISTS = "REVOKE IF EXISTS"
    PROCESSLIST_TABLE = "performance_schema.processlist"
    BINARY_LOG_WORDS = "SHOW BINARY LOG STATUS"
    TAGGED_GTIDS = "tagged GTIDs"
    RESET_BINARY_LOGS = "RESET BINARY LOGS AND GTIDS"


SINCE: Final[Mapping[Feature, Version]] = {
    Feature.ADMIN_INTERFACE: Version(8, 0, 14),
    Feature.PARTIAL_REVOKES: Version(8, 0, 16),
    Feature.CLONE_PLUGIN: Version(8, 0, 17),
    Feature.ADMIN_TLS: Version(8, 0, 21),
    Feature.REPLICA_WORDS: Version(8, 0, 22),
    Feature.PROCESSLIST_TABLE: Version(8, 0, 22),
    Feature.CHANGE_REPLICATION_SOURCE: Version(8, 0, 23),
    Feature.REPLICA_OPTIONS: Version(8, 0, 26),
    Feature.GTID_ONLY: Version(8, 0, 27),
    Feature.BINLOG_AUTO_PURGE: Version(8, 0, 29),
    Feature.REDO_LOG_CAPACITY: Version(8, 0, 30),
    Feature.JSON_ERROR_LOG: Version(8, 0, 30),
    Feature.REVOKE_IF_EXISTS: Version(8, 0, 30),
    Feature.BINARY_LOG_WORDS: Version(8, 2, 0),
    Feature.TAGGED_GTIDS: Version(8, 3, 0),
    Feature.RESET_BINARY_LOGS: Version(8, 4, 0),
}

FLOOR: Final = Version(8, 0, 22)
"""Oldest server we run: the first with SHOW REPLICA STATUS and performance_schema.error_log."""

LTS: Final = ("8.0", "8.4", "9.7")
"""Series with long support, oldest first; 8.0 counts as one although only upward patch changes are safe in it."""

SERIES: Final = ("8.0", "8.4", "9.0", "9.1", "9.2", "9.3", "9.4", "9.5", "9.6", "9.7")
"""Every series we know, in upgrade order. Explicit: numbering jumps (8.4 to 9.0, 9.7 to 26.1) cannot be computed."""


@dataclass(frozen=True)
class Change:
    """Whether a data directory may go from one version to another. `reason` says why not, empty when allowed."""

    allowed: bool
    reason: str = ""


def supported(version: Version) -> Change:
    """Whether we run this version at all."""
    if version < FLOOR:
        return Change(False, f"MySQL {version} is older than {FLOOR}, the oldest version supported")
    if version.series not in SERIES:
        return Change(False, f"MySQL series {version.series} is not supported; use one of {', '.join(SERIES)}")
    return Change(True)


def series_change(old: Version, new: Version) -> Change:
    """Whether a server may be replaced by one of another version over the same data.

    Inside a series any later patch level, on LTS series from 8.4 also an earlier one; across series only forward
    and never past an LTS ("Upgrade Paths" in the manual).
    """
    for version in (old, new):
        verdict = supported(version)
        if not verdict.allowed:
            return verdict
    if old.series == new.series:
        if new >= old or (old.series in LTS and old.series != "8.0"):
            return Change(True)
        return Change(False, f"MySQL {old.series} allows no downgrade from {old} to {new}; use {old} or later")
    before, after = SERIES.index(old.series), SERIES.index(new.series)
    if after < before:
        return Change(
            False,
            f"downgrade from {old.series} to {new.series}: the data cannot go back; restore a backup instead",
        )
    skipped = next((s for s in SERIES[before + 1 : after] if s in LTS), None)
    if skipped is not None:
        return Change(False, f"upgrade from {old.series} to {new.series} must pass through {skipped} first")
    return Change(True)


def clone_compatible(donor: Version, recipient: Version) -> bool:
    """Whether CLONE may copy from donor to recipient: same series; before 8.0.37 the same patch level.

    ("Cloning Remote Data"; upgrades in place after a clone between consecutive LTS series exist from 9.7 on and
    are not used.)
    """
    if donor.series != recipient.series or not donor.has(Feature.CLONE_PLUGIN):
        return False
    if donor.series == "8.0" and min(donor.patch, recipient.patch) < 37:
        return donor.patch == recipient.patch
    return True


@dataclass(frozen=True)
class Words:
    """How a version spells statements, options and variables that were renamed."""

    change_source: str
    source_prefix: str
    """Prefix of the options of `change_source`: SOURCE_ or MASTER_."""
    get_public_key: str
    reset_binary_logs: str
    binary_log_status: str
    log_updates: str
    skip_start: str
    parallel_workers: str
    preserve_commit_order: str
    net_timeout: str
    stop_timeout: str


def words(version: Version) -> Words:
    """The spelling of this version (8.0.23 switched CHANGE, 8.0.26 options and variables, 8.2 and 8.4 binlog words)."""
    source = version.has(Feature.CHANGE_REPLICATION_SOURCE)
    r = "replica" if version.has(Feature.REPLICA_OPTIONS) else "slave"
    return Words(
        change_source="CHANGE REPLICATION SOURCE TO" if source else "CHANGE MASTER TO",
        source_prefix="SOURCE_" if source else "MASTER_",
        get_public_key="GET_SOURCE_PUBLIC_KEY" if source else "GET_MASTER_PUBLIC_KEY",
        reset_binary_logs=("RESET BINARY LOGS AND GTIDS" if version.has(Feature.RESET_BINARY_LOGS) else "RESET MASTER"),
        binary_log_status=("SHOW BINARY LOG STATUS" if version.has(Feature.BINARY_LOG_WORDS) else "SHOW MASTER STATUS"),
        log_updates=f"log_{r}_updates",
        skip_start=f"skip_{r}_start",
        parallel_workers=f"{r}_parallel_workers",
        preserve_commit_order=f"{r}_preserve_commit_order",
        net_timeout=f"{r}_net_timeout",
        stop_timeout=f"rpl_stop_{r}_timeout",
    )
