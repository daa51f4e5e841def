"""Following on real servers: relay logs kept across a change of source, channels that broke, certificates renewed."""

from __future__ import annotations

from tests.mysql.role_servers import City, Member, until


def executed(member: Member) -> str:
    return str(member.query("SELECT @@GLOBAL.gtid_executed")[0][0]).replace("\n", "")


async def test_a_purged_source_is_reported_and_not_asked_again(city: City) -> None:
    await city.found(2)
    first = await city.member(1)
    await city.bootstrap(first)
    first.query("CREATE TABLE my_app.t (id INT PRIMARY KEY)")
    first.query("FLUSH BINARY LOGS")
    last = first.query("SHOW BINARY LOGS")[-1][0]
    first.query(f"PURGE BINARY LOGS TO '{last}'")
    second = await city.member(2)
    report = await second.reaches(lambda r: r.problem is not None)
    assert report.problem is not None and report.problem.reason == "ReplicationBroken"
    assert "purged" in report.problem.message and not report.is_ready
    starts = second.loop.memory.restarts
    await until(lambda: second.loop.plan.rule == "broken")
    assert second.loop.memory.restarts == starts


async def test_an_applier_that_cannot_apply_is_left_alone(city: City) -> None:
    first, second = await city.pair()
    first.query("CREATE TABLE my_app.t (id INT PRIMARY KEY)")
    await second.reaches(lambda r: r.gtid_executed == executed(first))
    second.process.server.connect().cursor().execute("SET GLOBAL super_read_only=OFF")
    connection = second.process.server.connect()
    for text in ("SET sql_log_bin=0", "INSERT INTO my_app.t VALUES (1)", "SET GLOBAL super_read_only=ON"):
        connection.cursor().execute(text)
    connection.close()
    first.query("INSERT INTO my_app.t VALUES (1)")
    report = await second.reaches(lambda r: r.problem is not None)
    assert report.problem is not None and report.problem.reason == "ReplicationBroken"
    assert "1062" in report.problem.message and not report.is_ready
    connection = second.process.server.connect()
    for text in (
        "SET sql_log_bin=0", "SET GLOBAL super_read_only=OFF", "DELETE FROM my_app.t",
        "SET GLOBAL super_read_only=ON", "START REPLICA SQL_THREAD",
    ):  # fmt: skip
        connection.cursor().execute(text)
    connection.close()
    await second.reaches(lambda r: r.problem is None and r.is_ready)


async def test_received_transactions_survive_a_change_of_source(city: City) -> None:
    """The old primary is dead, the replica has its last transaction only in the relay log."""
    await city.found(3)
    first, second = await city.member(1), await city.member(2)
    await city.bootstrap(first)
    await second.reaches(lambda r: r.is_ready)
    third = await city.member(3)
    await third.reaches(lambda r: r.is_ready)
    first.query("CREATE TABLE my_app.t (id INT PRIMARY KEY)")
    await second.reaches(lambda r: r.gtid_executed == executed(first))
    await third.reaches(lambda r: r.gtid_executed == executed(first))
    locked = third.process.server.connect(user="cnmysql_control", password="control-password")
    locked.cursor().execute("LOCK TABLES my_app.t READ")
    first.query("INSERT INTO my_app.t VALUES (1)")
    everything = executed(first)
    await second.reaches(lambda r: r.gtid_executed == everything)
    report = await third.reaches(lambda r: r.received == everything)
    assert report.gtid_executed != everything
    first.process.restarts = False
    await first.process.crash()
    await city.write_status(currentPrimary="db-2")
    await third.reaches(lambda r: r.replication is not None and r.replication.source_host == "127.0.0.2")
    assert (await third.reaches(lambda r: r.received == everything)).received == everything
    locked.close()
    await third.reaches(lambda r: r.gtid_executed == everything)
    assert third.query("SELECT id FROM my_app.t") == [(1,)]


async def test_a_renewed_replication_certificate_is_used_at_once(city: City) -> None:
    first, second = await city.pair()
    before = first.query("SELECT ID FROM performance_schema.processlist WHERE COMMAND='Binlog Dump GTID'")
    second.loop.renew_credentials()
    await until(lambda: not second.loop.credentials_changed)
    await second.reaches(lambda r: r.replication is not None and r.replication.io_running)
    after = first.query("SELECT ID FROM performance_schema.processlist WHERE COMMAND='Binlog Dump GTID'")
    assert before and after and before != after


async def test_a_channel_copied_without_its_relay_logs_is_set_anew(city: City) -> None:
    """What a clone of a replica brings along: the donor's channel, and none of its files."""
    first, second = await city.pair()
    first.query("CREATE TABLE my_app.t (id INT PRIMARY KEY)")
    await second.reaches(lambda r: r.gtid_executed == executed(first))
    second.process.restarts = False
    await second.process.crash()
    for file in second.process.server.datadir.glob("relay-bin*"):
        file.unlink()
    await second.process.start()
    await second.reaches(lambda r: r.is_ready)
    first.query("INSERT INTO my_app.t VALUES (1)")
    await second.reaches(lambda r: r.gtid_executed == executed(first))
