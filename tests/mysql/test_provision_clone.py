"""A clone whose donor hangs: the server itself waits for ever, so we watch the bytes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnmysql import names
from cnmysql.clock import SystemClock
from cnmysql.log import Secret
from cnmysql.mysql.conn import Connection, ConnectParams, connect
from cnmysql.mysql.statements import Source
from instance.provision.clone import CloneFailed, Copier
from tests.support.certs import Authority
from tests.support.mysqld import Mysqld, MysqldFactory, Tls

CLONE = "--plugin-load-add=mysql_clone.so"


@dataclass
class Pair:
    """A donor of about 30 MB and a recipient that copies slowly."""

    donor: Mysqld
    recipient: Mysqld
    source: Source
    target: Path

    async def session(self) -> Connection:
        return await connect(ConnectParams("root", Secret(""), socket=str(self.recipient.socket), max_execution_ms=0))

    def start_again(self) -> None:
        """What a join does after a failure: the statement may run on, so the server that runs it is ended."""
        self.recipient.kill()
        shutil.rmtree(self.target, ignore_errors=True)
        self.recipient.start()


@pytest.fixture
def pair(mysqld_factory: MysqldFactory) -> Iterator[Pair]:
    ca = Authority()
    number = time.monotonic_ns()
    directory = mysqld_factory.directory(f"tls-{number}")
    for leaf, name in ((ca.issue(dns=("localhost",), client=False), "server"), (ca.issue("r", o="ns"), "client")):
        leaf.write(directory / name)
    (directory / "ca.crt").write_bytes(ca.pem)
    tls = Tls(directory / "ca.crt", directory / "server" / "tls.crt", directory / "server" / "tls.key")
    donor = mysqld_factory.create("donor", tls=tls, options=[CLONE])
    for statement in (
        f"CREATE USER {names.ACCOUNT_REPLICATION}@'%' IDENTIFIED BY '' REQUIRE SUBJECT '/O=ns/CN=r'",
        f"GRANT BACKUP_ADMIN ON *.* TO {names.ACCOUNT_REPLICATION}@'%'",
        "CREATE SCHEMA app",
        "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARBINARY(1024))",
        "INSERT INTO app.t (v) VALUES (RANDOM_BYTES(1024))",
        *["INSERT INTO app.t (v) SELECT RANDOM_BYTES(1024) FROM app.t"] * 14,
    ):
        donor.query(statement)
    recipient = mysqld_factory.create("recipient", options=[CLONE, "--skip-log-bin", "--skip-networking"])
    recipient.query("SET GLOBAL clone_autotune_concurrency=OFF, GLOBAL clone_max_concurrency=1")
    client = directory / "client"
    files = {"ca": str(directory / "ca.crt"), "cert": str(client / "tls.crt"), "key": str(client / "tls.key")}
    target = mysqld_factory.directory(f"target-{number}") / "data"
    yield Pair(donor, recipient, Source("127.0.0.1", donor.port, **files), target)
    if donor.running:
        os.kill(donor.pid, signal.SIGCONT)


async def test_a_donor_that_freezes_is_given_up_and_the_copy_can_be_repeated(pair: Pair) -> None:
    pair.recipient.query("SET GLOBAL clone_max_data_bandwidth=2")
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if done > 2 << 20:
            os.kill(pair.donor.pid, signal.SIGSTOP)

    async with await pair.session() as session, await pair.session() as observer:
        began = time.monotonic()
        with pytest.raises(CloneFailed, match="sent nothing for 2 s"):
            await Copier(session, observer, SystemClock(), progress, stall=2.0).clone(pair.source, pair.target)
        assert time.monotonic() - began < 45
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert max(total for _, total in seen) > 0
    os.kill(pair.donor.pid, signal.SIGCONT)
    pair.start_again()
    async with await pair.session() as session, await pair.session() as observer:
        await Copier(session, observer, SystemClock(), lambda *_: None).clone(pair.source, pair.target)
    assert (pair.target / "mysql.ibd").exists()


async def test_a_donor_that_dies_is_an_error_of_this_attempt(pair: Pair) -> None:
    pair.recipient.query("SET GLOBAL clone_max_data_bandwidth=2")

    def progress(done: int, _: int) -> None:
        if done > 2 << 20 and pair.donor.running:
            pair.donor.kill()

    async with await pair.session() as session, await pair.session() as observer:
        with pytest.raises(CloneFailed):
            await Copier(session, observer, SystemClock(), progress, stall=5.0).clone(pair.source, pair.target)
