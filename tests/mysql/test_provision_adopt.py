"""Taking over a former Cluster's data on real servers: whose passwords hold after it, what it must not touch."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql
import pytest

from cnmysql import names
from tests.mysql.instance_home import (
    ACCESS_DENIED,
    CLUSTER_UID,
    PASSWORDS,
    Home,
    eventually,
    make_home,
    plain_server,
    try_status,
)
from tests.mysql.test_provision_initdb import LOGS_EVERYTHING, passwords_below
from tests.support.certs import Authority
from tests.support.mysqld import MysqldFactory

FORMER_UID = "99999999-8888-7777-6666-555555555555"
FORMER = {account: f"former{password}" for account, password in PASSWORDS.items()}
ADOPT = f"--adopt-from={FORMER_UID}"
NO_API = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
SEEDS = range(20) if os.environ.get("CNMYSQL_SOAK") else (3, 17, 4711)
USUAL_SECONDS = 5.0


def give(home: Home, passwords: dict[str, str]) -> None:
    for account, password in passwords.items():
        place = "credentials" if account in ("control", "backup") else "credentials-bootstrap"
        (home.base / place / account / "password").write_text(password)


def rows(home: Home, password: str = PASSWORDS["root"]) -> list[tuple[int]]:
    return home.query("SELECT id FROM app.kept ORDER BY id", "root", password)


@pytest.fixture(scope="module")
def former(mysqld_session: MysqldFactory) -> Iterator[tuple[Path, str]]:
    """A volume that a Cluster left behind, killed in the middle of its work; and the GTIDs it had."""
    home = make_home(mysqld_session, "adopt-template")
    give(home, FORMER)
    manager = home.start("initdb", f"--cluster-uid={FORMER_UID}", "--enable-superuser-access")
    assert manager.wait() == 0, manager.log()
    with plain_server(home) as server:
        root = FORMER["root"]
        home.query("CREATE TABLE app.kept (id INT PRIMARY KEY)", "root", root)
        home.query("CREATE USER 'cnmysql_control'@'10.%' IDENTIFIED BY 'x'", "root", root)
        home.query("CREATE USER somebody@'%' IDENTIFIED BY 'theirs'", "root", root)
        home.query("CREATE USER ''@'10.%' IDENTIFIED BY 'anybody'", "root", root)
        home.query("CREATE SCHEMA test", "root", root)
        home.query("CREATE TABLE test.theirs SELECT 1 AS id", "root", root)
        for number in range(20):
            home.query(f"INSERT INTO app.kept VALUES ({number})", "root", root)
        ((gtids,),) = home.query("SELECT @@GLOBAL.gtid_executed", "root", root)
        server.kill()
    assert gtids
    yield home.volume, gtids
    home.close()


@pytest.fixture
def home(mysqld_factory: MysqldFactory, former: tuple[Path, str]) -> Iterator[Home]:
    made = copy_of(mysqld_factory, former[0])
    yield made
    made.close()


def copy_of(factory: MysqldFactory, volume: Path) -> Home:
    """A home of the new Cluster with a copy of this volume."""
    made = make_home(factory, f"adopt-{time.monotonic_ns()}", ca=Authority("new-ca"))
    shutil.rmtree(made.volume)
    shutil.copytree(volume, made.volume)
    return made


def mark(home: Home) -> dict[str, str]:
    found: dict[str, str] = json.loads((home.data / names.FILE_BOOTSTRAPPED).read_text())
    return found


def denied(home: Home, user: str, password: str) -> bool:
    try:
        home.query("SELECT 1", user, password)
    except pymysql.err.OperationalError as error:
        return bool(error.args[0] == ACCESS_DENIED)
    return False


def adopted(home: Home, mode: str, gtids: str) -> None:
    """Everything that has to hold afterwards."""
    assert (mark(home)["clusterUID"], mark(home)["mode"]) == (CLUSTER_UID, mode)
    assert mark(home)["adoptedFrom"] == FORMER_UID
    with plain_server(home):
        assert home.query("SELECT @@GLOBAL.gtid_executed") == [(gtids,)], "not one transaction was made or lost"
        assert rows(home) == [(n,) for n in range(20)]
        for user, account in (("cnmysql_control", "control"), ("cnmysql_backup", "backup"), ("app", "app")):
            assert home.query("SELECT 1", user, PASSWORDS[account]) == [(1,)]
            assert denied(home, user, FORMER[account])
        assert denied(home, "root", FORMER["root"])
        assert home.query("SELECT 1", "somebody", "theirs") == [(1,)]
        assert home.query("SELECT id FROM test.theirs") == [(1,)], "a schema called test may be somebody's"
        required = home.query("SELECT ssl_type, x509_subject, x509_issuer FROM mysql.user WHERE User='cnmysql_repl'")
        assert required == [("SPECIFIED", b"/O=test/CN=db-replication", b"/CN=new-ca")]
        present = home.query("SELECT User, Host FROM mysql.user WHERE User NOT LIKE 'mysql.%' ORDER BY 1, 2")
        assert present == [
            ("", "10.%"),
            ("app", "%"),
            ("cnmysql_backup", "localhost"),
            ("cnmysql_control", "127.0.0.1"),
            ("cnmysql_control", "localhost"),
            ("cnmysql_metrics", "localhost"),
            ("cnmysql_repl", "%"),
            ("root", "localhost"),
            ("somebody", "%"),
        ]


@pytest.mark.parametrize("mode", ["initdb", "join"])
def test_the_data_stays_and_the_accounts_become_ours(home: Home, former: tuple[Path, str], mode: str) -> None:
    manager = home.start(mode, ADOPT)
    assert manager.wait() == 0, manager.log()
    for secret in (*PASSWORDS.values(), *FORMER.values()):
        assert secret not in manager.log()
    adopted(home, mode, former[1])
    again = home.start(mode, ADOPT)
    assert again.wait() == 0
    assert again.log() == "", "what is ours is left alone"


def test_no_password_is_in_a_file_of_the_volume_whatever_the_server_is_told_to_log(home: Home) -> None:
    home.configure(LOGS_EVERYTHING)
    manager = home.start("join", ADOPT)
    assert manager.wait() == 0, manager.log()
    assert passwords_below(home.volume) == []


def untouched(home: Home, volume: Path) -> None:
    """Nothing of the data directory was written."""
    for path in sorted(p for p in volume.rglob("*") if p.is_file() and p.name != names.FILE_LOCK):
        assert (home.volume / path.relative_to(volume)).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("flags", [(), ("--adopt-from=",), ("--adopt-from=11111111-0000",)])
@pytest.mark.parametrize("mode", ["initdb", "join"])
def test_without_permission_it_is_foreign(
    home: Home, former: tuple[Path, str], mode: str, flags: tuple[str, ...]
) -> None:
    assert home.start(mode, *flags).wait() == 3
    assert home.termination().startswith("ForeignData: the data directory was made for instance db-1 of another")
    untouched(home, former[0])


def test_the_main_container_never_serves_it(home: Home, former: tuple[Path, str]) -> None:
    manager = home.start("run", ADOPT, env=NO_API)
    eventually(lambda: "mysqld is not started" in manager.log(), "it refuses")
    assert eventually(lambda: try_status(home).get("problem"), "it says so")["reason"] == "ForeignData"
    manager.kill()
    untouched(home, former[0])


def test_a_missing_secret_leaves_the_data_as_it_was_and_the_next_start_goes_on(
    home: Home, former: tuple[Path, str]
) -> None:
    secret = home.base / "credentials-bootstrap" / "root"
    secret.rename(home.base / "later")
    assert home.start("initdb", ADOPT).wait() == 1
    assert home.termination().startswith("BootstrapFailed: ")
    assert mark(home)["clusterUID"] == FORMER_UID
    (home.base / "later").rename(secret)
    manager = home.start("initdb", "--adopt-from=unknown")
    assert manager.wait() == 0, manager.log()
    adopted(home, "initdb", former[1])


def state(home: Home, root: str) -> tuple[str, list[tuple[int]]]:
    ((gtids,),) = home.query("SELECT @@GLOBAL.gtid_executed", "root", root)
    return gtids, rows(home, root)


def test_what_only_the_binary_log_knows_to_be_committed_is_kept(
    mysqld_factory: MysqldFactory, former: tuple[Path, str]
) -> None:
    """Killed under many writers, some commits are prepared in InnoDB and complete in the binary log alone."""
    home = copy_of(mysqld_factory, former[0])
    with plain_server(home) as server, ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write_until_killed, home, first) for first in range(1000, 9000, 1000)]
        eventually(lambda: len(rows(home, FORMER["root"])) > 500, "the writers are at work")
        server.kill()
        assert all(writer.result() > 0 for writer in writers)
    witness = copy_of(mysqld_factory, home.volume)
    with plain_server(witness):
        expected = state(witness, FORMER["root"])
    manager = home.start("join", ADOPT)
    assert manager.wait() == 0, manager.log()
    with plain_server(home):
        assert state(home, PASSWORDS["root"]) == expected
    home.close()


def write_until_killed(home: Home, first: int) -> int:
    """Insert rows from `first` on until the server is gone; how many it acknowledged."""
    done = 0
    session = home.connect("root", FORMER["root"])
    try:
        with session.cursor() as cursor:
            while True:
                cursor.execute(f"INSERT INTO app.kept VALUES ({first + done})")
                done += 1
    except pymysql.err.OperationalError:
        return done
    finally:
        if session.open:
            session.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_moment_it_is_the_formers_or_ours(home: Home, former: tuple[Path, str], seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(3):
        manager = home.start("join", ADOPT)
        time.sleep(chance.uniform(0.3, USUAL_SECONDS))
        manager.kill()
        assert mark(home)["clusterUID"] in (FORMER_UID, CLUSTER_UID)
    manager = home.start("join", ADOPT)
    assert manager.wait() == 0, manager.log()
    adopted(home, "join", former[1])
