"""Quoting against the server, in every quoting mode a session can have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnmysql.errors import SqlError
from cnmysql.log import Secret
from cnmysql.mysql import accounts, digest, read_accounts
from cnmysql.mysql.conn import ConnectParams, connect
from cnmysql.mysql.sql import Statement, quote_account, quote_identifier, quote_schema_target, quote_string
from tests.support.mysqld import Mysqld, MysqldFactory

MODES = ("STRICT_ALL_TABLES", "STRICT_ALL_TABLES,ANSI_QUOTES", "STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES", "ANSI")
ACCESS_DENIED_TO_SCHEMA = 1044

# Everything a value could break out with, and everything else.
_nasty = st.text(st.sampled_from("'\"`\\;-#/*%_ \n\t\x1a\x08abé漢😀"), max_size=40)
_text = st.one_of(_nasty, st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=40))


@pytest.fixture(scope="module")
def server(module_factory: MysqldFactory) -> Mysqld:
    return module_factory.create("sql", options=["--skip-name-resolve"])


@pytest.fixture(scope="module")
def connections(server: Mysqld) -> Iterator[dict[str, Any]]:
    found = {mode: server.connect(charset="utf8mb4", sql_mode=mode) for mode in MODES}
    yield found
    for connection in found.values():
        connection.close()


def ask(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor


@settings(max_examples=300, deadline=None)
@given(value=_text)
@example(value="\\' OR 1=1 -- ")
@example(value="'; DROP DATABASE mysql; -- ")
@example(value="\\")
def test_a_string_is_one_value_in_every_mode(connections: dict[str, Any], value: str) -> None:
    for mode, connection in connections.items():
        cursor = ask(connection, f"SELECT {quote_string(value)}, 'end'")
        if "NO_BACKSLASH_ESCAPES" in mode:
            # Not our sessions' mode: the value keeps doubled backslashes, but it never ends early.
            assert cursor.fetchall() == ((value.replace("\\", "\\\\"), "end"),)
        else:
            assert cursor.fetchall() == ((value, "end"),)


@settings(max_examples=200, deadline=None)
@given(name=st.text(st.characters(max_codepoint=0xFFFF, blacklist_categories=["Cs"]), max_size=64))
@example(name="a`; DROP DATABASE mysql; -- ")
@example(name='a"b\\')
def test_an_identifier_is_one_name_in_every_mode(connections: dict[str, Any], name: str) -> None:
    try:
        quoted = quote_identifier(name)
    except ValueError:
        return
    for connection in connections.values():
        try:
            cursor = ask(connection, f"SELECT x.{quoted} FROM (SELECT 7 AS {quoted}) x")
        except pymysql.err.MySQLError as error:
            # Refused by the server as a name (a blank at its end of another alphabet), never read as something else.
            assert error.args[0] in (1166, 1054)
            continue
        assert cursor.fetchall() == ((7,),)


@pytest.mark.parametrize("user", ["o'x", "back\\slash", '"', "u%_", "é漢", "x" * 32, "; --"])
def test_accounts_are_made_under_their_name(server: Mysqld, connections: dict[str, Any], user: str) -> None:
    account = quote_account(user, "10.%")
    connection = connections["STRICT_ALL_TABLES"]
    ask(connection, f"CREATE USER {account}")
    assert server.query("SELECT User, Host FROM mysql.user WHERE Host='10.%'") == [(user, "10.%")]
    ask(connection, f"DROP USER {account}")


_password = _text.filter(lambda value: 0 < len(value.encode()) <= 256)


@settings(max_examples=60, deadline=None)
@given(password=_password)
@example(password="' IDENTIFIED BY 'x")
@example(password="\\")
@example(password="x" * 256)
def test_a_password_is_set_as_it_is_and_no_error_shows_it(server: Mysqld, password: str) -> None:
    asyncio.run(_set_and_used(server, Secret(password)))


async def _set_and_used(server: Mysqld, password: Secret) -> None:
    root = ConnectParams("root", Secret(""), socket=str(server.socket), unlogged=True)
    async with await connect(root) as session:
        await session.execute(Statement("CREATE USER IF NOT EXISTS pw@'%'"))
        sent = accounts.set_password("pw", "%", password)
        await session.execute(sent)
        async with await connect(ConnectParams("pw", password, socket=str(server.socket))) as used:
            await used.ping()
        (stored,) = await read_accounts.accounts(session, ("pw",))
        assert digest.matches(password, stored.stored)
        # A syntax error quotes the statement, an unknown account names it: neither may show the password.
        broken = Statement(f"{sent.text} nonsense here", sent.secrets)
        for statement in (broken, accounts.set_password("nobody", "%", password)):
            with pytest.raises(SqlError) as caught:
                await session.execute(statement)
            if len(password.reveal()) > 3:
                assert password.reveal() not in str(caught.value)


@pytest.mark.parametrize("partial_revokes", [False, True])
def test_a_grant_reaches_exactly_the_schema(server: Mysqld, partial_revokes: bool) -> None:
    server.query(f"SET GLOBAL partial_revokes={partial_revokes:d}")
    for schema in ("my_app", "myXapp", "my%"):
        server.query(f"CREATE DATABASE {quote_identifier(schema)}")
    server.query("CREATE USER reader@'%' IDENTIFIED BY 'pw'")
    try:
        for schema in ("my_app", "my%"):
            target = quote_schema_target(schema, partial_revokes=partial_revokes)
            server.query(f"GRANT ALL ON {target} TO reader@'%'")
        login = {"host": "127.0.0.1", "user": "reader", "password": "pw"}
        seen = {row[0] for row in server.query("SHOW DATABASES", **login)}
        assert {"my_app", "my%"} <= seen
        assert "myXapp" not in seen
        with pytest.raises(pymysql.err.OperationalError) as refused:
            server.query("USE myXapp", **login)
        assert refused.value.args[0] == ACCESS_DENIED_TO_SCHEMA
    finally:
        server.query("DROP USER reader@'%'")
        for schema in ("my_app", "myXapp", "my%"):
            server.query(f"DROP DATABASE {quote_identifier(schema)}")
