"""What our accounts can and cannot do, tried as each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pymysql
import pytest

from cnmysql.errors import Forbidden, SqlError
from cnmysql.log import Secret
from cnmysql.mysql import accounts, digest, internal, read, read_accounts
from cnmysql.mysql.conn import Connection, connect
from cnmysql.mysql.internal import Passwords
from instance.accounts.plan import Seen, Wanted, plan
from tests.mysql.remote_root import MAY, MUST_NOT
from tests.mysql.servers import (
    APP,
    BACKUP,
    CONTROL,
    REMOTE,
    ROOT,
    SCHEMA,
    VERSION,
    World,
    bootstrapped,
    control,
    local,
    over_tcp,
    run,
)
from tests.support.mysqld import Mysqld

DENIED = {1044, 1045, 1095, 1142, 1227, 1370, 1419, 1465, 1698}


@pytest.fixture(scope="module", params=[False, True], ids=["grants", "partial_revokes"])
def server(request: pytest.FixtureRequest, module_planet: World) -> Mysqld:
    return asyncio.run(_server(module_planet, partial_revokes=request.param))


async def _server(planet: World, *, partial_revokes: bool) -> Mysqld:
    name = f"accounts{partial_revokes:d}"
    server = await bootstrapped(planet, name, remote_root=True, partial_revokes=partial_revokes)
    async with await connect(control(server)) as c:
        await run(c, "CREATE DATABASE other", "CREATE TABLE other.t (a INT)", f"CREATE TABLE {SCHEMA}.t (a INT)")
        await run(c, "CREATE DATABASE myXapp", "CREATE TABLE myXapp.t (a INT)")
        await run(c, "CREATE USER victim@'%' IDENTIFIED BY 'pw'", "CREATE ROLE strong", "GRANT SUPER ON *.* TO strong")
    return server


@pytest.fixture
async def remote(server: Mysqld) -> AsyncIterator[Connection]:
    async with await connect(over_tcp(server, "root", REMOTE)) as found:
        yield found


@pytest.fixture
async def owner(server: Mysqld) -> AsyncIterator[Connection]:
    async with await connect(over_tcp(server, "app", APP)) as found:
        yield found


async def refused(c: Connection, text: str) -> bool:
    """True when the server denies the statement for want of a privilege; any other outcome is the caller's."""
    try:
        await run(c, text)
    except SqlError as error:
        assert error.code in DENIED, f"{text}: {error}"
        return True
    return False


async def test_bootstrapping_leaves_no_gtid(server: Mysqld) -> None:
    # The fixture's own objects came later, by an unlogged session too.
    async with await connect(control(server)) as c:
        assert (await read.server_state(c)).gtid_executed.is_empty


async def test_bootstrapping_again_changes_nothing_and_heals(server: Mysqld, module_planet: World) -> None:
    b = module_planet.bootstrap(remote_root=True, partial_revokes=bool(server.query("SELECT @@partial_revokes")[0][0]))
    async with await connect(control(server)) as c:
        before = await _everything(c)
        await run(c, "ALTER USER app@'%' IDENTIFIED BY 'wrong' ACCOUNT LOCK", "GRANT INSERT ON other.* TO root@'%'")
        for statement in (*accounts.internal_accounts(b), *accounts.application(b), *accounts.final(b)):
            await c.execute(statement)
        assert await _everything(c) == before
    async with await connect(over_tcp(server, "app", APP)) as c:
        await c.ping()


async def _everything(c: Connection) -> list[tuple[object, ...]]:
    grants = []
    for user, host in (await run(c, "SELECT User, Host FROM mysql.user ORDER BY 1, 2")).rows:
        grants += sorted((await run(c, f"SHOW GRANTS FOR `{user}`@`{host}`")).rows)
    return grants


@pytest.mark.parametrize("user", ["cnmysql_control", "cnmysql_backup"])
async def test_administrators_cannot_log_in_over_the_network(server: Mysqld, user: str) -> None:
    # 127.0.0.1 is a way in for control; any other address is not, and backup has the socket only.
    async with await connect(control(server)) as c:
        hosts = {row[0] for row in (await run(c, f"SELECT Host FROM mysql.user WHERE User='{user}'")).rows}
    assert hosts <= set(internal.LOCAL_HOSTS)


async def test_local_accounts_log_in_with_their_passwords(server: Mysqld) -> None:
    for params in (
        local(server, "root", ROOT),
        local(server, "cnmysql_control", CONTROL, unlogged=True),
        local(server, "cnmysql_backup", BACKUP),
        over_tcp(server, "cnmysql_control", CONTROL),
    ):
        async with await connect(params) as c:
            await c.ping()
    for user in ("root", "cnmysql_repl", "cnmysql_backup"):
        with pytest.raises((Forbidden, SqlError)):
            await connect(over_tcp(server, user, Secret("")))


