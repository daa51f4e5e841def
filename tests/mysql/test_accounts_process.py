"""Passwords that change while the whole instance manager runs, is away, or dies in the middle of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading

import pymysql
import pytest

from cnmysql import names
from cnmysql.log import Secret
from cnmysql.protocol.accounts import AccountsOrder, OwnerOrder, RootOrder
from cnmysql.protocol.report import InstanceStatus
from instance.accounts import record
from tests.mysql.instance_home import PASSWORDS, Home
from tests.mysql.pods import Pod
from tests.support.accounts import stored
from tests.support.logins import accepted

CONTROL, BACKUP = names.ACCOUNT_CONTROL, names.ACCOUNT_BACKUP


def mount(home: Home, account: str, password: str | bytes) -> None:
    """As the kubelet does it: another file takes the place of the old one at once."""
    path = home.base / "credentials" / account / "password"
    new = path.with_name(".new")
    new.write_bytes(password if isinstance(password, bytes) else password.encode())
    new.replace(path)


def logs_in(home: Home, user: str, password: str) -> bool:
    return accepted(lambda: home.connect(user, password))


def knows(home: Home, password: str) -> bool:
    """The volume says that the control account has this password."""
    return record.load(home.data / names.FILE_ACCOUNTS).knows(Secret(password))


def settled(report: InstanceStatus) -> bool:
    return report.accounts is not None and report.accounts.settled


async def known(pod: Pod, password: str, timeout: float = 15.0) -> InstanceStatus:
    return await pod.reaches(lambda r: settled(r) and knows(pod.home, password), timeout)


class Writer:
    """Inserts as the application without a pause until it is left; any failure is the test's."""

    def __init__(self, home: Home) -> None:
        self.home, self.rows, self._stop = home, 0, threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.error: Exception | None = None

    def _write(self) -> None:
        try:
            connection = self.home.connect("app", PASSWORDS["app"])
            with connection.cursor() as cursor:
                while not self._stop.is_set():
                    cursor.execute("INSERT INTO app.w VALUES (NULL)")
                    self.rows += 1
            connection.close()
        except (pymysql.err.MySQLError, OSError) as error:
            self.error = error

    def __enter__(self) -> Writer:
        self.home.query("CREATE TABLE app.w (id INT AUTO_INCREMENT PRIMARY KEY)", "app", PASSWORDS["app"])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert self.error is None, self.error


