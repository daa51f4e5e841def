"""The door to mysqld: bounds, cancellation, TLS, session rules and what its errors tell."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import ssl
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from cnmysql.errors import Forbidden, SqlError, Unreachable
from cnmysql.log import Secret
from cnmysql.mysql import conn, digest, statements
from cnmysql.mysql.conn import Connection, ConnectParams, connect
from cnmysql.mysql.sql import Statement, quote_secret
from tests.mysql.servers import World, local, over_tcp, run, until
from tests.support.certs import Authority
from tests.support.mysqld import Mysqld
from tests.support.ports import free_port

NOBODY = Secret("")
PASSWORD = Secret("it's \\ hard")


@pytest.fixture(scope="module")
def server(module_planet: World) -> Mysqld:
    server = module_planet.create("conn", "--skip-name-resolve")
    server.query("CREATE USER tcp@'%' IDENTIFIED BY 'it''s \\\\ hard'")
    server.query("CREATE USER x@'%' IDENTIFIED BY 'pw' REQUIRE X509")
    return server


@pytest.fixture
async def session(server: Mysqld) -> AsyncIterator[Connection]:
    async with await connect(local(server, "root", NOBODY, unlogged=True)) as found:
        yield found


@contextmanager
def frozen(server: Mysqld) -> Iterator[None]:
    """The process stopped: the kernel accepts connections, nobody answers."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_a_session_has_our_rules(session: Connection) -> None:
    row = (
        await run(
            session,
            "SELECT @@sql_mode, @@time_zone, @@autocommit, @@lock_wait_timeout, @@max_execution_time, @@sql_log_bin, "
            "@@character_set_client, CONNECTION_ID()",
        )
    ).rows[0]
    assert row == ("STRICT_ALL_TABLES", "+00:00", 1, 5, 5000, 0, "utf8mb4", session.thread_id)
    assert session.server_version.startswith("9.7.")
    assert session.alive
    assert not session.encrypted


async def test_results(session: Connection) -> None:
    result = await run(session, "SELECT 1 AS a, 'x%sü' AS b UNION SELECT 2, NULL")
    assert result.columns == ("a", "b")
    assert result.rows == ((1, "x%sü"), (2, None))
    assert result.dicts()[0] == {"a": 1, "b": "x%sü"}
    assert result.scalar() == 1
    nothing = await run(session, "DO 1")
    assert (nothing.rows, nothing.columns) == ((), ())
    with pytest.raises(LookupError):
        nothing.scalar()


async def test_what_an_unlogged_session_writes_has_no_gtid(session: Connection) -> None:
    before = (await run(session, "SELECT @@GLOBAL.gtid_executed")).scalar()
    await run(session, "CREATE DATABASE IF NOT EXISTS unlogged", "CREATE TABLE unlogged.t (a INT)")
    await run(session, "DROP DATABASE unlogged")
    assert (await run(session, "SELECT @@GLOBAL.gtid_executed")).scalar() == before


async def test_a_secret_is_in_no_log_of_the_server_and_the_next_statement_is(module_planet: World) -> None:
    logs = ("--general-log=ON", "--slow-query-log=ON", "--long-query-time=0", "--log-output=FILE")
    server = module_planet.create("logs", *logs)
    stored = Secret(digest.make(PASSWORD, "0123456789abcdefghij"))
    made = Statement(f"CREATE USER kept@'%' IDENTIFIED WITH caching_sha2_password AS {quote_secret(stored)}", (stored,))
    async with await connect(local(server, "root", NOBODY)) as session:
        await session.execute(made)
        with pytest.raises(SqlError, match="1396"):
            await session.execute(made)
        await session.execute(Statement("DO 'told again'"))
    for option in ("general_log_file", "slow_query_log_file"):
        text = (server.datadir / server.query(f"SELECT @@{option}")[0][0]).read_text()
        assert stored.reveal() not in text, option
        assert "DO 'told again'" in text, option


async def test_one_statement_per_call(session: Connection) -> None:
    with pytest.raises(SqlError) as refused:
        await run(session, "DO 1; CREATE DATABASE second")
    assert refused.value.code == 1064
    assert (await run(session, "SHOW DATABASES LIKE 'second'")).rows == ()


