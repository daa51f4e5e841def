"""What outlives the role loop, on the data volume: the highest epoch seen, and whose volume it is."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from cnmysql import names
from cnmysql.errors import Refused, Terminal
from instance.durable import write_synced


class EpochDamaged(Terminal):
    """The epoch file says nothing that can be understood. Taking that for epoch 0 would obey old orders."""


class EpochFile:
    """The highest epoch of our Cluster this instance has seen. It only grows; a lower one is refused.

    Epochs count the role changes of one Cluster, so the file names its uid. On a volume made for another Cluster
    that number means nothing to ours and counts as none. This is safe because such a volume is only ever mounted
    after somebody said, for this very pair of volume and Cluster, that it is taken over: no order of ours can be
    older than what is stored there.

    Making one reads nothing: `load` and `store` touch the volume, which may hang. Use a thread for them.
    """

    def __init__(self, path: Path, cluster_uid: str) -> None:
        self._path = path
        self._cluster_uid = cluster_uid
        self._epoch = 0
        self._loaded = False
        self._lock = threading.Lock()

    def load(self) -> None:
        """Read it. Worth doing once the volume is ours: until then another manager may store a later one.

        Raises EpochDamaged, OSError."""
        with self._lock:
            self._read()

    def _read(self) -> None:
        self._epoch = max(self._epoch, _read(self._path, self._cluster_uid))
        self._loaded = True

    @property
    def epoch(self) -> int:
        """0 before the first, and before it was read."""
        return self._epoch

    def store(self, epoch: int) -> None:
        """Make it durable before anything is done under it. Raises Refused for a lower one, EpochDamaged,
        OSError."""
        with self._lock:
            if not self._loaded:
                self._read()
            if epoch < self._epoch:
                raise Refused(f"epoch {epoch} is older than {self._epoch}, which this instance has seen")
            if epoch == self._epoch:
                return
            write_synced(self._path, json.dumps({"clusterUID": self._cluster_uid, "epoch": epoch}))
            self._epoch = epoch


def _read(path: Path, cluster_uid: str) -> int:
    try:
        found = json.loads(path.read_text())
        uid, epoch = found["clusterUID"], found["epoch"]
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not (isinstance(uid, str) and uid and type(epoch) is int and epoch >= 0):
        raise _damaged(path)
    return epoch if uid == cluster_uid else 0


def _damaged(path: Path) -> EpochDamaged:
    return EpochDamaged(
        f"{path.name} on the data volume is damaged, so it is not known which orders are old; when no other "
        "instance is open, write the Cluster's status.epoch into it"
        ' as {"clusterUID": "<uid>", "epoch": <status.epoch>}'
    )


def record_pod(volume: Path, pod_uid: str) -> None:
    """Write into the volume's lock file which Pod wants it, before waiting for the lock.

    The Pod that holds the lock sees that it is no longer the recorded one, closes its server and ends. The lock
    itself is not touched by this: it belongs to the open file, not to its content.
    """
    fd = os.open(volume / names.FILE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    with os.fdopen(fd, "r+") as file:
        # Written over what is there and cut off afterwards: that needs no space on a full volume.
        file.write(f"{pod_uid}\n")
        file.truncate()
        file.flush()
        os.fsync(fd)


def recorded_pod(volume: Path) -> str:
    """The Pod uid that last asked for the volume, empty when none did. Raises OSError."""
    return (volume / names.FILE_LOCK).read_text().strip()
