"""What each step of closing and opening does, and what a closed server still does for its replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cnmysql.errors import Forbidden, SqlError, Unreachable
from cnmysql.log import Secret
from cnmysql.mysql import read, read_accounts, read_threads, statements
from cnmysql.mysql.conn import Connection, ConnectParams, connect
from cnmysql.mysql.sql import Statement
from tests.mysql.servers import (
    APP,
    REMOTE,
    SCHEMA,
    World,
    bootstrapped,
    control,
    follow,
    local,
    over_tcp,
    replication,
    run,
    until,
)
from tests.support.mysqld import Mysqld

OFFLINE = 3032
READ_ONLY = 1290
LOCK_WAIT_TIMEOUT = 1205
NO_SUCH_THREAD = 1094


@pytest.fixture
async def server(planet: World) -> Mysqld:
    server = await bootstrapped(planet, "closing", remote_root=True)
    async with await connect(control(server)) as c:
        await run(c, f"CREATE TABLE {SCHEMA}.t (a INT PRIMARY KEY)")
    return server


@pytest.fixture
async def ctl(server: Mysqld) -> AsyncIterator[Connection]:
    async with await connect(control(server)) as c:
        yield c


async def close(ctl: Connection) -> None:
    """The order of closing: refuse, kill until nobody is left, then read only."""
    await ctl.execute(statements.offline_mode(True))
    async with asyncio.timeout(10):
        while left := [t for t in await read_threads.client_threads(ctl) if not t.killed]:
            for thread in left:
                try:
                    await ctl.execute(statements.kill(thread.id))
                except SqlError as error:
                    assert error.code == NO_SUCH_THREAD
    await ctl.execute(statements.super_read_only(True))


async def open_(ctl: Connection) -> None:
    await ctl.execute(statements.super_read_only(False))
    await ctl.execute(statements.read_only(False))
    await ctl.execute(statements.offline_mode(False))


async def test_a_closed_server_has_no_client_and_takes_none(server: Mysqld, ctl: Connection) -> None:
    root = await connect(over_tcp(server, "root", REMOTE))
    idle = await connect(over_tcp(server, "app", APP))
    writing = await connect(over_tcp(server, "app", APP))
    await run(writing, "START TRANSACTION", f"INSERT INTO {SCHEMA}.t VALUES (1)")
    busy = asyncio.create_task(run(idle, f"SELECT SLEEP(30) FROM {SCHEMA}.t RIGHT JOIN (SELECT 1) x ON 1=1"))
    assert {t.user for t in await read_threads.client_threads(ctl)} == {"app", "root"}
    assert 1 in {t.rows_modified for t in await read.active_transactions(ctl)}
    assert await read.active_transactions(ctl, older_than=60) == ()

    await close(ctl)

    for session in (root, writing):
        with pytest.raises(Unreachable):
            await session.ping()
    with pytest.raises((Unreachable, SqlError)):
        await busy
    for user, password in (("root", REMOTE), ("app", APP)):
        with pytest.raises(SqlError) as refused:
            await connect(over_tcp(server, user, password))
        assert refused.value.code == OFFLINE
    # Our own session and the local administrators still get in.
    async with await connect(control(server)) as again:
        state = await read.server_state(again)
    assert (state.offline_mode, state.super_read_only, state.read_only) == (True, True, True)
    assert [t for t in await read_threads.client_threads(ctl) if not t.killed] == []
    assert (await run(ctl, f"SELECT COUNT(*) FROM {SCHEMA}.t")).scalar() == 0

    await open_(ctl)
    state = await read.server_state(ctl)
    assert (state.offline_mode, state.super_read_only, state.read_only) == (False, False, False)
    async with await connect(over_tcp(server, "app", APP)) as session:
        await run(session, f"INSERT INTO {SCHEMA}.t VALUES (2)")


async def test_read_only_alone_does_not_close(server: Mysqld, ctl: Connection) -> None:
    async with await connect(over_tcp(server, "app", APP)) as app:
        await run(app, "XA START 'x'", f"INSERT INTO {SCHEMA}.t VALUES (1)", "XA END 'x'", "XA PREPARE 'x'")
        await ctl.execute(statements.super_read_only(True))
        with pytest.raises(SqlError) as refused:
            await run(app, f"INSERT INTO {SCHEMA}.t VALUES (2)")
        assert refused.value.code == READ_ONLY
        before = (await read.server_state(ctl)).gtid_executed
        await run(app, "XA COMMIT 'x'")
        assert (await read.server_state(ctl)).gtid_executed != before
    assert (await run(ctl, f"SELECT COUNT(*) FROM {SCHEMA}.t")).scalar() == 1


async def test_a_prepared_branch_cannot_be_committed_on_a_closed_server(server: Mysqld, ctl: Connection) -> None:
    app = await connect(over_tcp(server, "app", APP))
    await run(app, "XA START 'x'", f"INSERT INTO {SCHEMA}.t VALUES (1)", "XA END 'x'", "XA PREPARE 'x'")
    await close(ctl)
    before = (await read.server_state(ctl)).gtid_executed
    with pytest.raises(Unreachable):
        await run(app, "XA COMMIT 'x'")
    for user, password in (("root", REMOTE), ("app", APP)):
        with pytest.raises((SqlError, Forbidden)):
            await connect(over_tcp(server, user, password))
    assert (await read.server_state(ctl)).gtid_executed == before
    assert (await run(ctl, "XA RECOVER")).rows != ()


async def test_read_only_waits_for_a_writer_and_gives_up_in_time(server: Mysqld) -> None:
    params = control(server)
    short = ConnectParams(params.user, params.password, socket=params.socket, lock_wait_seconds=1)
    async with await connect(over_tcp(server, "app", APP)) as app, await connect(short) as ctl:
        await run(app, f"LOCK TABLES {SCHEMA}.t WRITE")
        began = asyncio.get_running_loop().time()
        with pytest.raises(SqlError) as waited:
            await ctl.execute(statements.super_read_only(True))
        assert waited.value.code == LOCK_WAIT_TIMEOUT
        assert asyncio.get_running_loop().time() - began < 3
        assert not (await read.server_state(ctl)).super_read_only


async def test_a_running_event_is_a_client(server: Mysqld, ctl: Connection) -> None:
    async with await connect(over_tcp(server, "app", APP)) as app:
        await run(app, f"CREATE EVENT {SCHEMA}.e ON SCHEDULE EVERY 1 SECOND DO INSERT INTO {SCHEMA}.t SELECT SLEEP(30)")
    async with asyncio.timeout(20):
        while [t.user for t in await read_threads.client_threads(ctl)] != ["app"]:
            await run(ctl, "DO SLEEP(0.05)")
    await close(ctl)
    final = (await read.server_state(ctl)).gtid_executed
    await run(ctl, "DO SLEEP(2.5)")  # events come due and start, and write nothing
    assert (await read.server_state(ctl)).gtid_executed == final


async def test_replicas_fetch_the_tail_of_a_closed_server(planet: World, server: Mysqld, ctl: Connection) -> None:
    replica = await bootstrapped(planet, "replica")
    writer_params = local(server, "root", Secret(server.root_password))
    async with await connect(control(replica)) as r, await connect(writer_params) as writer:
        await run(r, f"CREATE TABLE {SCHEMA}.t (a INT PRIMARY KEY)")
        await follow(r, planet.source(server))
        await run(writer, f"INSERT INTO {SCHEMA}.t VALUES (1)")
        assert await read.wait_for_gtids(r, (await read.server_state(writer)).gtid_executed, 20)
        # The tail is written while the replica does not listen, then the server closes.
        await r.execute(statements.stop_receiver())
        await run(writer, f"INSERT INTO {SCHEMA}.t VALUES (2)")
        await close(ctl)
        final = (await read.server_state(ctl)).gtid_executed
        await r.execute(statements.start_receiver())
        assert await read.wait_for_gtids(r, final, 20)
        assert (await replication(r)).io_running
        # A stream that was running when the server closed runs on.
        await open_(ctl)
        (dump,) = await read_threads.dump_threads(ctl)
        await close(ctl)
        assert [t.id for t in await read_threads.dump_threads(ctl)] == [dump.id]
        await until(r, "SELECT SERVICE_STATE FROM performance_schema.replication_connection_status", "ON")


async def test_accounts_that_defeat_closing_are_named(server: Mysqld, ctl: Connection) -> None:
    assert await read_accounts.bypassing_accounts(ctl) == ()
    await run(
        ctl,
        "CREATE USER direct@'%', super@'10.%', local@'localhost'",
        "CREATE USER locked@'%' ACCOUNT LOCK",
        "GRANT CONNECTION_ADMIN ON *.* TO direct@'%', local@'localhost', locked@'%'",
        "GRANT SUPER ON *.* TO super@'10.%'",
        "CREATE ROLE one, two",
        "GRANT CONNECTION_ADMIN ON *.* TO one",
        "GRANT one TO two",
        "CREATE USER holder@'%'",
        "GRANT two TO holder@'%'",
    )
    assert await read_accounts.bypassing_accounts(ctl) == ("direct@%", "holder@%", "super@10.%")
    await run(ctl, "SET GLOBAL mandatory_roles='`two`@`%`'")
    assert "*@*" in await read_accounts.bypassing_accounts(ctl)


async def test_such_an_account_really_gets_in(server: Mysqld, ctl: Connection) -> None:
    await run(ctl, "CREATE USER direct@'%' IDENTIFIED BY 'pw'", "GRANT CONNECTION_ADMIN ON *.* TO direct@'%'")
    await close(ctl)
    async with await connect(over_tcp(server, "direct", Secret("pw"))) as session:
        await session.ping()


async def test_threads_without_performance_schema(planet: World) -> None:
    # The list must not depend on a schema that can be switched off or too small.
    server = planet.create("blind", "--performance-schema=OFF")
    async with await connect(local(server, "root", Secret(""))) as c:
        other = await connect(local(server, "root", Secret("")))
        assert [t.id for t in await read_threads.client_threads(c)] == [other.thread_id]
        assert (await c.execute(Statement("SELECT COUNT(*) FROM performance_schema.processlist"))).scalar() == 0
        await other.close()


async def test_a_stop_after_closing_is_clean(server: Mysqld, ctl: Connection) -> None:
    await close(ctl)
    assert await asyncio.to_thread(server.stop) == 0


async def test_reloading_a_broken_certificate_keeps_the_old(planet: World, server: Mysqld, ctl: Connection) -> None:
    before = await read.server_state(ctl)
    assert before.tls_enabled
    await ctl.execute(statements.reload_tls())
    files = planet.directory / "closing-server"
    good = (files / "tls.crt").read_bytes()
    (files / "tls.crt").write_bytes(b"broken")
    with pytest.raises(SqlError) as refused:
        await ctl.execute(statements.reload_tls())
    assert refused.value.code == 3888
    assert (await read.server_state(ctl)).tls_not_after == before.tls_not_after
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    async with await connect(control(server)) as again:
        state = await read.server_state(again)
        logged = Statement("SELECT DATA FROM performance_schema.error_log WHERE PRIO='Error'")
        errors = [str(row[0]) for row in (await again.execute(logged)).rows]
    assert (state.tls_enabled, state.tls_not_after) == (False, None)
    assert any("certificate" in line for line in errors), errors
    (files / "tls.crt").write_bytes(good)
