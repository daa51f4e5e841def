"""initdb on real servers: what it creates, what it refuses, and that a kill at any moment is repaired."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from cnmysql import names
from tests.mysql.instance_home import (
    ACCESS_DENIED,
    CLUSTER_UID,
    PASSWORDS,
    Home,
    Manager,
    alive,
    descendants,
    eventually,
    make_home,
    plain_server,
)
from tests.support.mysqld import MysqldFactory

SEEDS = range(20) if os.environ.get("CNMYSQL_SOAK") else (3, 17, 4711)
USUAL_SECONDS = 9.0
"""A kill comes at a random moment of about this time; a late one finds the work done."""


@pytest.fixture
def home(mysqld_factory: MysqldFactory) -> Iterator[Home]:
    made = make_home(mysqld_factory, f"home-{time.monotonic_ns()}")
    yield made
    made.close()


def initdb(home: Home, *more: str) -> Manager:
    manager = home.start("initdb", *more)
    code = manager.wait()
    assert code == 0, manager.log()
    return manager


def test_a_new_database_has_everything_it_was_asked_for(home: Home) -> None:
    home.post_init(
        [
            "CREATE TABLE seen (id INT PRIMARY KEY, t TEXT)",
            "INSERT INTO seen VALUES (1, 'a;b'); INSERT INTO seen VALUES (2, 'c')",
        ]
    )
    manager = initdb(home, "--database=orders", "--owner=clerk", "--character-set=latin1")
    assert sorted(p.name for p in home.volume.iterdir()) == [names.FILE_LOCK, "data"]
    assert (home.data / names.FILE_VERSION).read_text() == "9.7.4"
    mark = json.loads((home.data / names.FILE_BOOTSTRAPPED).read_text())
    assert (mark["clusterUID"], mark["instance"], mark["mode"]) == (CLUSTER_UID, "db-1", "initdb")
    assert not list(home.data.glob("*.pem")), "no private key lies in the data directory"
    assert not list(home.data.glob("binlog.*"))
    for secret in PASSWORDS.values():
        assert secret not in manager.log()
    with plain_server(home):
        assert home.query("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged") == [("", "")]
        assert home.query("SELECT id, t FROM orders.seen ORDER BY id") == [(1, "a;b"), (2, "c")]
        schemas = {row[0] for row in home.query("SHOW DATABASES")}
        assert schemas == {"orders", "mysql", "information_schema", "performance_schema", "sys"}, "no test schema"
        assert home.query("SELECT User, Host FROM mysql.user WHERE User=''") == [], "no anonymous account"
        assert home.query("SELECT User, Db FROM mysql.db WHERE User='' OR Db LIKE 'test%'") == []
        charset = "SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME='orders'"
        assert home.query(charset) == [("latin1",)]
        assert home.query("SELECT COUNT(*) FROM orders.seen", "clerk", PASSWORDS["app"]) == [(2,)]
        with pytest.raises(pymysql.err.OperationalError, match=r"1044|1142|denied"):
            home.query("CREATE TABLE mysql.x (i INT)", "clerk", PASSWORDS["app"])
        assert home.query("SELECT CURRENT_USER()", "cnmysql_control", PASSWORDS["control"])
        accounts = home.query("SELECT CONCAT(User, '@', Host) FROM mysql.user WHERE User NOT LIKE 'mysql.%' ORDER BY 1")
        assert [row[0] for row in accounts] == [
            "clerk@%",
            "cnmysql_backup@localhost",
            "cnmysql_control@127.0.0.1",
            "cnmysql_control@localhost",
            "cnmysql_metrics@localhost",
            "cnmysql_repl@%",
            "root@localhost",
        ]
        required = home.query("SELECT ssl_type, x509_subject, x509_issuer FROM mysql.user WHERE User='cnmysql_repl'")
        assert required == [("SPECIFIED", b"/O=test/CN=db-replication", b"/CN=test-ca")]
        with pytest.raises(pymysql.err.OperationalError) as refused:
            home.query("SELECT 1", "root", "")
        assert refused.value.args[0] == ACCESS_DENIED


LOGS_EVERYTHING = "\n".join(
    (
        "general_log = ON", "log_raw = ON", "slow_query_log = ON", "long_query_time = 0",
        "log_slow_admin_statements = ON", "log_output = FILE,TABLE",
    )
)  # fmt: skip


def passwords_below(directory: Path) -> list[tuple[str, str]]:
    """Files that hold a password in clear text, and whose it is."""
    files = [(path, path.read_bytes()) for path in directory.rglob("*") if path.is_file()]
    assert files
    return [(p.name, who) for p, data in files for who, secret in PASSWORDS.items() if secret.encode() in data]


def test_no_password_is_in_a_file_of_the_volume_whatever_the_server_is_told_to_log(home: Home) -> None:
    """The private server reads the same my.cnf; its statements carry the passwords as they are."""
    home.configure(LOGS_EVERYTHING)
    home.post_init(["CREATE USER guest IDENTIFIED BY 'guest000pw'"])
    manager = initdb(home, "--enable-superuser-access")
    assert passwords_below(home.volume) == []
    assert not [path.name for path in home.data.rglob("*") if path.is_file() and b"guest000pw" in path.read_bytes()]
    assert not [secret for secret in PASSWORDS.values() if secret in manager.log()]


def test_root_over_the_network_only_when_asked_for(home: Home) -> None:
    initdb(home, "--enable-superuser-access")
    with plain_server(home):
        assert home.query("SELECT COUNT(*) FROM mysql.user WHERE User='root' AND Host='%'") == [(1,)]


def test_without_database_and_owner_there_is_neither(home: Home) -> None:
    shutil.rmtree(home.base / "credentials-bootstrap" / "app")
    home.post_init(["CREATE DATABASE mine"])
    initdb(home, "--database=", "--owner=")
    with plain_server(home):
        found = {row[0] for row in home.query("SHOW DATABASES")}
        assert found == {"mine", *names.RESERVED_SCHEMAS}
        assert home.query("SELECT COUNT(*) FROM mysql.user WHERE User='app'") == [(0,)]


def test_a_second_run_changes_nothing_and_is_quick(home: Home) -> None:
    initdb(home)
    before = (home.data / "ibdata1").stat().st_mtime_ns
    began = time.monotonic()
    initdb(home)
    assert time.monotonic() - began < 2
    assert (home.data / "ibdata1").stat().st_mtime_ns == before


def test_a_failing_statement_is_named_wiped_and_tried_again(home: Home) -> None:
    home.post_init(["CREATE TABLE good (i INT)", "SELECT 1;\nINSERT INTO missing VALUES ('s3cret-literal')"])
    manager = home.start("initdb")
    assert manager.wait() == 1
    reason = "BootstrapFailed: statement 2 of spec.bootstrap.initdb.postInitSQL, line 2: MySQL error 1146: "
    assert home.termination().startswith(reason), home.termination()
    assert "s3cret-literal" not in manager.log() + home.termination()
    assert not home.data.exists()
    assert not (home.volume / ".cnmysql-initdb").exists()
    home.post_init(["CREATE TABLE good (i INT)"])
    initdb(home)
    with plain_server(home):
        assert home.query("SHOW TABLES FROM app") == [("good",)]


def test_a_lock_file_that_names_a_living_stranger_stops_nobody(home: Home) -> None:
    """After a container restart the pid in the lock file of a killed server is somebody else's."""
    (home.base / "run" / "provision.sock.lock").write_text(f"{os.getpid()}\n")
    initdb(home)