async def test_backup_reads_what_a_backup_needs(server: Mysqld) -> None:
    async with await connect(local(server, "cnmysql_backup", BACKUP)) as c:
        await run(c, "LOCK INSTANCE FOR BACKUP", "SELECT * FROM performance_schema.log_status", "UNLOCK INSTANCE")
        await run(c, "SELECT * FROM performance_schema.keyring_component_status", "FLUSH TABLES WITH READ LOCK")
        await run(c, "UNLOCK TABLES")
        for text in (
            "SELECT * FROM other.t", "SELECT * FROM mysql.user", "CREATE DATABASE x", "CREATE USER x", "SHUTDOWN",
            "SET GLOBAL super_read_only = OFF", "ALTER USER cnmysql_control@localhost ACCOUNT LOCK", "STOP REPLICA",
        ):  # fmt: skip
            assert await refused(c, text), text


BEYOND_REPLICATING = (
    "SELECT * FROM other.t",
    "SELECT * FROM mysql.user",
    f"DELETE FROM {SCHEMA}.t",
    "CREATE DATABASE x",
    "CREATE USER x",
    "GRANT ALL ON *.* TO cnmysql_repl",
    "ALTER USER cnmysql_control@localhost ACCOUNT LOCK",
    "SET GLOBAL super_read_only = OFF",
    "SET GLOBAL offline_mode = OFF",
    "SET GLOBAL max_connections = 5",
    "SET PERSIST max_connections = 5",
    "STOP REPLICA",
    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'elsewhere'",
    "RESET BINARY LOGS AND GTIDS",
    "PURGE BINARY LOGS BEFORE NOW()",
    "INSTALL PLUGIN x SONAME 'x.so'",
    "FLUSH TABLES",
    "RESTART",
    "SHUTDOWN",
)


@pytest.mark.parametrize("text", BEYOND_REPLICATING)
def test_replication_writes_reads_and_orders_nothing(server: Mysqld, module_planet: World, text: str) -> None:
    """What the replication certificate is worth to somebody who took it out of an instance."""
    files = module_planet.source(server)
    with (
        pymysql.connect(
            host=files.host, port=files.port, user="cnmysql_repl",
            ssl_ca=files.ca, ssl_cert=files.cert, ssl_key=files.key, ssl_verify_cert=True,
        ) as connection,
        connection.cursor() as cursor,
        pytest.raises(pymysql.err.MySQLError) as caught,
    ):  # fmt: skip
        cursor.execute(text)
    assert caught.value.args[0] in DENIED, caught.value


METRICS = internal.metrics_password(CONTROL)


async def test_metrics_reads_counters_and_nothing_else(server: Mysqld) -> None:
    async with await connect(local(server, "cnmysql_metrics", METRICS)) as c:
        await run(c, "SHOW GLOBAL STATUS", "SHOW REPLICA STATUS", "SHOW ENGINE INNODB STATUS", "SHOW PROCESSLIST")
        await run(c, "SELECT COUNT(*) FROM performance_schema.threads")
        for text in (
            "SELECT * FROM other.t", "SELECT * FROM mysql.user", "CREATE DATABASE x", "SET GLOBAL max_connections=5",
            "DELETE FROM performance_schema.setup_objects", "SHUTDOWN", "CREATE USER x", "FLUSH TABLES",
        ):  # fmt: skip
            assert await refused(c, text), text
    for params in (
        over_tcp(server, "cnmysql_metrics", METRICS),
        local(server, "cnmysql_metrics", Secret("")),
        local(server, "cnmysql_metrics", CONTROL),
    ):
        with pytest.raises((Forbidden, SqlError)):
            await connect(params)


async def test_a_policy_for_passwords_does_not_keep_our_accounts_from_being_made(module_planet: World) -> None:
    """Generated and derived passwords need not please validate_password; a user's may not either."""
    server = await bootstrapped(module_planet, "validate", "--skip-name-resolve")
    server.query("INSTALL COMPONENT 'file://component_validate_password'")
    server.query("SET GLOBAL validate_password.policy=STRONG, GLOBAL validate_password.length=60")
    b = module_planet.bootstrap()
    async with await connect(control(server)) as c:
        for statement in accounts.internal_accounts(b):
            await c.execute(statement)
        stored = digest.derived(Secret("short"), "app")
        await c.execute(accounts.set_password("app", "%", accounts.Stored(stored)))
    async with await connect(over_tcp(server, "app", Secret("short"))) as c:
        await c.ping()


