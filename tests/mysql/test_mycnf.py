"""mysqld reads the rendered file exactly as meant, whatever a user puts into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnmysql.mysql.memory import GIB
from cnmysql.mysql.mycnf import MyCnfInput, render
from cnmysql.mysql.mycnf import settings as read_back
from tests.mysql.servers import VERSION
from tests.support.mysqld import Mysqld, MysqldError, MysqldFactory

PLAIN = MyCnfInput(VERSION, 7, "db-7.shop.svc", memory_limit=GIB, cpu=2, volume_size=20 * GIB)


@pytest.fixture(scope="module")
def directory(module_factory: MysqldFactory) -> Path:
    return module_factory.directory("mycnf")


def write(directory: Path, text: str) -> Path:
    path = directory / "my.cnf"
    path.write_text(text)
    path.chmod(0o644)
    return path


def arguments(factory: MysqldFactory, path: Path) -> list[str]:
    """What mysqld understood, one option an entry (values here hold no blanks followed by two dashes)."""
    shown = factory.distribution.run("mysqld", f"--defaults-file={path}", "--print-defaults")
    (line,) = [line for line in shown.splitlines() if line.startswith("--") or " --" in line]
    return [f"--{part}" for part in f" {line.rstrip(' ')}".split(" --")[1:]]


def test_mysqld_accepts_the_file(module_factory: MysqldFactory, directory: Path) -> None:
    weird = {
        "init-connect": "SET @a = \"x # y\"; -- 'z\\' ; [client]",
        "sql-mode": "",
        "max_connections": "1k",
        "loose_no_such_thing": "#",
        "optimizer_switch": "index_merge=off",
        "innodb_flush_method": "fsync",
        "old": "1",
    }
    for parameters in ({}, weird):
        path = write(directory, render(replace(PLAIN, parameters=parameters)))
        module_factory.distribution.run("mysqld", f"--defaults-file={path}", "--validate-config")


def test_the_check_refuses_an_unknown_name(module_factory: MysqldFactory, directory: Path) -> None:
    path = write(directory, render(replace(PLAIN, parameters={"max_conections": "5"})))
    with pytest.raises(MysqldError, match="unknown variable 'max_conections=5'"):
        module_factory.distribution.run("mysqld", f"--defaults-file={path}", "--validate-config")


_value = st.text(
    st.sampled_from("ab#;\"'\\ \t[]!=-%é漢") | st.characters(blacklist_categories=["Cs", "Cc"]), max_size=60
).filter(lambda value: " --" not in value and "\u2028" not in value and "\u2029" not in value)


@settings(max_examples=60, deadline=None)
@given(value=_value)
@example(value="a\\")
@example(value='"a"')
@example(value="'a' # b")
@example(value="\\n\\t\\s")
@example(value="x" * 3800)
@example(value="[mysqld]")
@example(value="!include /etc/passwd")
def test_any_value_reaches_mysqld_whole(module_factory: MysqldFactory, directory: Path, value: str) -> None:
    text = render(replace(PLAIN, parameters={"init_connect": value}))
    seen = arguments(module_factory, write(directory, text))
    assert seen[-1].rstrip() == f"--init_connect={value.strip()}".rstrip()
    plain = arguments(module_factory, write(directory, render(replace(PLAIN, parameters={"init_connect": "x"}))))
    assert seen[:-1] == plain[:-1]


def test_a_server_runs_with_it(module_factory: MysqldFactory) -> None:
    value = "SET @greeting = 'it''s \"#1\" \\\\ é'"
    text = render(replace(PLAIN, parameters={"init_connect": value, "max_connections": "77", "wait_timeout": "99"}))
    server = module_factory.create("mycnf", config=_loopback(text))
    (row,) = server.query(
        "SELECT @@init_connect, @@max_connections, @@GLOBAL.wait_timeout, @@report_host, @@gtid_mode, "
        "@@super_read_only, @@log_replica_updates, @@relay_log_recovery, @@skip_name_resolve, @@local_infile, "
        "@@secure_file_priv, @@rpl_stop_replica_timeout, @@sync_binlog, @@temptable_max_ram"
    )
    assert row == (
        value, 77, 99, "db-7.shop.svc", "ON", 1, 1, 0, 1, 0, 'NULL', 10, 1,
        int(read_back(text)["temptable_max_ram"]),
    )  # fmt: skip
    assert server.query("SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME='clone'") == [
        ("ACTIVE",)
    ]
    assert server.query("SHOW REPLICA STATUS") == []
    _persisted_values_lose(server)


def _persisted_values_lose(server: Mysqld) -> None:
    server.query("SET PERSIST max_connections = 55")
    server.restart()
    assert server.query("SELECT @@max_connections") == [(77,)]


def _loopback(text: str) -> str:
    """Without what a test machine lacks or several servers cannot share; the harness gives its own."""
    skipped = ("pid_file", "ssl_", "admin_", "port ", "bind_address")
    return "\n".join(line for line in text.splitlines() if not line.startswith(skipped)) + "\n"
