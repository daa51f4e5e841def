"""The life of a primary and its replicas on real servers: ordered open, followed, closed, opened again in place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cnmysql.errors import Refused
from instance.role.apply import Leaving
from instance.role.epoch import record_pod
from tests.mysql.role_servers import City, Member, until
from tests.mysql.servers import APP


async def test_boots_closed_opens_when_ordered_and_is_followed(city: City) -> None:
    await city.found(2)
    first = await city.member(1)
    report = await first.reaches(lambda r: r.server_uuid is not None)
    assert report.closed and not report.open and city.holder == ""
    await city.bootstrap(first)
    assert (city.status["currentPrimary"], city.holder) == ("db-1", "db-1/uid-1")
    assert "currentPrimaryTimestamp" in city.status
    assert first.guard.until > 0
    second = await city.member(2)
    report = await second.reaches(lambda r: r.is_ready)
    assert report.role == "replica" and report.super_read_only and not report.offline_mode
    first.query("CREATE TABLE my_app.t (id INT PRIMARY KEY)")
    first.query("INSERT INTO my_app.t VALUES (1)")
    executed = first.query("SELECT @@GLOBAL.gtid_executed")[0][0]
    assert second.query(f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}', 10)") == [(0,)]
    assert second.query("SELECT id FROM my_app.t") == [(1,)]
    assert second.query(
        "SELECT SSL_ALLOWED, SSL_VERIFY_SERVER_CERTIFICATE, AUTO_POSITION "
        "FROM performance_schema.replication_connection_configuration"
    ) == [("YES", "YES", "1")]


async def test_killed_mysqld_reopens_in_place(city: City) -> None:
    await city.found(1)
    first = await city.member(1)
    before = await city.bootstrap(first)
    await first.process.crash()
    await first.reaches(lambda r: r.closed)
    after = await first.reaches(lambda r: r.open)
    assert after.epoch == before.epoch and after.server_uuid == before.server_uuid
    assert first.process.kills == 0


async def test_ordered_away_closes_and_clears_the_hold(city: City) -> None:
    await city.found(1)
    first = await city.member(1)
    await city.bootstrap(first)
    await city.order("")
    epoch = city.status["epoch"]
    await first.reaches(lambda r: r.closed and r.epoch == epoch)
    await until(lambda: city.holder == "")
    assert first.process.kills == 0


async def test_a_lost_tail_stays_closed(city: City) -> None:
    """A replica has received what the primary no longer has: opening would give the same names to other rows."""
    first, second = await city.pair()
    first.query("CREATE TABLE my_app.t (id INT PRIMARY KEY)")
    executed = str(first.query("SELECT @@GLOBAL.gtid_executed")[0][0])
    await second.reaches(lambda r: r.gtid_executed == executed)
    second.query("STOP REPLICA")
    _execute_as(second, executed.split(":", maxsplit=1)[0] + ":2")
    await first.process.crash()
    report = await first.reaches(lambda r: r.problem is not None)
    assert report.problem is not None and report.problem.reason == "LostTail"
    assert report.closed and not report.is_ready and city.holder == "db-1/uid-1"
    _execute_as(first, executed.split(":", maxsplit=1)[0] + ":2")
    assert (await first.reaches(lambda r: r.open)).problem is None


async def test_errant_transactions_keep_a_replica_out(city: City) -> None:
    await city.found(2)
    first = await city.member(1)
    await city.bootstrap(first)
    second = await city.member(2)
    await second.reaches(lambda r: r.is_ready)
    await second.end()
    second.query("STOP REPLICA")
    foreign = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1"
    _execute_as(second, foreign)
    await second.process.crash()
    await until(lambda: second.process.generation == 2 and second.process.running)
    again = city.again(second)
    report = await again.reaches(lambda r: r.problem is not None)
    assert report.problem is not None and report.problem.reason == "Diverged"
    assert report.errant == foreign and report.closed and not report.is_ready
    assert report.replication is not None and not report.replication.sql_running


async def test_a_replica_resumes_after_its_crash_and_after_its_primary_s(city: City) -> None:
    first, second = await city.pair()
    await second.process.crash()
    await second.reaches(lambda r: r.closed)
    await second.reaches(lambda r: r.is_ready)
    await first.process.crash()
    await first.reaches(lambda r: r.open)
    first.query("CREATE TABLE my_app.t (id INT PRIMARY KEY)")
    executed = str(first.query("SELECT @@GLOBAL.gtid_executed")[0][0])
    await second.reaches(lambda r: r.gtid_executed == executed)


async def test_without_the_api_server_it_closes_and_opens_again_by_itself(city: City) -> None:
    await city.found(1)
    first = await city.member(1)
    await city.bootstrap(first)
    first.transport.hang = True
    report = await first.reaches(lambda r: r.closed, timeout=9)
    assert report.lease is not None and report.lease.age_seconds is not None
    assert 5.9 <= report.lease.age_seconds < 8.0
    assert first.process.kills == 0
    first.transport.hang = False
    await first.reaches(lambda r: r.open)
    assert city.holder == "db-1/uid-1"


async def test_a_lost_lease_closes_at_the_next_renewal(city: City) -> None:
    await city.found(1)
    first = await city.member(1)
    await city.bootstrap(first)
    await city.hand_lease_to("db-2/uid-9")
    report = await first.reaches(lambda r: r.closed, timeout=5)
    assert report.lease is not None and not report.lease.held
    assert city.holder == "db-2/uid-9"


async def test_a_recreated_pod_waits_for_the_old_hold_to_be_cleared_and_an_order(city: City) -> None:
    await city.found(1)
    first = await city.member(1)
    await city.bootstrap(first)
    await first.end()
    await first.process.crash()
    await until(lambda: first.process.generation == 2 and first.process.running)
    again = city.again(first, pod_uid="uid-new")
    report = await again.reaches(lambda r: r.server_uuid is not None)
    await city.order("db-1")
    await again.reaches(lambda r: r.epoch == city.status["epoch"])
    assert not again.reporter.current().open and city.holder == "db-1/uid-1"
    await city.clear()
    report = await again.reaches(lambda r: r.open)
    assert report.epoch == 2 and city.holder == "db-1/uid-new"


async def test_the_pod_that_lost_its_volume_closes_and_leaves(city: City) -> None:
    await city.found(1)
    first = await city.member(1)
    await city.bootstrap(first)
    assert first.running is not None
    record_pod(first.process.server.home, "uid-new")
    with pytest.raises(Leaving):
        await asyncio.wait_for(first.running, 5)
    assert first.query("SELECT @@GLOBAL.offline_mode, @@GLOBAL.super_read_only") == [(1, 1)]
    assert city.holder == "" and first.process.kills == 0


async def test_called_closed_it_stays_so_until_ordered(city: City) -> None:
    await city.found(1)
    first = await city.member(1)
    await city.bootstrap(first)
    await asyncio.wait_for(first.loop.close(2), 5)
    assert first.reporter.current().epoch == 2
    await first.reaches(lambda r: r.closed)
    await until(lambda: city.holder == "")
    with pytest.raises(Refused):
        await first.loop.close(1)
    await city.order("db-1")
    await first.reaches(lambda r: r.open and r.epoch == 2)


async def writing(city: City) -> tuple[Member, Any]:
    """An open primary, and a session whose transaction has not ended."""
    await city.found(1)
    first = await city.member(1)
    await city.bootstrap(first)
    first.query("CREATE TABLE my_app.t (id INT PRIMARY KEY)")
    session = first.process.server.connect(user="app", password=APP.reveal(), host="127.0.0.1", port=city.port)
    session.begin()
    session.cursor().execute("INSERT INTO my_app.t VALUES (1)")
    return first, session


async def test_shutdown_waits_for_the_transactions_of_its_beginning(city: City) -> None:
    first, session = await writing(city)
    down = asyncio.create_task(first.loop.shutdown(30, 5))
    await first.reaches(lambda r: "transactions" in r.role_state)
    session.commit()
    await asyncio.wait_for(down, 10)
    assert first.reporter.current().closed and city.holder == ""
    assert first.query("SELECT COUNT(*) FROM my_app.t") == [(1,)]
    assert first.process.kills == 0


async def test_shutdown_does_not_wait_longer_than_told(city: City) -> None:
    first, _session = await writing(city)
    await asyncio.wait_for(first.loop.shutdown(1, 5), 8)
    assert first.reporter.current().closed and city.holder == ""
    assert first.query("SELECT COUNT(*) FROM my_app.t") == [(0,)]


def _execute_as(member: Member, gtid: str) -> None:
    """An empty transaction under this GTID, as received from somewhere."""
    connection = member.process.server.connect()
    cursor = connection.cursor()
    for text in (f"SET gtid_next='{gtid}'", "BEGIN", "COMMIT", "SET gtid_next=AUTOMATIC"):
        cursor.execute(text)
    connection.close()
