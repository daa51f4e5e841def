"""The whole instance manager as a process, with a real mysqld and an API server over TLS: the life of a primary.

Mostly what only the whole can show: wiring, signals, files that change, time and memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cnmysql import names
from cnmysql.mysql import mycnf
from cnmysql.protocol.report import Frame
from tests.mysql.instance_home import CLUSTER_UID, NAMESPACE, PASSWORDS, VERSION
from tests.mysql.pods import Pod


async def test_the_life_of_a_primary(pod: Pod) -> None:
    """Ordered open, crashed, opened again in place, closed by SIGTERM with its Lease cleared."""
    manager = pod.start()
    await pod.bootstrap()
    assert pod.holder == "db-1/pod-uid"
    pod.home.query("CREATE TABLE app.t (id INT PRIMARY KEY)", "app", PASSWORDS["app"])
    pod.home.query("INSERT INTO app.t VALUES (1)", "app", PASSWORDS["app"])
    os.kill(pod.mysqld, signal.SIGKILL)
    await pod.reaches(lambda r: r.mysqld.restarts == 1)
    report = await pod.reaches(lambda r: r.open)
    assert report.epoch == 1 and report.is_ready
    assert pod.home.query("SELECT id FROM app.t", "app", PASSWORDS["app"]) == [(1,)]
    manager.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(manager.wait) == 0
    assert pod.holder == ""
    stored = json.loads((pod.home.volume / names.FILE_EPOCH).read_text())
    assert stored == {"clusterUID": CLUSTER_UID, "epoch": 1}


async def test_a_volume_of_a_former_cluster_opens_under_the_first_epoch_of_this_one(pod: Pod) -> None:
    """Its number of role changes and its passwords mean nothing here; its data does."""
    home, former = pod.home, {"clusterUID": "former", "epoch": 7}
    bootstrapped = home.data / names.FILE_BOOTSTRAPPED
    bootstrapped.write_text(json.dumps({**json.loads(bootstrapped.read_text()), "clusterUID": "former"}))
    (home.volume / names.FILE_EPOCH).write_text(json.dumps(former))
    for account in PASSWORDS:
        for secret in home.base.glob(f"credentials*/{account}/password"):
            secret.write_text(f"new{PASSWORDS[account]}")
    adopting = home.start("initdb", "--adopt-from=former")
    assert await asyncio.to_thread(adopting.wait) == 0, adopting.log()
    assert json.loads((home.volume / names.FILE_EPOCH).read_text()) == former, "stored by the first order alone"
    pod.start()
    assert (await pod.reaches(lambda r: r.server_uuid is not None)).epoch == 0
    await pod.bootstrap()
    assert json.loads((home.volume / names.FILE_EPOCH).read_text()) == {"clusterUID": CLUSTER_UID, "epoch": 1}
    home.query("CREATE TABLE app.t (id INT PRIMARY KEY)", "app", f"new{PASSWORDS['app']}")


async def test_a_damaged_epoch_file_ends_the_manager_with_the_remedy(pod: Pod) -> None:
    (pod.home.volume / names.FILE_EPOCH).write_text("7")
    manager = pod.start()
    assert await asyncio.to_thread(manager.wait) == 1
    assert "it is not known which orders are old" in pod.home.termination()


async def test_a_volume_that_hangs_takes_neither_probes_nor_status_with_it(pod: Pod) -> None:
    epoch = pod.home.volume / names.FILE_EPOCH
    os.mkfifo(epoch)  # a read waits until somebody writes
    manager = pod.start()
    report = await pod.reaches(lambda _: True)
    assert (report.epoch, report.closed, report.mysqld.state) == (0, True, "waiting")
    assert await asyncio.to_thread(_livez, pod) == "ok"
    await asyncio.to_thread(epoch.write_text, "7")
    assert await asyncio.to_thread(manager.wait) == 1
    assert "it is not known which orders are old" in pod.home.termination()


async def test_a_volume_that_cannot_be_written_ends_the_manager_with_a_word(pod: Pod) -> None:
    lock = pod.home.volume / names.FILE_LOCK
    lock.unlink()
    lock.mkdir()
    manager = pod.start()
    assert await asyncio.to_thread(manager.wait) == 1
    assert "IsADirectoryError" in pod.home.termination()


def _livez(pod: Pod) -> str:
    with urllib.request.urlopen(f"http://{pod.home.address}:{pod.home.health_port}/livez", timeout=30) as answer:
        return str(answer.read().decode())


async def test_the_operator_knows_of_a_killed_mysqld_at_once(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    async with aclosing(pod.control.stream("db-1", pod.home.address)) as stream:
        assert (await anext(stream)).report is not None
        began = time.monotonic()
        os.kill(pod.mysqld, signal.SIGKILL)
        await _frame(stream, lambda f: f.report is not None and f.report.mysqld.state == "exited")
        assert time.monotonic() - began < 1.0


async def test_a_dynamic_parameter_is_set_live_and_a_static_one_waits(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    report = await pod.reaches(lambda r: r.config is not None)
    assert report.config is not None and report.config.applied
    started = pod.mysqld
    pod.home.configure("max_connections = 77\ninnodb_buffer_pool_instances = 1\n")
    report = await pod.reaches(lambda r: r.config is not None and not r.config.applied)
    assert report.config is not None and report.config.pending_restart == ("innodb_buffer_pool_instances",)
    assert pod.home.query("SELECT @@max_connections")[0][0] == 77
    assert pod.mysqld == started and report.open


async def test_a_value_that_mysqld_refuses_live_is_told_and_the_next_start_is_none_the_worse(pod: Pod) -> None:
    """The file it is started from is made as the operator makes it, from what was good before."""
    home = pod.home
    good, wanted = home.rendered(), home.rendered(default_storage_engine="FOO", max_connections="77")
    home.write_config(good, good)
    pod.start()
    await pod.bootstrap()
    home.write_config(mycnf.for_start(wanted, good, VERSION), wanted)
    report = await pod.reaches(lambda r: r.config is not None and bool(r.config.rejected))
    assert report.config is not None and report.config.file_hash == mycnf.file_hash(wanted.encode())
    assert report.config.rejected == {"default_storage_engine": "MySQL error 1286: Unknown storage engine 'FOO'"}
    os.kill(pod.mysqld, signal.SIGKILL)
    await pod.reaches(lambda r: r.mysqld.restarts == 1)
    report = await pod.reaches(lambda r: r.open)
    assert report.problem is None
    assert home.query("SELECT @@GLOBAL.default_storage_engine") == [("InnoDB",)]
    await pod.reaches(lambda r: home.query("SELECT @@GLOBAL.max_connections") == [(77,)])

    corrected = home.rendered(default_storage_engine="MEMORY")
    home.write_config(mycnf.for_start(corrected, good, VERSION), corrected)
    await pod.reaches(lambda r: r.config is not None and r.config.applied)
    assert home.query("SELECT @@GLOBAL.default_storage_engine") == [("MEMORY",)]


async def test_a_renewed_certificate_is_used_without_a_restart(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    before = await pod.status()
    host = names.instance_host("db-1", NAMESPACE)
    leaf = pod.home.ca.issue(dns=(host,), client=False, not_after=datetime.now(UTC) + timedelta(days=77))
    leaf.write(pod.home.base / "tls" / "server")
    after = await pod.reaches(lambda r: r.tls_not_after not in (None, before.tls_not_after), timeout=15)
    assert after.open and after.mysqld.restarts == 0


async def test_memory_and_start_are_bounded(pod: Pod) -> None:
    began = time.monotonic()
    manager = pod.start()
    await pod.reaches(lambda r: True)
    served = time.monotonic() - began
    await pod.bootstrap()
    rss = resident(manager.pid)
    print(f"serving after {served:.2f} s, RSS {rss / 2**20:.0f} MiB")
    assert rss < 110 * 2**20


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _frame(stream: Any, wanted: Callable[[Frame], bool]) -> Frame:
    async def search() -> Frame:
        async for frame in stream:
            if wanted(frame):
                return frame  # type: ignore[no-any-return]
        raise AssertionError("the stream ended")

    searching: Awaitable[Frame] = search()
    return await asyncio.wait_for(searching, 10)
