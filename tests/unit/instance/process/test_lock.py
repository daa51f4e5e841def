"""One container at a time on a volume, and a server that outlives its manager still counts."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from cnmysql.clock import SystemClock
from instance.lock import VolumeLock


def test_only_one_holds_it(tmp_path: Path) -> None:
    first, second = VolumeLock(tmp_path), VolumeLock(tmp_path)
    assert first.try_acquire()
    assert not second.try_acquire()
    first.close()
    assert second.try_acquire()
    second.close()


async def test_a_newcomer_says_so_once_and_waits(tmp_path: Path) -> None:
    first, second = VolumeLock(tmp_path), VolumeLock(tmp_path)
    assert first.try_acquire()
    told: list[bool] = []
    waiting = asyncio.create_task(second.acquire(SystemClock(), lambda: told.append(True)))
    await asyncio.sleep(0.6)
    assert not waiting.done()
    first.close()
    await asyncio.wait_for(waiting, 5)
    assert told == [True]
    second.close()


def test_a_child_that_inherited_it_keeps_it(tmp_path: Path) -> None:
    lock = VolumeLock(tmp_path)
    assert lock.try_acquire()
    child = subprocess.Popen(["sleep", "60"], pass_fds=(lock.fileno(),))
    lock.close()
    other = VolumeLock(tmp_path)
    assert not other.try_acquire()
    child.kill()
    child.wait(10)
    assert other.try_acquire()
    other.close()


def test_other_children_do_not_inherit_it(tmp_path: Path) -> None:
    lock = VolumeLock(tmp_path)
    assert not os.get_inheritable(lock.fileno())
    lock.close()
