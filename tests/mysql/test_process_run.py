"""`instance run` with a real mysqld: boots closed, survives what kills it, reports why, ends in order.

There is no API server here: the instance never learns of a Cluster and stays closed, which is what these tests need.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest

from cnmysql import names
from tests.mysql.instance_home import (
    PASSWORDS,
    Home,
    Manager,
    alive,
    descendants,
    eventually,
    make_home,
    status,
    try_status,
)
from tests.support.mysqld import MysqldFactory
from tests.support.ports import free_port

OFFLINE = 3032
NO_API = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}


@pytest.fixture
def empty(mysqld_factory: MysqldFactory) -> Iterator[Home]:
    made = make_home(mysqld_factory, f"home-{time.monotonic_ns()}")
    (made.base / "token" / "token").write_text("none")
    (made.base / "token" / "ca.crt").write_bytes(made.ca.pem)
    yield made
    made.close()


@pytest.fixture
def home(empty: Home, volume: Path) -> Home:
    subprocess.run(["cp", "-a", f"{volume}/.", str(empty.volume)], check=True)
    return empty


def run(home: Home) -> Manager:
    return home.start("run", env=NO_API)


def mysqld_of(manager: Manager) -> int:
    """The pid of the manager's mysqld, which keeps the pid of the wrapper that became it."""
    found = [pid for pid in descendants(manager.pid) if comm(pid) == "mysqld" and alive(pid)]
    return found[0] if found else 0


def watchdog_of(manager: Manager) -> int:
    return next(pid for pid in descendants(manager.pid) if comm(pid) == "cnmysql-watch")


def dead(pid: int) -> bool:
    return not alive(pid)


def comm(pid: int) -> str:
    try:
        return Path("/proc", str(pid), "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_running(home: Home, manager: Manager, restarts: int = 0) -> dict[str, Any]:
    def check() -> dict[str, Any] | None:
        assert manager.process.poll() is None, manager.log()
        seen = try_status(home)
        mysqld = seen.get("mysqld", {})
        return seen if mysqld.get("state") == "running" and mysqld["restarts"] >= restarts else None

    found: dict[str, Any] = eventually(check, f"mysqld runs\n{manager.log()}")
    return found


def test_it_boots_closed_and_no_client_ever_gets_in(home: Home) -> None:
    manager = run(home)
    codes: set[int] = set()

    def knock() -> bool:
        try:
            home.connect("app", PASSWORDS["app"]).close()
        except pymysql.err.OperationalError as error:
            codes.add(error.args[0])
        else:
            codes.add(0)
        return OFFLINE in codes

    eventually(lambda: home.socket.exists() and knock(), "mysqld answers a client")
    seen = wait_running(home, manager)
    for _ in range(20):
        knock()
    assert 0 not in codes
    assert (seen["closed"], seen["open"]) == (True, False)
    flags = home.query("SELECT @@super_read_only, @@read_only, @@offline_mode", "cnmysql_control", PASSWORDS["control"])
    assert flags == [(1, 1, 1)]
    environ = Path("/proc", str(mysqld_of(manager)), "environ").read_bytes().split(b"\0")
    assert f"MYSQLD_PARENT_PID={manager.pid}".encode() in environ
    assert not [secret for secret in PASSWORDS.values() if secret.encode() in b"\n".join(environ)]


def test_told_to_stop_it_stops_mysqld_cleanly(home: Home) -> None:
    manager = run(home)
    wait_running(home, manager)
    pid = mysqld_of(manager)
    manager.process.send_signal(signal.SIGTERM)
    assert manager.wait(25) == 0, manager.log()
    assert not alive(pid)
    ended = next(r for r in manager.records() if r["msg"] == "mysqld ended")
    assert (ended["kind"], ended["requested"]) == ("clean", True)


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGKILL, "signal"), (signal.SIGABRT, "crash"), (signal.SIGTERM, "clean")]
)
def test_a_server_that_dies_is_reported_and_started_again(home: Home, number: signal.Signals, kind: str) -> None:
    manager = run(home)
    wait_running(home, manager)
    os.kill(mysqld_of(manager), number)
    seen = wait_running(home, manager, restarts=1)
    assert seen["mysqld"]["exit"]["kind"] == kind
    assert seen["mysqld"]["exit"]["requested"] is False
    assert seen["closed"] is True
    if number is signal.SIGABRT:
        assert any("signal" in line for line in seen["mysqld"]["exit"]["lastErrors"])


def test_restart_by_statement_is_not_a_crash(home: Home) -> None:
    manager = run(home)
    wait_running(home, manager)
    for restarts in range(1, 3):
        with pytest.raises(pymysql.err.OperationalError):
            home.query("RESTART", "cnmysql_control", PASSWORDS["control"])
            home.query("SELECT SLEEP(5)", "cnmysql_control", PASSWORDS["control"])
        seen = wait_running(home, manager, restarts)
        assert seen["mysqld"]["exit"]["kind"] == "restart"
        assert seen["mysqld"]["exit"]["code"] == 16


