"""One reaper: our children's statuses reach us, orphans are collected, nobody steals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from instance.process.reaper import Child, Reaper

PR_SET_CHILD_SUBREAPER = 36


@pytest_asyncio.fixture
async def reaper() -> AsyncIterator[Reaper]:
    made = Reaper()
    made.install()
    yield made
    made.remove()


def spawn(reaper: Reaper, script: str, *arguments: str) -> Child:
    command = ["/bin/sh", "-c", script, "sh", *arguments]
    return reaper.spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))


async def test_statuses_of_many_children_reach_their_owners(reaper: Reaper) -> None:
    children = [spawn(reaper, f"exit {code}") for code in range(40)]
    codes = await asyncio.wait_for(asyncio.gather(*(child.exited for child in children)), 20)
    assert codes == list(range(40))


async def test_a_signal_is_a_negative_code(reaper: Reaper) -> None:
    child = spawn(reaper, "sleep 60")
    os.kill(child.pid, signal.SIGKILL)
    assert await asyncio.wait_for(child.exited, 10) == -signal.SIGKILL


async def test_a_child_has_its_own_session_and_no_input(reaper: Reaper) -> None:
    child = spawn(reaper, 'read line && exit 1; test "$(cut -d" " -f6 /proc/$$/stat)" = $$ || exit 2')
    assert await asyncio.wait_for(child.exited, 10) == 0


async def test_a_program_that_does_not_exist(reaper: Reaper) -> None:
    with pytest.raises(FileNotFoundError):
        reaper.spawn(["/nonexistent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={})


def test_orphans_are_reaped_without_touching_our_own() -> None:
    """A process that inherits orphans (as PID 1 does) collects them while it waits for its own children."""
    done = subprocess.run([sys.executable, "-c", ORPHANS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["ok"]), done.stderr


ORPHANS = f"""
import asyncio, ctypes, os, subprocess
from instance.process.reaper import Reaper
ctypes.CDLL(None).prctl({PR_SET_CHILD_SUBREAPER}, 1, 0, 0, 0)
async def main():
    reaper = Reaper()
    reaper.install()
    def spawn(script):
        return reaper.spawn(["/bin/sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env=dict(os.environ))
    parents = [spawn("(sleep 0.05; exit 9) & exit 4") for _ in range(10)]
    codes = await asyncio.gather(*(p.exited for p in parents))
    assert codes == [4] * 10, codes
    async with asyncio.timeout(10):
        while reaper.orphans < 10:
            await asyncio.sleep(0.01)
    print("ok")
asyncio.run(main())
"""
