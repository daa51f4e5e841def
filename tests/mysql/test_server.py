"""The servers the other tests stand on: the right series, several at once, replication, crash and TLS."""

from __future__ import annotations

import subprocess
import sys
import time

import pymysql
import pytest

from tests.bed.images import mysql
from tests.bed.processes import start_time
from tests.support.certs import Authority
from tests.support.mysqld import MYSQL_UID, MysqldError, MysqldFactory, Tls


def test_series_and_owner(mysqld_factory: MysqldFactory) -> None:
    server = mysqld_factory.create()
    assert server.query("SELECT @@version")[0][0].startswith(f"{mysql.SERIES}.")
    with open(f"/proc/{server.pid}/status") as status:
        uids = next(line for line in status if line.startswith("Uid:"))
    assert uids.split()[1:] == [str(MYSQL_UID)] * 4
    assert server.stop() == 0


def test_rows_reach_a_replica(mysqld_factory: MysqldFactory) -> None:
    gtid = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]
    source = mysqld_factory.create("source", options=gtid)
    replica = mysqld_factory.create("replica", options=gtid)
    assert source.query("SELECT @@server_uuid") != replica.query("SELECT @@server_uuid")
    source.query("CREATE USER repl@'%' IDENTIFIED BY 'secret'")
    source.query("GRANT REPLICATION SLAVE ON *.* TO repl@'%'")
    source.query("CREATE DATABASE app")
    replica.query(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%s, SOURCE_USER='repl',"
        " SOURCE_PASSWORD='secret', SOURCE_SSL=1, SOURCE_AUTO_POSITION=1",
        [source.port],
    )
    replica.query("START REPLICA")
    executed = source.query("SELECT @@GLOBAL.gtid_executed")[0][0]
    assert replica.query("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 30)", [executed]) == [(0,)]
    assert replica.query("SHOW DATABASES LIKE 'app'") == [("app",)]


def test_data_survives_a_kill(mysqld_factory: MysqldFactory) -> None:
    server = mysqld_factory.create()
    server.query("CREATE TABLE mysql.seen (id INT PRIMARY KEY)")
    server.query("INSERT INTO mysql.seen VALUES (7)")
    server.kill()
    assert not server.running
    server.start()
    assert server.query("SELECT id FROM mysql.seen") == [(7,)]


def test_config_text_is_read_and_a_wrong_one_is_reported(mysqld_factory: MysqldFactory) -> None:
    server = mysqld_factory.create(config="[mysqld]\nmax_connections = 17\n")
    assert server.query("SELECT @@max_connections") == [(17,)]
    with pytest.raises(MysqldError, match="unknown variable 'no_such_thing=1'"):
        mysqld_factory.create(config="[mysqld]\nno_such_thing = 1\n")


def test_clients_are_verified_with_the_files_given(mysqld_factory: MysqldFactory) -> None:
    authority = Authority()
    directory = authority.issue("db-1", dns=("localhost",)).write(mysqld_factory.directory("tls"))
    (directory / "ca.crt").write_bytes(authority.pem)
    server = mysqld_factory.create(tls=Tls(directory / "ca.crt", directory / "tls.crt", directory / "tls.key"))
    server.query("CREATE USER app@'%' REQUIRE X509")
    client = {"host": "127.0.0.1", "user": "app", "ssl_ca": str(directory / "ca.crt")}
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        server.query("SELECT 1", **client)
    own = {"ssl_cert": str(directory / "tls.crt"), "ssl_key": str(directory / "tls.key")}
    [(_, cipher)] = server.query("SHOW SESSION STATUS LIKE 'Ssl_version'", **client, **own)
    assert cipher == "TLSv1.3"


def test_the_image_has_no_interpreter_of_its_own(mysqld_factory: MysqldFactory) -> None:
    root = mysqld_factory.distribution.rootfs
    found = [path for name in ("perl", "python", "python3") for path in (root / "usr/bin").glob(name)]
    assert found == []


def test_servers_of_a_dead_run_are_ended(mysqld_factory: MysqldFactory) -> None:
    script = (
        "import os; from tests.support.mysqld import MysqldFactory;"
        "print(MysqldFactory().create().pid, flush=True); os._exit(0)"
    )
    orphan = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    pid = int(orphan.stdout)
    MysqldFactory().close()
    deadline = time.monotonic() + 10
    while start_time(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
