"""Opening and closing one real server: who is thrown out, what is still written, what happens when it is late."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator

import pymysql
import pytest
import pytest_asyncio

from cnmysql.errors import Refused, Unreachable
from instance.server import LocalServer
from tests.mysql.role_servers import CLOCK, Supervised, until
from tests.mysql.servers import APP, HOST, Login, World, bootstrapped, control
from tests.support.mysqld import Mysqld

ERRORS = (pymysql.err.MySQLError, OSError)


class Open:
    """One booted server with our accounts, opened."""

    def __init__(self, server: Mysqld, planet: World) -> None:
        self.mysqld = server
        self.process = Supervised(server)
        self.server = LocalServer(self.process, CLOCK, Login(control(server)), lambda _: planet.source(server))

    def app(self, **options: object) -> pymysql.Connection:
        return self.mysqld.connect(host=HOST, user="app", password=APP.reveal(), database="my_app", **options)  # type: ignore[no-any-return]

    @property
    def executed(self) -> str:
        return str(self.mysqld.query("SELECT @@GLOBAL.gtid_executed")[0][0])


@pytest_asyncio.fixture
async def opened(planet: World) -> AsyncIterator[Open]:
    server = await bootstrapped(planet, "one")
    await asyncio.to_thread(server.stop)
    found = Open(server, planet)
    await found.process.start()
    await found.server.open(lambda: True)
    server.query("CREATE TABLE my_app.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
    yield found
    await found.server.disconnect()


async def test_boots_closed_and_opens_last_what_clients_reach(planet: World) -> None:
    server = await bootstrapped(planet, "one")
    server.stop()
    found = Open(server, planet)
    await found.process.start()
    facts = await found.server.read()
    assert facts.closed and not facts.open and facts.clients == 0
    with pytest.raises(pymysql.err.OperationalError) as refused:
        found.app()
    assert refused.value.args[0] == 3032
    with pytest.raises(Refused):
        await found.server.open(lambda: False)
    facts = await found.server.read()
    assert facts.offline_mode and not facts.open
    await found.server.open(lambda: True)
    assert (await found.server.read()).open
    with contextlib.closing(found.app()) as app:
        app.cursor().execute("SELECT 1")
    await found.server.disconnect()


async def test_closing_with_sixty_pooled_writers(opened: Open) -> None:
    """No client is left, nothing is committed afterwards, and what was acknowledged is in the final set."""
    stop, acknowledged = threading.Event(), [0] * 60
    threads = [threading.Thread(target=_write, args=(opened, stop, acknowledged, n)) for n in range(60)]
    for thread in threads:
        thread.start()
    await until(lambda: min(acknowledged) >= 3, 60)
    began = time.monotonic()
    await opened.server.close()
    took = time.monotonic() - began
    facts = await opened.server.read()
    assert facts.closed and opened.process.kills == 0
    assert took < 2.0
    count = opened.mysqld.query("SELECT COUNT(*) FROM my_app.t")[0][0]
    stop.set()
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
    assert count >= sum(acknowledged)
    assert opened.mysqld.query("SELECT COUNT(*) FROM my_app.t")[0][0] == count
    assert (await opened.server.read()).executed == facts.executed


def _write(opened: Open, stop: threading.Event, acknowledged: list[int], n: int) -> None:
    while not stop.is_set():
        with contextlib.suppress(*ERRORS), contextlib.closing(opened.app()) as app:
            cursor = app.cursor()
            while not stop.is_set():
                cursor.execute("INSERT INTO t (v) VALUES (%s)", [n])
                acknowledged[n] += 1
        stop.wait(0.05)


async def test_closing_ends_a_long_transaction_and_keeps_a_prepared_branch_shut_in(opened: Open) -> None:
    long = opened.app()
    long.begin()
    long.cursor().execute("INSERT INTO t (v) VALUES (1)")
    prepared = opened.app()
    for text in ("XA START 'x'", "INSERT INTO t (v) VALUES (2)", "XA END 'x'", "XA PREPARE 'x'"):
        prepared.cursor().execute(text)
    before = opened.executed
    await opened.server.close()
    assert opened.process.kills == 0
    for connection in (long, prepared):
        with pytest.raises(ERRORS):
            connection.cursor().execute("XA COMMIT 'x'")
    with pytest.raises(ERRORS):
        opened.app()
    assert opened.executed == before
    await opened.server.open(lambda: True)
    assert opened.mysqld.query("XA RECOVER")[0][3] == "x"
    assert opened.mysqld.query("SELECT COUNT(*) FROM my_app.t") == [(0,)]


async def test_closing_throws_out_a_local_administrator(opened: Open) -> None:
    """offline_mode spares who holds CONNECTION_ADMIN; closing does not."""
    root = opened.mysqld.connect()
    await opened.server.close()
    assert opened.process.kills == 0
    with pytest.raises(ERRORS):
        root.cursor().execute("SELECT 1")


async def test_a_server_that_does_not_answer_is_killed(opened: Open) -> None:
    os.kill(opened.mysqld.pid, signal.SIGSTOP)
    began = time.monotonic()
    await opened.server.close()
    assert opened.process.kills == 1
    assert time.monotonic() - began < 4.0


async def test_a_step_that_is_late_ends_in_sigkill(opened: Open) -> None:
    """A table lock of our own account, which closing spares, keeps super_read_only waiting."""
    ours = opened.mysqld.connect(user="cnmysql_control", password="control-password")
    ours.cursor().execute("LOCK TABLES my_app.t WRITE")
    await opened.server.close()
    assert opened.process.kills == 1


async def test_an_account_that_could_bypass_a_closed_server_means_sigkill(opened: Open) -> None:
    opened.mysqld.query("CREATE USER intruder@'%' IDENTIFIED BY 'x'")
    opened.mysqld.query("GRANT CONNECTION_ADMIN ON *.* TO intruder@'%'")
    await opened.server.close()
    assert opened.process.kills == 1


async def test_our_statements_write_no_gtid(opened: Open) -> None:
    before = opened.executed
    await opened.server.close()
    await opened.server.open(lambda: True)
    await opened.server.reload_tls()
    assert opened.executed == before


async def test_reads_are_bounded_when_the_server_is_frozen(opened: Open) -> None:
    await opened.server.read()
    os.kill(opened.mysqld.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        await opened.server.read()
    assert time.monotonic() - began < 1.5
    os.kill(opened.mysqld.pid, signal.SIGCONT)
    assert (await opened.server.read()).open
