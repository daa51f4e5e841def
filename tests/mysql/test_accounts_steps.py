"""A change of the control password that ends between any two of its statements, on a real server."""

from __future__ import annotations

import asyncio

import pytest

from cnmysql.errors import Forbidden
from cnmysql.log import Secret
from cnmysql.mysql import internal, read, read_accounts
from cnmysql.mysql.conn import Connection, connect
from cnmysql.mysql.internal import Passwords
from instance.accounts import start
from instance.accounts.plan import OUR_NAMES, Seen, Send, Wanted, plan
from instance.mysqld import BOOT_CLOSED
from tests.mysql.servers import BACKUP, CONTROL, VERSION, World, bootstrapped, local
from tests.support.mysqld import Mysqld

NEW = Secret("the-new-password")


def wanted(planet: World, control: Secret) -> Wanted:
    return Wanted(internal.table(VERSION, Passwords(control, BACKUP), planet.identity))


async def seen(c: Connection) -> Seen:
    return Seen(VERSION, False, await read_accounts.privileges(c), await read_accounts.accounts(c, OUR_NAMES))


async def logs_in(server: Mysqld, password: Secret) -> bool:
    try:
        async with await connect(local(server, "cnmysql_control", password)):
            return True
    except Forbidden:
        return False


async def converge(server: Mysqld, planet: World, control: Secret) -> None:
    """Carry out what is left, by whichever password works."""
    for password in (CONTROL, NEW):
        if not await logs_in(server, password):
            continue
        async with await connect(local(server, "cnmysql_control", password, unlogged=True)) as c:
            for step in plan(wanted(planet, control), await seen(c)).steps:
                for statement in step.statements if isinstance(step, Send) else ():
                    await c.execute(statement)
            assert plan(wanted(planet, control), await seen(c)).steps == ()
            return
    raise AssertionError("nobody can log in")


async def test_one_of_the_two_passwords_lets_us_in_wherever_it_ends_and_the_rest_is_done(planet: World) -> None:
    server = await bootstrapped(planet, "steps")
    count = 1
    done = 0
    while done < count:
        await converge(server, planet, CONTROL)
        assert await logs_in(server, CONTROL) and not await logs_in(server, NEW)
        async with await connect(local(server, "cnmysql_control", CONTROL, unlogged=True)) as c:
            steps = plan(wanted(planet, NEW), await seen(c)).steps
            statements = [s for step in steps if isinstance(step, Send) for s in step.statements]
            count = len(statements) + 1
            for statement in statements[:done]:
                await c.execute(statement)
        assert await logs_in(server, CONTROL) or await logs_in(server, NEW)
        await converge(server, planet, NEW)
        assert await logs_in(server, NEW) and not await logs_in(server, CONTROL)
        done += 1
    assert count == 4, "retain, discard, metrics"
    async with await connect(local(server, "cnmysql_control", NEW)) as c:
        assert (await read.server_state(c)).gtid_executed.is_empty


@pytest.mark.parametrize("done", [0, 1, 2])
async def test_a_start_sets_the_account_wherever_it_ended(planet: World, done: int) -> None:
    """The statements given to a start of mysqld, under the very options that it boots closed with."""
    server = await bootstrapped(planet, "start")
    async with await connect(local(server, "cnmysql_control", CONTROL, unlogged=True)) as c:
        steps = plan(wanted(planet, NEW), await seen(c)).steps
        for statement in [s for step in steps if isinstance(step, Send) for s in step.statements][:done]:
            await c.execute(statement)
    server.kill()
    file = server.home / "first.sql"
    file.write_text("".join(f"{text};\n" for text in start.statements(NEW)))
    await asyncio.to_thread(server.start, *BOOT_CLOSED, f"--init-file={file}")
    assert await logs_in(server, NEW) and not await logs_in(server, CONTROL)
    assert NEW.reveal() not in file.read_text()
    async with await connect(local(server, "cnmysql_control", NEW)) as c:
        state = await read.server_state(c)
        assert state.gtid_executed.is_empty and state.super_read_only and state.offline_mode
        left = plan(wanted(planet, NEW), await seen(c)).steps
        assert [step.what for step in left if isinstance(step, Send)] == ["cnmysql_metrics: new password"]


async def test_a_start_makes_the_account_where_there_is_none(planet: World) -> None:
    server = planet.create("none", "--skip-name-resolve")
    server.kill()
    file = server.home / "first.sql"
    file.write_text("".join(f"{text};\n" for text in start.statements(NEW)))
    await asyncio.to_thread(server.start, *BOOT_CLOSED, f"--init-file={file}")
    assert await logs_in(server, NEW)
    async with await connect(local(server, "cnmysql_control", NEW)) as c:
        held = (await seen(c)).accounts
        assert {a.host for a in held} == set(internal.LOCAL_HOSTS) and all(a.grant_option for a in held)