def test_a_configuration_mysqld_refuses_is_told_before_anything_is_made(home: Home) -> None:
    home.configure("no_such_thing = 1")
    manager = home.start("initdb")
    assert manager.wait() == 1
    assert "no_such_thing" in home.termination()
    assert not home.data.exists()


@pytest.mark.parametrize("where", ["data/ibdata1", "ibdata1"])
def test_foreign_data_is_never_touched(home: Home, where: str) -> None:
    path = home.volume / where
    path.parent.mkdir(exist_ok=True)
    path.write_text("somebody's")
    manager = home.start("initdb")
    assert manager.wait() == 3
    assert home.termination().startswith("ForeignData: ")
    assert path.read_text() == "somebody's"
    assert not (home.volume / names.FILE_PROVISIONING).exists()


def test_a_volume_begun_for_another_cluster_is_foreign(home: Home) -> None:
    mark = {"clusterUID": "other", "instance": "db-1", "mode": "initdb"}
    (home.volume / names.FILE_PROVISIONING).write_text(json.dumps(mark))
    (home.volume / ".cnmysql-initdb").mkdir()
    (home.volume / ".cnmysql-initdb" / "x").write_text("theirs")
    assert home.start("initdb").wait() == 3
    assert (home.volume / ".cnmysql-initdb" / "x").read_text() == "theirs"


def test_it_waits_for_another_holder_of_the_volume(home: Home) -> None:
    fd = os.open(home.volume / names.FILE_LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    manager = home.start("initdb")
    eventually(lambda: "another container holds the data directory" in manager.log(), "it says that it waits")
    assert not (home.volume / names.FILE_PROVISIONING).exists()
    os.close(fd)
    assert manager.wait() == 0, manager.log()


def test_told_to_stop_it_ends_at_once_and_leaves_no_server(home: Home) -> None:
    manager = home.start("initdb")
    eventually(lambda: "initializing of server in progress" in manager.log(), "mysqld --initialize runs")
    children = descendants(manager.pid)
    manager.process.send_signal(signal.SIGTERM)
    assert manager.wait(10) == 1
    eventually(lambda: not any(map(alive, children)), "nothing of it is left")
    initdb(home)


def test_a_server_killed_under_it_is_a_failed_attempt(home: Home) -> None:
    manager = home.start("initdb")
    eventually(lambda: "initializing of server in progress" in manager.log(), "mysqld --initialize runs")
    server = next(pid for pid in descendants(manager.pid) if b"--initialize-insecure" in command_line(pid))
    os.kill(server, signal.SIGKILL)
    assert manager.wait(20) == 1
    assert "mysqld --initialize ended with -9" in home.termination()
    assert not (home.volume / ".cnmysql-initdb").exists()
    initdb(home)


def command_line(pid: int) -> bytes:
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_moment_it_ends_complete_or_is_done_again(home: Home, seed: int) -> None:
    chance = random.Random(seed)
    home.post_init([f"CREATE TABLE t{i} (i INT)" for i in range(20)])
    for _ in range(3):
        manager = home.start("initdb")
        time.sleep(chance.uniform(0.3, USUAL_SECONDS))
        manager.kill()
        if home.data.exists():
            assert (home.data / names.FILE_BOOTSTRAPPED).exists(), "a directory at its place is complete"
    initdb(home)
    assert sorted(p.name for p in home.volume.iterdir()) == [names.FILE_LOCK, "data"]
    with plain_server(home):
        assert len(home.query("SHOW TABLES FROM app")) == 20
        assert home.query("SELECT @@GLOBAL.gtid_executed") == [("",)]
