"""The generated table of variables is what the server says, and every dynamic one takes our literals."""

from __future__ import annotations

import pytest

from cnmysql.errors import SqlError
from cnmysql.log import Secret
from cnmysql.mysql import statements, variables
from cnmysql.mysql.conn import connect
from cnmysql.mysql.parameters import Class, check_parameters, classify, kind_of, literal
from cnmysql.mysql.version import Version
from tests.mysql.servers import VERSION, local, run
from tests.mysql.variables import OPTIONS, TARGET, generate
from tests.support.mysqld import Mysqld, MysqldFactory

WRONG_TYPE = 1232
READ_ONLY = 1238


@pytest.fixture(scope="module")
def server(module_factory: MysqldFactory) -> Mysqld:
    return module_factory.create("literals", options=OPTIONS)


def test_the_table_is_what_the_server_says(module_factory: MysqldFactory) -> None:
    assert generate(module_factory) == TARGET.read_text()
    assert Version.parse(f"{variables.SERIES}.0").series == VERSION.series


async def test_every_dynamic_variable_takes_its_own_value_back(server: Mysqld) -> None:
    async with await connect(local(server, "root", Secret(""))) as c:
        shown = dict((await run(c, "SHOW GLOBAL VARIABLES")).rows)
        tried = 0
        for name in sorted(name for names in variables.DYNAMIC.values() for name in names.split()):
            if name not in shown or classify(name, VERSION) in (Class.DENIED, Class.MANAGED) or not shown[name]:
                continue
            statement = statements.set_global(name, literal(name, shown[name]))
            try:
                await c.execute(statement)
            except SqlError as error:
                assert error.code not in (WRONG_TYPE, READ_ONLY), f"{statement}: {error}"
            else:
                tried += 1
        assert tried > 250


@pytest.mark.parametrize(
    ("key", "value", "reads"),
    [
        ("max_connections", "1k", 1024),
        ("slow_query_log", "true", 1),
        ("long_query_time", "0.25", 0.25),
        ("innodb_io_capacity", "300", 300),
        ("sql_mode", "ANSI_QUOTES", "ANSI_QUOTES"),
        ("transaction_isolation", "READ-COMMITTED", "READ-COMMITTED"),
        ("init_connect", "SET @a='x\\y'", "SET @a='x\\y'"),
        ("event_scheduler", "0", "OFF"),
        ("binlog_row_image", "1", "NOBLOB"),
    ],
)
async def test_literals_mean_what_the_file_would(server: Mysqld, key: str, value: str, reads: object) -> None:
    async with await connect(local(server, "root", Secret(""))) as c:
        await c.execute(statements.set_global(key, literal(key, value)))
        live = (await run(c, f"SELECT @@GLOBAL.{key}")).scalar()
        assert str(live) == str(reads)
        await c.execute(statements.set_global_default(key))
    server.stop()
    server.start(f"--{key}={value}")
    async with await connect(local(server, "root", Secret(""))) as c:
        assert (await run(c, f"SELECT @@GLOBAL.{key}")).scalar() == live


async def test_a_static_variable_says_it_needs_a_restart(server: Mysqld) -> None:
    async with await connect(local(server, "root", Secret(""))) as c:
        with pytest.raises(SqlError) as refused:
            await c.execute(statements.set_global("back_log", literal("back_log", "5")))
        assert refused.value.code == READ_ONLY


def test_words_we_refuse_for_a_boolean_would_silently_be_off(module_factory: MysqldFactory) -> None:
    for word in ("yes", "enabled", ""):
        server = module_factory.create(f"bool-{word or 'empty'}", options=[f"--slow-query-log={word}"])
        assert server.query("SELECT @@GLOBAL.slow_query_log") == [(0,)]
        server.kill()
        assert check_parameters({"slow_query_log": word}, VERSION)


def test_types_are_known() -> None:
    assert kind_of("loose-max-connections") == "integer"
    assert kind_of("sql_mode") == "set"
    assert kind_of("innodb_page_size") == "integer"
    assert kind_of("no_such_variable") is None