async def test_notes_are_counted_not_raised(session: Connection) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = await run(session, "DROP DATABASE IF EXISTS not_there")
    assert result.warnings == 1


async def test_every_result_of_a_procedure_is_read(session: Connection) -> None:
    await run(
        session,
        "CREATE DATABASE IF NOT EXISTS proc",
        "CREATE PROCEDURE proc.two() BEGIN SELECT 1; SELECT 2; END",
    )
    assert (await run(session, "CALL proc.two()")).rows == ((1,),)
    assert (await run(session, "SELECT 3")).scalar() == 3
    await run(session, "DROP DATABASE proc")


async def test_errors_carry_the_code_and_never_the_statement(session: Connection) -> None:
    with pytest.raises(SqlError) as syntax:
        await run(session, "CREATE USER x IDENTIFIED BY 'hunter22' NONSENSE")
    assert syntax.value.code == 1064
    assert "hunter22" not in str(syntax.value)
    password = Secret("hunter22")
    with pytest.raises(SqlError) as missing:
        await session.execute(Statement("ALTER USER hunter22@x IDENTIFIED BY 'hunter22'", (password,)))
    assert missing.value.code == 1396
    assert "hunter22" not in str(missing.value)
    assert session.alive


async def test_a_statement_is_bounded_and_the_session_closed(server: Mysqld) -> None:
    session = await connect(local(server, "root", NOBODY))
    with frozen(server):
        with pytest.raises(Unreachable, match=r"within 0.2 s"):
            await session.ping(timeout=0.2)
        assert not session.alive
        await session.close()
    with pytest.raises(Unreachable, match="is closed"):
        await session.ping()


@pytest.mark.parametrize("tcp", [False, True])
async def test_connecting_to_a_hung_server_is_bounded(server: Mysqld, tcp: bool) -> None:
    params = over_tcp(server, "tcp", NOBODY) if tcp else local(server, "root", NOBODY)
    with frozen(server), pytest.raises(Unreachable, match="within"):
        await connect(params, timeout=0.3)


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("at", [0.0, 0.0005, 0.001, 0.002, 0.004, 0.008])
async def test_a_cancelled_connect_leaves_no_socket(server: Mysqld, at: float, tcp: bool) -> None:
    params = over_tcp(server, "tcp", PASSWORD) if tcp else local(server, "root", NOBODY)
    before = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10):
            task = asyncio.create_task(connect(params))
            await asyncio.sleep(at)
            task.cancel()
            try:
                (await task).abort()
            except asyncio.CancelledError:
                pass
        async with asyncio.timeout(5):
            # The loop closes sockets one round later, and nothing tells when.
            while len(os.listdir("/proc/self/fd")) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gc.collect()


async def test_cancelling_a_statement_closes_and_names_the_thread_to_kill(server: Mysqld, session: Connection) -> None:
    other = await connect(local(server, "root", NOBODY))
    task = asyncio.create_task(run(other, "DO SLEEP(60)"))
    listed = f"SELECT COUNT(*) FROM performance_schema.processlist WHERE ID={other.thread_id} AND INFO LIKE '%SLEEP%'"
    await until(session, listed, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not other.alive
    await session.execute(statements.kill(other.thread_id))
    await until(session, listed, 0)


async def test_statements_of_two_tasks_take_turns(session: Connection) -> None:
    results = await asyncio.gather(*(run(session, f"SELECT {n}, SLEEP(0.01)") for n in range(8)))
    assert [result.scalar() for result in results] == list(range(8))


async def test_a_killed_session_is_unreachable(server: Mysqld, session: Connection) -> None:
    other = await connect(local(server, "root", NOBODY))
    await session.execute(statements.kill(other.thread_id))
    with pytest.raises(Unreachable):
        async with asyncio.timeout(5):
            while True:
                await other.ping()
    assert not other.alive


async def test_nobody_listens(tmp_path: os.PathLike[str]) -> None:
    for params in (
        ConnectParams("root", NOBODY, socket=f"{tmp_path}/none.sock"),
        ConnectParams("root", NOBODY, host="127.0.0.1", port=free_port()),
    ):
        with pytest.raises(Unreachable):
            await connect(params)


async def test_a_peer_that_speaks_something_else_is_unreachable() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x05\x00\x00\x00hello" + b"x" * 50)
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable):
            await connect(ConnectParams("root", NOBODY, host="127.0.0.1", port=port))


