"""Spelling and refusals of the statement builders; their effect is in tests/mysql."""

from __future__ import annotations

import pytest

from cnmysql.mysql import statements
from cnmysql.mysql.gtid import GtidSet
from cnmysql.mysql.statements import Source
from cnmysql.mysql.version import Version

SOURCE = Source("db-1.shop.svc")


def test_configure_by_version() -> None:
    new = statements.configure_source(Version(9, 7, 4), SOURCE).text
    assert new.startswith("CHANGE REPLICATION SOURCE TO SOURCE_HOST='db-1.shop.svc', SOURCE_PORT=3306, ")
    for part in (
        "SOURCE_USER='cnmysql_repl'",
        "SOURCE_PASSWORD=''",
        "SOURCE_SSL=1",
        "SOURCE_SSL_CA='/etc/cnmysql/tls/trust/server-ca.crt'",
        "SOURCE_SSL_CERT='/etc/cnmysql/tls/replication/tls.crt'",
        "SOURCE_SSL_VERIFY_SERVER_CERT=1",
        "SOURCE_RETRY_COUNT=86400",
        "SOURCE_AUTO_POSITION=1",
        "GTID_ONLY=1",
        "GET_SOURCE_PUBLIC_KEY=0",
    ):
        assert part in new
    old = statements.configure_source(Version(8, 0, 22), SOURCE).text
    assert old.startswith("CHANGE MASTER TO MASTER_HOST='db-1.shop.svc'")
    assert "SOURCE_" not in old
    assert "GTID_ONLY" not in old


def test_repointing_names_nothing_the_server_refuses_with_a_running_applier() -> None:
    again = statements.repoint_source(Version(9, 7, 4), SOURCE).text
    assert not any(word in again for word in ("AUTO_POSITION", "GTID_ONLY", "REQUIRE_ROW_FORMAT"))


@pytest.mark.parametrize("host", ["", "h" * 256])
def test_sources_have_a_host(host: str) -> None:
    with pytest.raises(ValueError, match="source host"):
        Source(host)
    with pytest.raises(ValueError, match="TCP port"):
        Source("h", port=0)


def test_waiting_is_bounded_by_its_own_seconds() -> None:
    gtids = GtidSet.parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")
    assert statements.wait_for_gtids(gtids, 7).text == (
        "SELECT /*+ MAX_EXECUTION_TIME(12000) */ "
        "WAIT_FOR_EXECUTED_GTID_SET('3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5', 7)"
    )


def test_clone_statements() -> None:
    setup = statements.clone_setup(SOURCE).text
    assert "clone_valid_donor_list='db-1.shop.svc:3306'" in setup
    into = statements.clone_into(SOURCE, "/var/lib/mysql/o'x").text
    assert into == (
        "CLONE INSTANCE FROM 'cnmysql_repl'@'db-1.shop.svc':3306 IDENTIFIED BY '' "
        "DATA DIRECTORY = '/var/lib/mysql/o''x' REQUIRE SSL"
    )
    with pytest.raises(ValueError, match="absolute"):
        statements.clone_into(SOURCE, "data")
    for host in ("a,b", "a b", "::1"):
        with pytest.raises(ValueError, match="donor"):
            statements.clone_setup(Source(host))


def test_switches() -> None:
    assert statements.offline_mode(True).text == "SET GLOBAL offline_mode=ON"
    assert statements.super_read_only(False).text == "SET GLOBAL super_read_only=OFF"
    assert statements.read_only(False).text == "SET GLOBAL read_only=OFF"
    assert statements.kill(7).text == "KILL 7"
    assert statements.set_global("max`x", "5").text == "SET GLOBAL `max``x` = 5"