async def test_what_is_read_of_accounts_is_what_was_made(server: Mysqld, module_planet: World) -> None:
    """On a server that has everything, the plan of the keeper is empty."""
    wanted = internal.table(VERSION, Passwords(CONTROL, BACKUP), module_planet.identity)
    async with await connect(control(server)) as c:
        seen = Seen(
            VERSION,
            False,
            await read_accounts.privileges(c),
            await read_accounts.accounts(c, tuple({account.user for account in wanted})),
        )
    assert plan(Wanted(wanted), seen).steps == ()


async def test_the_owner_has_its_schema_and_nothing_else(owner: Connection) -> None:
    await run(owner, f"CREATE TABLE {SCHEMA}.mine (a INT)", f"INSERT INTO {SCHEMA}.mine VALUES (1)")
    await run(owner, f"CREATE VIEW {SCHEMA}.v AS SELECT * FROM {SCHEMA}.mine", f"DROP VIEW {SCHEMA}.v")
    await run(owner, f"CREATE PROCEDURE {SCHEMA}.p() SELECT 1", f"CALL {SCHEMA}.p()", f"DROP PROCEDURE {SCHEMA}.p")
    await run(owner, f"DROP TABLE {SCHEMA}.mine")
    for text in (
        "SELECT * FROM other.t",
        "SELECT * FROM myXapp.t",
        "CREATE DATABASE x",
        "SELECT * FROM mysql.user",
        "CREATE USER x",
        f"GRANT SELECT ON {SCHEMA}.* TO victim@'%'",
        "SET GLOBAL max_connections=5",
        "SET SESSION sql_log_bin=0",
        "FLUSH TABLES",
        "SHUTDOWN",
        "SHOW REPLICA STATUS",
        "SHOW BINARY LOGS",
        "LOCK INSTANCE FOR BACKUP",
    ):
        assert await refused(owner, text), text


async def test_remote_root_administers_schemas_and_accounts(remote: Connection) -> None:
    for text in MAY:
        await run(remote, text)


@pytest.mark.parametrize("text", MUST_NOT)
async def test_remote_root_has_no_way_around(remote: Connection, text: str) -> None:
    try:
        await run(remote, text)
    except SqlError as error:
        # 3530: the role was not granted; 1290: switched off for everybody.
        assert error.code in DENIED | {3530, 1290}, f"{text}: {error}"
        return
    pytest.fail(f"root@% may {text}")


async def test_remote_root_cannot_kill_our_sessions(server: Mysqld, remote: Connection) -> None:
    async with await connect(control(server)) as c:
        assert await refused(remote, f"KILL {c.thread_id}")
        await c.ping()


async def test_nobody_of_ours_defeats_offline_mode_from_the_network(server: Mysqld) -> None:
    async with await connect(control(server)) as c:
        assert await read_accounts.bypassing_accounts(c) == ()


async def test_server_wide_policies_for_users_do_not_lock_us_out(module_planet: World) -> None:
    server = await bootstrapped(
        module_planet,
        "policies",
        "--max-user-connections=1",
        "--init-connect=SELECT nonsense",
        "--authentication-policy=sha256_password",
        "--default-password-lifetime=1",
        "--password-history=3",
        "--password-require-current=ON",
    )
    b = module_planet.bootstrap()
    async with await connect(control(server)) as c, await connect(control(server)) as again:
        await again.ping()
        for statement in (*accounts.internal_accounts(b), *accounts.application(b), *accounts.final(b)):
            await c.execute(statement)
        lifetimes = await run(c, "SELECT DISTINCT password_lifetime FROM mysql.user WHERE User NOT LIKE 'mysql.%'")
        assert lifetimes.rows == ((0,),)


async def test_dropping_remote_root(module_planet: World) -> None:
    server = await bootstrapped(module_planet, "drop", remote_root=True)
    async with await connect(local(server, "root", ROOT, unlogged=True)) as c:
        await c.execute(accounts.drop_remote_root())
        await c.ping()
    with pytest.raises((Forbidden, SqlError)):
        await connect(over_tcp(server, "root", REMOTE))


async def test_anonymous_accounts_are_found_and_removed(module_planet: World) -> None:
    server = module_planet.create("anonymous")
    async with await connect(local(server, "root", Secret(""), unlogged=True)) as c:
        await run(c, "CREATE USER ''@'localhost'", "CREATE USER ''@'%'")
        for host in await read_accounts.anonymous_hosts(c):
            await c.execute(accounts.drop_anonymous(host))
        assert await read_accounts.anonymous_hosts(c) == ()
        assert (await run(c, "SELECT COUNT(*) FROM mysql.user WHERE User=''")).scalar() == 0