async def test_a_refused_login_is_forbidden_and_shows_no_password(server: Mysqld) -> None:
    with pytest.raises(Forbidden, match="refused the login") as refused:
        await connect(over_tcp(server, "tcp", Secret("hunter22")))
    assert "hunter22" not in str(refused.value)


async def test_full_login_works_on_every_way_in(server: Mysqld, module_planet: World) -> None:
    checked = ssl.create_default_context(cadata=module_planet.ca.pem.decode())
    for host, tls, encrypted in (("localhost", None, False), ("localhost", checked, True), ("127.0.0.1", None, True)):
        server.query("FLUSH PRIVILEGES")  # empties the cache of the quick login
        async with await connect(ConnectParams("tcp", PASSWORD, host=host, port=server.port, tls=tls)) as session:
            assert session.encrypted is encrypted


async def test_loopback_gets_in_where_the_user_requires_tls(server: Mysqld) -> None:
    server.query("SET GLOBAL require_secure_transport=ON")
    try:
        async with await connect(over_tcp(server, "tcp", PASSWORD)) as session:
            assert session.encrypted
        with pytest.raises(SqlError) as refused:
            await connect(ConnectParams("tcp", PASSWORD, host="localhost", port=server.port))
        assert refused.value.code == 3159
    finally:
        server.query("SET GLOBAL require_secure_transport=OFF")


async def test_tls_names_and_certificates(server: Mysqld, module_planet: World) -> None:
    client = module_planet.directory / "replication"
    context = ssl.create_default_context(cadata=module_planet.ca.pem.decode())
    params = ConnectParams("x", Secret("pw"), host="localhost", port=server.port, tls=context)
    with pytest.raises(Forbidden):
        await connect(params)
    context.load_cert_chain(client / "tls.crt", client / "tls.key")
    async with await connect(params) as session:
        assert (await run(session, "SELECT 1")).scalar() == 1
    stranger = ssl.create_default_context(cadata=Authority("other").pem.decode())
    with pytest.raises(Unreachable, match="TLS: "):
        await connect(ConnectParams("x", Secret("pw"), host="localhost", port=server.port, tls=stranger))


async def test_a_server_without_tls_gets_no_login_when_tls_is_wanted(module_planet: World) -> None:
    plain = module_planet.factory.create("plain", options=["--tls-version="])
    plain.query("CREATE USER root@'%'")
    context = ssl.create_default_context(cadata=module_planet.ca.pem.decode())
    params = ConnectParams("root", NOBODY, host="localhost", port=plain.port, tls=context)
    with pytest.raises(Forbidden, match="offers no TLS"):
        await connect(params)
    async with await connect(over_tcp(plain, "root", NOBODY)) as session:
        assert not session.encrypted


async def test_a_full_server_says_so_and_the_admin_port_still_opens(module_planet: World) -> None:
    port = free_port()
    server = module_planet.create("full", "--max-connections=1", f"--admin-port={port}")
    server.query("CREATE USER app@'localhost'")
    server.query("CREATE USER admin@'127.0.0.1' IDENTIFIED BY 'pw'")
    server.query("GRANT SERVICE_CONNECTION_ADMIN ON *.* TO admin@'127.0.0.1'")
    first = await connect(local(server, "app", NOBODY))
    with pytest.raises(SqlError) as full:
        await connect(local(server, "app", NOBODY))
    assert full.value.code == 1040
    async with await connect(ConnectParams("admin", Secret("pw"), host="127.0.0.1", port=port)) as admin:
        await admin.ping()
    await first.close()


async def test_reading_a_hung_socket_is_not_needed_to_close(server: Mysqld) -> None:
    session = await connect(local(server, "root", NOBODY))
    with frozen(server):
        async with asyncio.timeout(conn.CLOSE_SECONDS + 1):
            await session.close()


def test_params_name_one_way_in() -> None:
    with pytest.raises(ValueError, match="either"):
        ConnectParams("root", NOBODY)
    with pytest.raises(ValueError, match="either"):
        ConnectParams("root", NOBODY, socket="/s", host="h")