async def test_new_passwords_are_in_force_on_an_open_primary_and_the_former_ones_are_not(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    started, home = pod.mysqld, pod.home
    with Writer(home) as writer:
        for number in (1, 2):
            before = writer.rows
            mount(home, "control", f"control-{number}")
            mount(home, "backup", f"backup-{number}")
            report = await known(pod, f"control-{number}")
            assert report.open and report.mysqld.restarts == 0 and report.epoch == 1
            await pod.reaches(lambda _, n=before: writer.rows > n + 10)  # type: ignore[misc]
    assert logs_in(home, CONTROL, "control-2") and logs_in(home, BACKUP, "backup-2")
    for user, former in ((CONTROL, "control-1"), (CONTROL, PASSWORDS["control"]), (BACKUP, "backup-1")):
        assert not logs_in(home, user, former), user
    assert pod.mysqld == started
    assert home.query("SELECT COUNT(*) FROM mysql.user WHERE User_attributes LIKE '%additional_password%'") == [(0,)]
    (executed,) = home.query("SELECT @@GLOBAL.gtid_executed")[0]
    assert int(executed.rpartition("-")[2]) == writer.rows + 1, "accounts were written to the binary log"


async def test_a_pod_that_comes_back_to_another_password_sets_it_before_anybody_connects(pod: Pod) -> None:
    """The same start sets it that the Pod needs anyway: no login is tried in vain, nothing is restarted."""
    manager = pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    manager.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(manager.wait) == 0
    mount(pod.home, "control", "while-away")
    pod.start()
    report = await pod.reaches(lambda r: r.server_uuid is not None)
    assert report.mysqld.restarts == 0
    assert logs_in(pod.home, CONTROL, "while-away") and not logs_in(pod.home, CONTROL, PASSWORDS["control"])
    assert pod.home.query("SELECT @@GLOBAL.gtid_executed") == [("",)]


async def test_the_second_start_is_given_nothing(pod: Pod) -> None:
    manager = pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    manager.kill()
    again = pod.start()
    await pod.reaches(settled)
    assert "sets the control account anew" in manager.log()
    assert "sets the control account anew" not in again.log()


@pytest.mark.parametrize("seed", range(1, 11) if os.environ.get("CNMYSQL_SOAK") == "1" else range(1, 4))
async def test_a_manager_killed_at_any_moment_of_a_change_finds_its_way_back(pod: Pod, seed: int) -> None:
    chance = random.Random(seed)
    manager = pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    former = PASSWORDS["control"]
    for number in range(2):
        password = f"new-{seed}-{number}"
        mount(pod.home, "control", password)
        # The change of the file is seen within a second, and what follows takes some milliseconds.
        await asyncio.sleep(chance.uniform(0.0, 1.3))
        manager.kill()
        manager = pod.start()
        report = await known(pod, password, timeout=60)
        assert report.epoch == 1
        assert logs_in(pod.home, CONTROL, password) and not logs_in(pod.home, CONTROL, former)
        former = password


async def test_a_control_account_altered_behind_our_back_is_set_again(pod: Pod) -> None:
    """On an open primary by the session that is still there; nothing else happens to the server."""
    pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    for host in ("localhost", "127.0.0.1"):
        pod.home.query(f"ALTER USER {CONTROL}@'{host}' IDENTIFIED BY 'foreign'")
    mount(pod.home, "backup", "look-now")
    await pod.reaches(lambda _: logs_in(pod.home, CONTROL, PASSWORDS["control"]), 15)
    report = await pod.status()
    assert report.open and report.mysqld.restarts == 0
    assert not logs_in(pod.home, CONTROL, "foreign")


async def test_a_server_that_refuses_every_password_is_started_with_ours(pod: Pod) -> None:
    """The volume believes that it knows the password, and does not: mysqld boots closed and refuses us."""
    manager = pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    for host in ("localhost", "127.0.0.1"):
        pod.home.query(f"SET sql_log_bin=0; ALTER USER {CONTROL}@'{host}' IDENTIFIED BY 'foreign'".split(";")[1])
    manager.kill()
    pod.start()
    report = await pod.reaches(lambda r: r.open and settled(r), 60)
    assert report.mysqld.restarts == 1 and report.epoch == 1
    assert logs_in(pod.home, CONTROL, PASSWORDS["control"])


async def test_a_password_that_cannot_be_used_changes_nothing_and_is_told(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    for password in ("", "a\tb", b"\xff\xfe", "x" * 257):
        mount(pod.home, "control", password)
        report = await pod.reaches(lambda r: r.accounts is not None and "control Secret" in r.accounts.problem, 15)
        assert report.open
        assert logs_in(pod.home, CONTROL, PASSWORDS["control"])
        mount(pod.home, "control", PASSWORDS["control"])
        await pod.reaches(settled, 15)


@pytest.mark.parametrize("password", ["quote'\"back\\slash %s {} `x` -- ; # grün-€-😀", "x" * 256])
async def test_any_other_password_works(pod: Pod, password: str) -> None:
    pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    mount(pod.home, "control", password)
    await known(pod, password)
    os.kill(pod.mysqld, signal.SIGKILL)
    await pod.reaches(lambda r: r.mysqld.restarts == 1 and r.open and settled(r))
    assert not logs_in(pod.home, CONTROL, PASSWORDS["control"])


async def test_the_operators_passwords_are_set_once_and_remembered_by_revision(pod: Pod) -> None:
    manager = pod.start()
    await pod.bootstrap()
    await known(pod, PASSWORDS["control"])
    home = pod.home
    order = AccountsOrder(
        RootOrder("r1", stored("root-1"), remote=False), OwnerOrder("o1", "app", stored("app'\\-1"))
    )  # fmt: skip
    await pod.control.accounts("db-1", home.address, order)
    await pod.reaches(lambda r: r.accounts is not None and r.accounts.orders == {"root": "r1", "owner": "o1"}, 15)
    assert logs_in(home, "root", "root-1") and logs_in(home, "app", "app'\\-1")
    assert not logs_in(home, "root", PASSWORDS["root"]) and not logs_in(home, "app", PASSWORDS["app"])
    manager.kill()
    pod.start()
    report = await pod.reaches(settled)
    assert report.accounts is not None and report.accounts.orders == {"root": "r1", "owner": "o1"}
    assert home.query("SELECT @@GLOBAL.gtid_executed", password="root-1") == [("",)]
    for file in home.volume.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"root-1" not in content and PASSWORDS["control"].encode() not in content, file


async def test_root_comes_and_goes_over_the_network_without_a_restart(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    home = pod.home

    async def ordered(revision: str, password: str, *, remote: bool) -> list[tuple[object, ...]]:
        order = AccountsOrder(RootOrder(revision, stored(password), remote))
        await pod.control.accounts("db-1", home.address, order)
        await pod.reaches(lambda r: r.accounts is not None and r.accounts.orders.get("root") == revision, 15)
        return home.query("SELECT account_locked FROM mysql.user WHERE User='root' AND Host='%'", password=password)

    assert await ordered("1", "one", remote=True) == [("N",)]
    assert await ordered("2", "two", remote=True) == [("N",)]
    assert await ordered("3", "two", remote=False) == []
    # One that was left half-made lets nobody in and is finished.
    home.query("CREATE USER root@'%' IDENTIFIED BY 'two' ACCOUNT LOCK", password="two")
    assert await ordered("4", "two", remote=True) == [("N",)]
    grants = " ".join(row[0] for row in home.query("SHOW GRANTS FOR root@'%'", password="two"))
    assert "CREATE USER" in grants and "SUPER" not in grants
    report = await pod.status()
    assert report.open and report.mysqld.restarts == 0


async def test_an_owner_that_was_dropped_stays_dropped_and_is_told(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    pod.home.query("DROP USER app@'%'")
    order = AccountsOrder(owner=OwnerOrder("1", "app", stored("x")))
    await pod.control.accounts("db-1", pod.home.address, order)
    report = await pod.reaches(lambda r: r.accounts is not None and "does not exist" in r.accounts.problem, 15)
    assert report.accounts is not None and "owner" not in report.accounts.orders
    assert pod.home.query("SELECT 1 FROM mysql.user WHERE User='app'") == []


async def test_the_replication_account_is_bound_as_the_operator_says(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    report = await pod.reaches(lambda r: r.replication_require is not None, 15)
    bound = report.replication_require
    assert bound is not None and bound.startswith("/O=test/CN=db-replication|/CN=")
    file = pod.home.base / "tls" / "trust" / names.TRUST_REPLICATION_KEY
    for text, expected in (
        ('{"require":"x509"}', "x509"),
        ('{"subject":"/O=a\'b/CN=c","issuer":"/CN=d"}', "/O=a'b/CN=c|/CN=d"),
    ):
        file.write_text(text)
        await pod.reaches(lambda r, e=expected: r.replication_require == e, 15)  # type: ignore[misc]
    file.write_text('{"require":"none"}')
    report = await pod.reaches(lambda r: r.accounts is not None and not r.accounts.settled, 15)
    assert report.replication_require == "/O=a'b/CN=c|/CN=d", "what cannot be understood changes nothing"
    file.unlink()
    await pod.reaches(lambda r: r.replication_require == bound and settled(r), 15)
