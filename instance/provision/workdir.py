"""The effects of provisioning on the volume, in the one order that survives a crash after any of them.

1. the provisioning mark, synced; 2. the work directory is filled; 3. everything in it synced, then the version and
the bootstrapped mark inside it, synced; 4. renamed to its final place, the volume's directory synced; 5. the
provisioning mark removed. A crash before 4 leaves a work directory that the next start wipes, after 4 a complete
data directory.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cnmysql import names
from instance.durable import NEW_SUFFIX, sync_directory, sync_tree, write_synced
from instance.provision.volume import WORK_DIRS, Mark


class WorkDir:
    """The place where a data directory is built: `data` inside a hidden directory of the volume."""

    def __init__(self, volume: Path, mark: Mark) -> None:
        self._volume = volume
        self._mark = mark
        self.root = volume / f".cnmysql-{mark.mode}"
        self.data = self.root / "data"

    def begin(self) -> None:
        """Mark the volume as ours, wipe what earlier attempts left, make an empty work directory."""
        write_synced(self._volume / names.FILE_PROVISIONING, self._mark.to_json())
        for name in WORK_DIRS:
            wipe(self._volume / name)
        self.root.mkdir(mode=0o750)

    def finish(self, version: str, at: str) -> None:
        """Everything is in place and mysqld has ended: make it durable, mark it, move it to its final place."""
        sync_tree(self.data)
        write_synced(self.data / names.FILE_VERSION, version)
        done = {"clusterUID": self._mark.cluster_uid, "instance": self._mark.instance, "mode": self._mark.mode}
        write_synced(self.data / names.FILE_BOOTSTRAPPED, json.dumps({**done, "at": at}))
        self.data.chmod(0o750)
        self.data.rename(self._volume / Path(names.DATA_DIR).name)
        sync_directory(self._volume)
        self.clear()

    def abandon(self) -> None:
        """The attempt failed: wipe it. The mark stays, the volume is still ours."""
        wipe(self.root)

    def clear(self) -> None:
        """The data directory is complete: remove the marks of the attempt."""
        clear_leftovers(self._volume)


def take_over(volume: Path, mark: Mark, former_uid: str, at: str) -> None:
    """Our accounts are in a former Cluster's data directory and mysqld has ended: make its mark ours."""
    ours = {"clusterUID": mark.cluster_uid, "instance": mark.instance, "mode": mark.mode, "adoptedFrom": former_uid}
    write_synced(volume / Path(names.DATA_DIR).name / names.FILE_BOOTSTRAPPED, json.dumps({**ours, "at": at}))
    clear_leftovers(volume)


def clear_leftovers(volume: Path) -> None:
    """Remove what provisioning left beside a complete data directory."""
    for name in WORK_DIRS:
        wipe(volume / name)
    for name in (names.FILE_PROVISIONING, names.FILE_PROVISIONING + NEW_SUFFIX):
        (volume / name).unlink(missing_ok=True)
    sync_directory(volume)


def wipe(path: Path) -> None:
    """Remove a directory of ours, however full. A symbolic link is removed, not followed."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
