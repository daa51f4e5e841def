"""Following a source: the identity it asks for, what re-pointing keeps, and what is read meanwhile."""

from __future__ import annotations

import pytest

from cnmysql.log import Secret
from cnmysql.mysql import internal, read, read_threads, statements
from cnmysql.mysql.conn import Connection, connect
from cnmysql.mysql.gtid import GtidSet
from cnmysql.mysql.statements import Source
from tests.mysql.servers import (
    SCHEMA,
    VERSION,
    World,
    bootstrapped,
    control,
    follow,
    local,
    replication,
    run,
    until,
)  # fmt: skip
from tests.support.certs import Authority
from tests.support.mysqld import Mysqld

RECEIVER = "SELECT SERVICE_STATE FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME=''"
IO_ERROR = "SELECT LAST_ERROR_NUMBER FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME=''"
APPLIED = f"SELECT COUNT(*) FROM {SCHEMA}.t"


async def logged(server: Mysqld) -> Connection:
    """A session whose writes replicate."""
    return await connect(local(server, "root", Secret(server.root_password)))


async def executed(c: Connection) -> GtidSet:
    return (await read.server_state(c)).gtid_executed


async def test_following_by_certificate(planet: World) -> None:
    source, replica = [await bootstrapped(planet, name) for name in ("source", "replica")]
    async with await logged(source) as s, await connect(control(replica)) as r, await connect(control(source)) as sc:
        assert await read.replication_state(r) == read.NotConfigured()
        assert (await read.replicas(sc), await read_threads.dump_threads(sc)) == ((), ())
        await follow(r, planet.source(source))
        await run(s, f"CREATE TABLE {SCHEMA}.t (a INT PRIMARY KEY)", f"INSERT INTO {SCHEMA}.t VALUES (1)")
        assert await read.wait_for_gtids(r, await executed(s), 20)
        state = await replication(r)
        assert (state.source_host, state.source_port) == ("127.0.0.1", source.port)
        assert state.source_uuid == (await read.server_state(s)).server_uuid
        assert state.io_running and state.sql_running and not state.io_connecting
        assert state.auto_position and state.tls
        assert (state.errno, state.error) == (0, "")
        assert state.retrieved == await executed(s)
        assert state.lag_seconds == 0
        await until(r, f"SELECT COUNT(*) FROM ({read._HEARTBEAT.text}) h (age, got) WHERE age < 5", 1)
        assert 0 <= ((await replication(r)).heartbeat_age_seconds or 0) < 5
        # Over TLS, as the account without a password, with certificate files that mysqld reads itself.
        user, secure = (
            await run(
                sc,
                "SELECT t.PROCESSLIST_USER, s.VARIABLE_VALUE FROM performance_schema.threads t "
                "JOIN performance_schema.status_by_thread s USING (THREAD_ID) "
                "WHERE t.PROCESSLIST_COMMAND LIKE 'Binlog Dump%' AND s.VARIABLE_NAME='Ssl_version'",
            )
        ).rows[0]
        assert (user, secure) == ("cnmysql_repl", "TLSv1.3")
        (dump,) = await read_threads.dump_threads(sc)
        assert dump.user == "cnmysql_repl"
        assert [known.uuid for known in await read.replicas(sc)] == [(await read.server_state(r)).server_uuid]
        stored = (await run(r, "SELECT User_password FROM mysql.slave_master_info")).scalar()
        assert stored == ""
        assert not await read.wait_for_gtids(r, GtidSet.parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1"), 1)


@pytest.mark.parametrize("why", ["another subject", "another issuer", "no certificate", "relaxed"])
async def test_the_account_takes_one_certificate(planet: World, why: str) -> None:
    source, replica = [await bootstrapped(planet, name) for name in ("source", "replica")]
    if why == "another issuer":
        # Same subject, signed by a second CA that the server trusts too.
        second = Authority("other-ca")
        planet.write(second.issue("db-replication", o="shop", server=False), "other")
        planet.ca_file.write_bytes(planet.ca.pem + second.pem)
        source.query("ALTER INSTANCE RELOAD TLS")
    else:
        planet.write(planet.ca.issue("db-replicatio", o="shop", server=False), "other")
    async with await connect(control(replica)) as r, await connect(control(source)) as sc:
        other = planet.source(source, identity="other")
        if why == "no certificate":
            other = Source(other.host, other.port, ca=other.ca, cert="", key="")
        if why == "relaxed":
            for statement in internal.statements((internal.replication(VERSION, None),)):
                await sc.execute(statement)
        await follow(r, other)
        if why == "relaxed":
            await until(r, RECEIVER, "ON")
            return
        await until(r, IO_ERROR, 1045)
        state = await replication(r)
        assert state.io_connecting
        assert not state.io_running
        assert state.lag_seconds is None
        assert (state.errno, "denied" in state.error) == (1045, True)


async def test_the_sources_name_is_verified(planet: World) -> None:
    source, replica = [await bootstrapped(planet, name) for name in ("source", "replica")]
    wrong = planet.write(planet.server_leaf("source", "127.0.0.2"), "wrong-name")
    async with await connect(control(source)) as sc:
        await run(sc, f"SET GLOBAL ssl_cert='{wrong}/tls.crt', GLOBAL ssl_key='{wrong}/tls.key'")
        await sc.execute(statements.reload_tls())
    async with await connect(control(replica)) as r:
        await follow(r, planet.source(source))
        await until(r, IO_ERROR, 2026)
        assert "certificate" in (await replication(r)).error


async def test_repointing_keeps_what_was_received(planet: World) -> None:
    first, second, replica = [await bootstrapped(planet, name) for name in ("first", "second", "replica")]
    async with await logged(first) as f, await connect(control(second)) as s, await connect(control(replica)) as r:
        await run(f, f"CREATE TABLE {SCHEMA}.t (a INT PRIMARY KEY)", f"INSERT INTO {SCHEMA}.t VALUES (0)")
        for follower in (s, r):
            await follow(follower, planet.source(first))
            assert await read.wait_for_gtids(follower, await executed(f), 20)
        # The applier waits behind a lock, so received transactions stay unapplied.
        async with await connect(local(replica, "root", Secret(replica.root_password))) as holder:
            await run(holder, "SET SESSION max_execution_time=0", f"LOCK TABLES {SCHEMA}.t READ")
            for number in range(1, 4):
                await run(f, f"INSERT INTO {SCHEMA}.t VALUES ({number})")
            received = await executed(f)
            assert await read.wait_for_gtids(s, received, 20)
            while (await replication(r)).retrieved != received:
                await run(r, "DO SLEEP(0.02)")
            first.kill()
            await r.execute(statements.stop_receiver())
            await r.execute(statements.repoint_source(VERSION, planet.source(second)))
            await r.execute(statements.start_replica())
            await until(r, RECEIVER, "ON")
            assert (await replication(r)).retrieved.contains(received)
            assert (await run(r, APPLIED)).scalar() == 1
            second.kill()  # nothing of it could be fetched again
            await run(holder, "UNLOCK TABLES")
        assert await read.wait_for_gtids(r, received, 20)
        assert (await run(r, APPLIED)).scalar() == 4


async def test_received_transactions_survive_a_crash_of_the_replica(planet: World) -> None:
    source, replica = [await bootstrapped(planet, name) for name in ("source", "replica")]
    async with await logged(source) as s:
        await run(s, f"CREATE TABLE {SCHEMA}.t (a INT PRIMARY KEY)", f"INSERT INTO {SCHEMA}.t VALUES (0)")
        async with await connect(control(replica)) as r:
            await follow(r, planet.source(source))
            assert await read.wait_for_gtids(r, await executed(s), 20)
            await run(r, "STOP REPLICA SQL_THREAD")
            await run(s, f"INSERT INTO {SCHEMA}.t VALUES (1)")
            received = await executed(s)
            while (await replication(r)).retrieved != received:
                await run(r, "DO SLEEP(0.02)")
    source.kill()
    replica.kill()
    replica.start()
    async with await connect(control(replica)) as r:
        state = await replication(r)
        assert not state.io_running and not state.sql_running
        assert state.retrieved == received
        await r.execute(statements.start_applier())
        assert await read.wait_for_gtids(r, received, 20)
        await r.execute(statements.stop_replica())
        await r.execute(statements.reset_replica_all())
        assert await read.replication_state(r) == read.NotConfigured()


async def test_a_broken_applier_tells_the_workers_error(planet: World) -> None:
    source, replica = [await bootstrapped(planet, name) for name in ("source", "replica")]
    async with await logged(source) as s, await connect(control(replica)) as r:
        await run(r, f"CREATE TABLE {SCHEMA}.t (a INT PRIMARY KEY)", f"INSERT INTO {SCHEMA}.t VALUES (1)")
        await run(s, f"CREATE TABLE IF NOT EXISTS {SCHEMA}.t (a INT PRIMARY KEY)")
        await follow(r, planet.source(source))
        await run(s, f"INSERT INTO {SCHEMA}.t VALUES (1)")
        await until(
            r, "SELECT SERVICE_STATE FROM performance_schema.replication_applier_status WHERE CHANNEL_NAME=''", "OFF"
        )
        state = await replication(r)
        assert state.sql_errno == 1062
        assert "Duplicate entry" in state.error
        assert state.lag_seconds is None
