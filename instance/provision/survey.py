"""Looks at a data volume and says what lies there."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from cnmysql import names
from instance.provision.volume import Mark, Unreadable, Volume, parse_mark

IGNORED: Final = frozenset({"lost+found"})


def observe(volume: Path) -> Volume:
    """Read the volume. Raises OSError when it cannot be read, which is never taken for emptiness."""
    data = volume / Path(names.DATA_DIR).name
    entries = sorted(entry.name for entry in volume.iterdir())
    others = tuple(e for e in entries if not e.startswith(".") and e not in IGNORED and e != data.name)
    state = _data_state(data)
    # Complete without a mark (removed this very moment) is as bad as a damaged one.
    made_for = (_mark(data / names.FILE_BOOTSTRAPPED) or Unreadable()) if state == "complete" else None
    return Volume(state, _mark(volume / names.FILE_PROVISIONING), others, made_for)


def is_ours(bootstrapped: Path, cluster_uid: str) -> bool:
    """A complete data directory of this Cluster lies there."""
    mark = _mark(bootstrapped)
    return isinstance(mark, Mark) and mark.cluster_uid == cluster_uid


def _data_state(data: Path) -> Literal["absent", "empty", "filled", "complete"]:
    if not data.exists():
        return "absent"
    if (data / names.FILE_BOOTSTRAPPED).exists():
        return "complete"
    return "filled" if any(data.iterdir()) else "empty"


def _mark(path: Path) -> Mark | Unreadable | None:
    try:
        return parse_mark(path.read_text())
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return Unreadable()
