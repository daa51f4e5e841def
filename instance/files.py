"""Watches mounted files and has something done when they change.

The kubelet replaces a whole mounted directory by switching one symbolic link, so a stat of the files once a second
sees every change and costs nothing worth naming; inotify would need a watch on a link that is itself replaced.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnmysql import log
from cnmysql.clock import Clock
from cnmysql.errors import CnmysqlError

_log = log.get("files")
LOOK_EVERY = 1.0

Stamp = tuple[tuple[int, int, int], ...]


def stamp(paths: Sequence[Path]) -> Stamp:
    """Changes when one of the files is replaced, appears or disappears."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
    return tuple(found)


@dataclass
class Watched:
    """Files and what to do when they have changed. `act` is repeated every second until it succeeds."""

    name: str
    paths: tuple[Path, ...]
    act: Callable[[], Awaitable[None]]
    done: Stamp = ()
    """What was acted on, or is being acted on; empty when something is to be done whatever the files are."""
    complaint: str = ""

    def __post_init__(self) -> None:
        self.done = stamp(self.paths)


class FileWatch:
    """Looks at several groups of files every second."""

    def __init__(self, groups: Sequence[Watched], clock: Clock) -> None:
        self._groups = groups
        self._clock = clock

    def again(self, name: str) -> None:
        """Act on this group at the next look, changed or not."""
        for group in self._groups:
            if group.name == name:
                group.done = ()

    async def run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            for group in self._groups:
                await look(group)


async def look(group: Watched) -> None:
    """Act once for what the files are now, if that was not done yet."""
    current = stamp(group.paths)
    if current == group.done:
        return
    # Noted before and not after: what changes or asks for it again meanwhile has to be acted on once more.
    group.done = current
    try:
        await group.act()
    except (CnmysqlError, OSError, ssl.SSLError, ValueError) as error:
        group.done = ()
        if str(error) != group.complaint:
            group.complaint = str(error)
            _log.warning("changed files cannot be used yet", files=group.name, error=str(error))
        return
    group.complaint = ""
    _log.info("using changed files", files=group.name)
