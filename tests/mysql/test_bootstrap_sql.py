"""A user's script of first statements runs as it would in the mysql client."""

from __future__ import annotations

from cnmysql.log import Secret
from cnmysql.mysql import lexer
from cnmysql.mysql.conn import Connection, connect
from cnmysql.mysql.sql import Statement
from tests.mysql.servers import SCHEMA, local, run
from tests.support.mysqld import MysqldFactory

SCRIPT = """-- The shop's first objects; nothing ends here: ;
CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(50)); # one
INSERT INTO t VALUES (1, 'semi;colon'), (2, "it's; \\"quoted\\""), (3, 'back\\\\slash');
/*!80000 CREATE TABLE `we;ird` (x INT) */;
DELIMITER $$
CREATE PROCEDURE p(IN n INT)
BEGIN
  DECLARE i INT DEFAULT 0; -- inner
  WHILE i < n DO
    INSERT INTO t VALUES (100 + i, 'from p;');
    SET i = i + 1;
  END WHILE;
END$$
CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 7$$
DELIMITER ;
CALL p(3);
SELECT * FROM t;
CREATE USER reader IDENTIFIED BY 'p;w'; GRANT SELECT ON t TO reader
"""


async def test_a_script_with_everything(mysqld_factory: MysqldFactory) -> None:
    server = mysqld_factory.create("script", options=["--skip-log-bin"])
    client = mysqld_factory.create("client", options=["--skip-log-bin"])
    async with await connect(local(server, "root", Secret(""), unlogged=True)) as c:
        await run(c, f"CREATE DATABASE {SCHEMA}", f"USE {SCHEMA}")
        for piece in lexer.split(SCRIPT):
            await c.execute(Statement(piece.text))
        ours = await _state(c)
    # The same script through the stock client.
    client.query(f"CREATE DATABASE {SCHEMA}")
    script = client.home / "script.sql"
    script.write_text(SCRIPT)
    mysqld_factory.distribution.run(
        "mysql",
        "--no-defaults",
        f"--socket={client.socket}",
        "--user=root",
        "--commands",
        SCHEMA,
        f"--execute=source {script}",
    )
    async with await connect(local(client, "root", Secret(""))) as c:
        assert await _state(c) == ours


async def _state(c: Connection) -> list[object]:
    rows = (await run(c, f"SELECT * FROM {SCHEMA}.t ORDER BY a")).rows
    assert len(rows) == 6
    routines = f"SELECT ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA='{SCHEMA}' ORDER BY 1"
    return [
        rows,
        (await run(c, f"SHOW TABLES FROM {SCHEMA}")).rows,
        (await run(c, f"SELECT {SCHEMA}.f()")).rows,
        (await run(c, "SHOW GRANTS FOR reader")).rows,
        (await run(c, routines)).rows,
    ]
