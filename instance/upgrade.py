"""Which server version may be started over a data directory, and the record of what last served it."""

from __future__ import annotations

import json
from pathlib import Path

from cnmysql import names
from cnmysql.mysql.version import Change, Version, series_change, supported
from instance.durable import write_synced

HISTORY = "mysql_upgrade_history"
"""The server's own record (8.4 and later): JSON with every version that initialised or upgraded the directory."""


def check(evidence: tuple[Version, ...], new: Version) -> Change:
    """Whether `new` may serve a directory with this evidence. Pure. The newest evidence counts: a start that was
    interrupted may have upgraded the data dictionary before our own record was written.

    Another series is refused also where the server would take it: it would change the data for good, and an image whose
    name tells no version is no order to do so.
    """
    if not evidence:
        return supported(new)
    last = max(evidence)
    verdict = series_change(last, new)
    if verdict.allowed and last.series != new.series:
        reason = f"the data is of series {last.series}, the image is MySQL {new}; use an image of series {last.series}"
        return Change(False, reason)
    return verdict


def evidence(data: Path) -> tuple[Version, ...]:
    """What the directory says about versions that have served it; unreadable records say nothing."""
    found = (_own(data / names.FILE_VERSION), _history(data / HISTORY))
    return tuple(version for version in found if version is not None)


def record(data: Path, version: Version) -> None:
    """Remember that this version serves the directory; does nothing when that is known."""
    path = data / names.FILE_VERSION
    if _own(path) != version:
        write_synced(path, str(version))


def _own(path: Path) -> Version | None:
    try:
        return Version.parse(path.read_text())
    except (OSError, ValueError):
        return None


def _history(path: Path) -> Version | None:
    try:
        return Version.parse(json.loads(path.read_text())["upgrade_history"][-1]["version"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