def test_a_crash_loop_ends_the_manager(home: Home) -> None:
    manager = run(home)
    wait_running(home, manager)
    for _ in range(5):
        pid = eventually(lambda: mysqld_of(manager), "mysqld is started again")
        os.kill(pid, signal.SIGKILL)
        eventually(partial(dead, pid), "it is dead")
    assert manager.wait(20) == 1
    assert "mysqld died 5 times" in home.termination()


def test_a_configuration_error_is_not_looped_and_a_correction_is_seen(home: Home) -> None:
    home.configure("no_such_thing = 1")
    manager = run(home)

    def held() -> dict[str, Any] | None:
        seen = try_status(home)
        return seen if seen.get("problem", {}).get("reason") == "ConfigurationInvalid" else None

    seen = eventually(held, "it gives up on this configuration")
    assert any("no_such_thing" in line for line in seen["mysqld"]["exit"]["lastErrors"])
    assert seen["mysqld"]["exit"]["kind"] == "configuration"
    restarts = status(home)["mysqld"]["restarts"]
    assert restarts == 2
    home.configure()
    assert "problem" not in wait_running(home, manager)


def test_without_its_watchdog_it_closes(home: Home) -> None:
    manager = run(home)
    wait_running(home, manager)
    pid = mysqld_of(manager)
    os.kill(watchdog_of(manager), signal.SIGKILL)
    assert manager.wait(25) == 1
    assert not alive(pid)
    assert "watchdog died" in home.termination()


def test_a_killed_manager_takes_its_server_along_and_the_next_one_starts(home: Home) -> None:
    manager = run(home)
    wait_running(home, manager)
    pid = mysqld_of(manager)
    manager.process.kill()
    eventually(lambda: not alive(pid), "the watchdog kills the server", within=5)
    wait_running(home, run(home))


def test_a_lock_file_that_names_a_living_stranger_stops_nobody(home: Home) -> None:
    """After a container restart the pid in the lock file of a killed server is somebody else's."""
    lock = home.socket.with_name("mysqld.sock.lock")
    lock.write_text(f"{os.getpid()}\n")
    home.socket.touch()
    manager = run(home)
    wait_running(home, manager)
    assert lock.read_text().strip() == str(mysqld_of(manager))


def test_a_second_container_waits_until_the_first_is_gone(home: Home) -> None:
    first = run(home)
    wait_running(home, first)
    home.control_port, home.health_port = free_port(), free_port()
    second = run(home)
    seen = eventually(lambda: try_status(home), "the newcomer serves its status")
    assert seen["mysqld"]["state"] == "waiting"
    assert mysqld_of(second) == 0
    first.process.send_signal(signal.SIGTERM)
    first.wait(25)
    wait_running(home, second)


def test_an_empty_volume_is_reported_and_left_alone(empty: Home) -> None:
    manager = run(empty)
    seen = eventually(lambda: (s := try_status(empty)).get("problem") and s, "it says what is missing")
    assert (seen["problem"]["reason"], seen["mysqld"]["state"]) == ("DataMissing", "waiting")
    assert not empty.data.exists()
    manager.process.send_signal(signal.SIGTERM)
    assert manager.wait(10) == 0


def test_a_version_that_may_not_serve_the_data_is_refused(home: Home) -> None:
    (home.data / names.FILE_VERSION).write_text("99.1.0")
    run(home)
    seen = eventually(lambda: (s := try_status(home)).get("problem") and s, "it refuses")
    assert (seen["problem"]["reason"], seen["mysqld"]["state"]) == ("UpgradeRefused", "waiting")


def test_a_flood_of_output_blocks_nobody(home: Home) -> None:
    real = home.mysqld.with_name("mysqld-real")
    home.mysqld.rename(real)
    flood = "yes 'a line of some length that nobody needs' | head -c 300000000 >&2"
    home.mysqld.write_text(f'#!/bin/sh\ncase "$*" in *--version*) ;; *) ({flood}) & ;; esac\nexec {real} "$@"\n')
    home.mysqld.chmod(0o755)
    manager = run(home)
    wait_running(home, manager)
    began = time.monotonic()
    status(home)
    assert time.monotonic() - began < 2
    eventually(lambda: '"dropped output lines"' in manager.log(), "what was lost is told")
    assert manager.log_file.stat().st_size < 50_000_000


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.8, 1.5])
def test_told_to_stop_while_it_starts_it_ends_in_order(home: Home, delay: float) -> None:
    """Process 1 has no default action: a signal that came before the handler must not be lost."""
    manager = run(home)
    eventually(lambda: stop_signals_held(manager.pid), "the program begins", within=10)
    time.sleep(delay)
    manager.process.send_signal(signal.SIGTERM)
    assert manager.wait(25) == 0, manager.log()


def stop_signals_held(pid: int) -> bool:
    """SIGTERM is blocked or handled (proc(5): SigBlk, SigCgt)."""
    fields = dict(line.split(":\t") for line in Path("/proc", str(pid), "status").read_text().splitlines())
    bit = 1 << (signal.SIGTERM - 1)
    return bool((int(fields["SigBlk"], 16) | int(fields["SigCgt"], 16)) & bit)
