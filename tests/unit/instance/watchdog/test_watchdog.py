"""A server never outlives its permission to write, whatever happens to the manager.

Each test runs a small manager as a process of its own: it forks the watchdog, starts a "server" (sleep) under its
guard and then suffers something.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PRELUDE = """
import os, signal, subprocess, sys, time
from instance.watchdog import Watchdog
assert "asyncio" not in sys.modules and "pydantic" not in sys.modules
watchdog = Watchdog.fork()
def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)
def server():
    quiet = subprocess.DEVNULL
    return subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=quiet, stderr=quiet)
def say(*words):
    print(*words, flush=True)
first = server()
watchdog.guard(first.pid)
say(watchdog.pid, first.pid)
"""


class Manager:
    """The small manager; its first line names the watchdog and the server."""

    def __init__(self, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.watchdog, self.server = map(int, self.line().split())

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read()
        return line.strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def manager() -> Iterator[Callable[[str], Manager]]:
    made: list[Manager] = []

    def make(script: str) -> Manager:
        made.append(Manager(script))
        return made[-1]

    yield make
    for one in made:
        one.end()
        for pid in (one.watchdog, one.server):
            wait_dead(pid)


def running(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_dead(pid: int, within: float = 10.0) -> float:
    """Seconds until it was gone."""
    began = time.monotonic()
    while running(pid):
        assert time.monotonic() - began < within, f"{pid} lives on"
        time.sleep(0.005)
    return time.monotonic() - began


def test_a_stopped_manager_cannot_keep_its_server_alive(manager: Callable[[str], Manager]) -> None:
    m = manager("watchdog.permit_until(now() + 1.0); say('armed'); os.kill(os.getpid(), signal.SIGSTOP)")
    assert m.line() == "armed"
    time.sleep(0.5)
    assert running(m.server), "not before the moment"
    wait_dead(m.server, within=3.0)


def test_a_manager_that_renews_keeps_its_server(manager: Callable[[str], Manager]) -> None:
    m = manager("""
for _ in range(20):
    watchdog.permit_until(now() + 0.5)
    time.sleep(0.1)
say(first.poll())
time.sleep(60)
""")
    assert m.line() == "None"
    wait_dead(m.server, within=3.0)


def test_a_shorter_permission_takes_effect_at_once(manager: Callable[[str], Manager]) -> None:
    m = manager("watchdog.permit_until(now() + 600); time.sleep(0.2); watchdog.permit_until(now()); time.sleep(60)")
    wait_dead(m.server, within=3.0)


def test_without_permission_in_force_there_is_nothing_to_kill(manager: Callable[[str], Manager]) -> None:
    m = manager("watchdog.permit_until(now() + 0.3); watchdog.forbid(); time.sleep(1); say(first.poll())")
    assert m.line() == "None"


def test_a_dead_manager_takes_its_server_along(manager: Callable[[str], Manager]) -> None:
    m = manager("time.sleep(60)")
    m.process.kill()
    wait_dead(m.server, within=3.0)
    wait_dead(m.watchdog, within=3.0)


def test_the_next_server_is_guarded_and_the_old_one_let_go(manager: Callable[[str], Manager]) -> None:
    m = manager("""
second = server()
watchdog.guard(second.pid)
watchdog.permit_until(now() + 0.2)
second.wait(5)
seen = (first.poll(), second.returncode, watchdog.kills)
first.kill()
say(*seen)
""")
    assert m.line() == "None -9 1"


def test_news_of_an_earlier_servers_end_do_not_let_go_of_the_present_one(manager: Callable[[str], Manager]) -> None:
    m = manager("""
second = server()
watchdog.guard(second.pid)
watchdog.permit_until(now() + 0.2)
first.kill(); first.wait()
watchdog.unguard(first.pid)
second.wait(5)
say(second.returncode, watchdog.kills)
""")
    assert m.line() == "-9 1"


def test_after_a_server_has_ended_nothing_is_killed(manager: Callable[[str], Manager]) -> None:
    m = manager("""
first.kill(); first.wait()
watchdog.permit_until(now() + 0.1)
time.sleep(0.5)
watchdog.unguard(first.pid)
watchdog.permit_until(now() + 0.1)
time.sleep(0.5)
say(watchdog.kills, watchdog.alive())
""")
    assert m.line() == "0 True"


def test_its_death_is_seen(manager: Callable[[str], Manager]) -> None:
    m = manager("""
import select
say(watchdog.alive())
select.select([watchdog], [], [], 10)
say(watchdog.alive())
watchdog.permit_until(now()); watchdog.guard(first.pid); watchdog.unguard(first.pid); watchdog.forbid()
first.kill()
say("no error")
""")
    assert m.line() == "True"
    os.kill(m.watchdog, signal.SIGKILL)
    assert m.line() == "False"
    assert m.line() == "no error"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_meant_for_the_manager_do_not_end_it(manager: Callable[[str], Manager], number: int) -> None:
    m = manager("time.sleep(0.3); watchdog.permit_until(now() + 0.2); time.sleep(60)")
    os.kill(m.watchdog, number)
    wait_dead(m.server, within=3.0)


def test_it_is_small_and_named(manager: Callable[[str], Manager]) -> None:
    m = manager("time.sleep(60)")
    time.sleep(0.1)
    status = Path("/proc", str(m.watchdog), "status").read_text()
    assert "Name:\tcnmysql-watch" in status
    private = sum(
        int(line.split()[1])
        for line in Path("/proc", str(m.watchdog), "smaps_rollup").read_text().splitlines()
        if line.startswith(("Private_Clean", "Private_Dirty"))
    )
    assert private < 8 * 1024, f"{private} kB of its own"
