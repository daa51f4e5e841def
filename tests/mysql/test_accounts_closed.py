"""Accounts written on servers that are closed or follow: what clients, events and the role loop see of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pymysql
import pytest
import pytest_asyncio

from cnmysql.errors import Refused
from cnmysql.mysql.conn import Connection
from cnmysql.mysql.sql import Statement
from cnmysql.protocol.accounts import AccountsOrder, OwnerOrder, RootOrder
from cnmysql.protocol.report import InstanceStatus
from instance.accounts import sealed
from tests.mysql.kept_accounts import Kept, logs_in, until
from tests.mysql.role_servers import CLOCK, Member
from tests.mysql.servers import APP, CONTROL, World
from tests.support.accounts import stored


@pytest_asyncio.fixture
async def city(planet: World) -> AsyncIterator[Kept]:
    found = Kept(planet)
    yield found
    await found.exits.aclose()


class Prober:
    """A client without privileges that tries to write on a replica as fast as it can, in a session of its own."""

    def __init__(self, member: Member) -> None:
        self.member, self.written, self.tries, self._stop = member, 0, 0, threading.Event()
        self.codes: set[int] = set()
        self._thread = threading.Thread(target=self._try)

    def _try(self) -> None:
        connection = self.member.process.server.connect(user="app", password=APP.reveal())
        with connection.cursor() as cursor:
            while not self._stop.is_set():
                self.tries += 1
                try:
                    cursor.execute("INSERT INTO my_app.t VALUES (NULL)")
                    self.written += 1
                except pymysql.err.MySQLError as error:
                    self.codes.add(error.args[0])
        connection.close()

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)


async def test_a_replica_takes_new_passwords_and_nobody_else_writes(city: Kept) -> None:
    first, second = await city.pair()
    seen: list[InstanceStatus] = []
    second.loop.on_pass = lambda: seen.append(second.reporter.current())
    before = second.query("SELECT @@GLOBAL.gtid_executed")
    with Prober(second) as prober:
        for number in range(5):
            city.mount(second, "control", f"control-{number}")
            city.mount(second, "backup", f"backup-{number}")
            await until(lambda n=number: city.settled(second) and logs_in(second, "cnmysql_backup", f"backup-{n}"))  # type: ignore[misc]
            seen.append(await second.reporter.status())
    assert prober.tries > 100 and prober.written == 0 and prober.codes == {1290}
    assert not logs_in(second, "cnmysql_control", "control-3") and logs_in(second, "cnmysql_control", "control-4")
    assert second.query("SELECT @@GLOBAL.gtid_executed") == before
    assert second.query("SELECT @@GLOBAL.super_read_only, @@GLOBAL.offline_mode, @@GLOBAL.event_scheduler") == [
        (1, 0, "ON")
    ]
    assert second.process.kills == 0
    assert not any(r.open or r.role == "primary" or r.super_read_only is False or r.closed for r in seen)
    assert second.guard.until == 0.0, "the watchdog stays armed"
    first.query("INSERT INTO my_app.t VALUES (NULL)")
    await second.reaches(lambda r: r.is_ready and r.gtid_executed == first.reporter.current().gtid_executed)


async def test_an_event_of_roots_does_not_write_while_super_read_only_is_off(city: Kept) -> None:
    """A copy of a primary has its events enabled, and lifting super_read_only wakes the scheduler."""
    _, second = await city.pair()
    session = second.process.server.connect()
    with session.cursor() as cursor:
        for text in (
            "SET GLOBAL super_read_only=OFF", "SET sql_log_bin=0",
            "CREATE EVENT my_app.e ON SCHEDULE EVERY 1 SECOND DO INSERT INTO my_app.t VALUES (NULL)",
            "CREATE EVENT my_app.long ON SCHEDULE EVERY 1 SECOND DO "
            "BEGIN DO SLEEP(0.5); INSERT INTO my_app.t VALUES (NULL); END",
            "SET GLOBAL super_read_only=ON",
        ):  # fmt: skip
            cursor.execute(text)
    session.close()
    before = second.query("SELECT @@GLOBAL.gtid_executed, (SELECT COUNT(*) FROM my_app.t)")
    for number in range(4):
        city.mount(second, "backup", f"backup-{number}")
        await until(lambda n=number: city.settled(second) and logs_in(second, "cnmysql_backup", f"backup-{n}"))  # type: ignore[misc]
        await asyncio.sleep(0.4)  # the events are due at another moment of each round
    assert second.query("SELECT @@GLOBAL.gtid_executed, (SELECT COUNT(*) FROM my_app.t)") == before


async def test_a_closed_server_takes_new_passwords_and_stays_closed(city: Kept) -> None:
    await city.found(1)
    alone = await city.member(1)
    await alone.reaches(lambda r: r.closed)
    city.mount(alone, "control", "other")
    await until(lambda: city.settled(alone) and logs_in(alone, "cnmysql_control", "other"))
    report = await alone.reporter.status()
    assert report.closed and report.super_read_only and report.offline_mode
    assert not logs_in(alone, "cnmysql_control", CONTROL.reveal())
    await city.bootstrap(alone)


async def test_nothing_is_lifted_while_an_account_of_the_network_could_write(city: Kept) -> None:
    first, second = await city.pair()
    first.query("GRANT CONNECTION_ADMIN ON *.* TO app@'%'")
    await second.reaches(lambda r: r.gtid_executed == first.reporter.current().gtid_executed)
    with Prober(second) as prober:
        city.mount(second, "control", "other")
        keeper = city.keepers[second.name]
        await until(lambda: keeper.report is not None and "app@% could write too" in keeper.report.problem)
    assert prober.written == 0
    assert logs_in(second, "cnmysql_control", CONTROL.reveal())
    first.query("REVOKE CONNECTION_ADMIN ON *.* FROM app@'%'")
    await second.reaches(lambda r: r.gtid_executed == first.reporter.current().gtid_executed)
    keeper.again()
    await until(lambda: city.settled(second) and logs_in(second, "cnmysql_control", "other"))
    assert keeper.report is not None and keeper.report.bypassing == ()


async def test_an_account_that_passes_offline_mode_is_reported(city: Kept) -> None:
    first, _ = await city.pair()
    first.query("GRANT CONNECTION_ADMIN ON *.* TO app@'%'")
    keeper = city.keepers[first.name]
    keeper.again()
    await until(lambda: keeper.report is not None and keeper.report.bypassing == ("app@%",))
    assert keeper.report is not None and keeper.report.settled


async def test_orders_of_the_operator_reach_a_replica_without_a_transaction(city: Kept) -> None:
    first, second = await city.pair()
    order = AccountsOrder(
        RootOrder("r", stored("new-root"), remote=True), OwnerOrder("o", "app", stored("new-app"))
    )  # fmt: skip
    before = first.query("SELECT @@GLOBAL.gtid_executed")
    for member in (second, first):
        city.keepers[member.name].order(order)
        await until(lambda m=member: city.keepers[m.name].report.orders == {"root": "r", "owner": "o"})  # type: ignore[misc,union-attr]
        member.process.server.root_password = "new-root"
        assert logs_in(member, "app", "new-app") and not logs_in(member, "app", APP.reveal())
        assert member.query("SELECT account_locked FROM mysql.user WHERE User='root' AND Host='%'") == [("N",)]
    assert [m.query("SELECT @@GLOBAL.gtid_executed") for m in (first, second)] == [before, before]


class Locked(Exception):
    """What the work below ends with."""


async def test_super_read_only_comes_back_past_a_session_that_stands_in_its_way(city: Kept) -> None:
    """A lock on a table holds up the return; its owner is thrown out, the server lives on."""
    _, second = await city.pair()
    held: list[Any] = []

    async def work(_: Connection) -> None:
        blocker = second.process.server.connect()
        held.append(blocker)
        await asyncio.to_thread(blocker.cursor().execute, "LOCK TABLES my_app.t WRITE")
        raise Locked

    keeper = city.keepers[second.name]
    async with keeper._lock:
        with pytest.raises(Locked):
            await sealed.write(second.server, second.guard, CLOCK, work)
    assert second.process.kills == 0
    assert second.query("SELECT @@GLOBAL.super_read_only") == [(1,)]
    await second.reaches(lambda r: r.is_ready)
    held[0].close()


async def test_a_window_that_cannot_be_shut_ends_in_the_death_of_mysqld(
    city: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here by a global read lock of one of our own accounts, which nobody throws out."""
    _, second = await city.pair()
    monkeypatch.setattr(sealed, "SEAL_SECONDS", 0.5)
    held: list[Any] = []

    async def work(_: Connection) -> None:
        blocker = second.process.server.connect(user="cnmysql_control", password=CONTROL.reveal())
        held.append(blocker)
        await asyncio.to_thread(blocker.cursor().execute, "LOCK TABLES my_app.t WRITE")

    keeper = city.keepers[second.name]
    async with keeper._lock:
        await sealed.write(second.server, second.guard, CLOCK, work)
    assert second.process.kills == 1
    await second.reaches(lambda r: r.is_ready)
    assert second.query("SELECT @@GLOBAL.super_read_only") == [(1,)]
    held[0].close()


async def test_while_the_window_is_open_the_watchdog_is_armed_and_nobody_reads_the_flags(city: Kept) -> None:
    _, second = await city.pair()
    armed: list[float] = []
    reports: list[InstanceStatus] = []

    async def work(session: Connection) -> None:
        assert (await session.execute(Statement("SELECT @@GLOBAL.super_read_only"))).scalar() == 0
        armed.append(second.guard.until - CLOCK.boottime())
        reports.append(await second.reporter.status())

    async with city.keepers[second.name]._lock:
        await sealed.write(second.server, second.guard, CLOCK, work)
    assert 0 < armed[0] <= sealed.WINDOW_SECONDS and second.guard.until == 0.0
    assert reports[0].super_read_only and not reports[0].open and reports[0].is_ready


async def test_an_open_server_is_left_alone(city: Kept) -> None:
    first, _ = await city.pair()

    async def work(_: Connection) -> None:
        raise AssertionError("must not run")

    async with city.keepers[first.name]._lock:
        with pytest.raises(Refused, match="not super_read_only"):
            await sealed.write(first.server, first.guard, CLOCK, work)
    assert first.guard.until > 0.0, "the permission of an open primary was taken away"
    assert first.query("SELECT @@GLOBAL.super_read_only") == [(0,)]
