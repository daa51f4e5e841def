"""join on real servers: a copy over mutual TLS from a donor found by its status, repeated after any kill."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cnmysql import names
from cnmysql.protocol.report import InstanceStatus, MysqldReport, ReplicationReport
from tests.mysql.instance_home import (
    NAMESPACE,
    PASSWORDS,
    Home,
    Manager,
    eventually,
    make_home,
    plain_server,
    status,
    try_status,
)
from tests.mysql.neighbours import API_HOST, Neighbours
from tests.support.mysqld import MysqldFactory

SEEDS = range(20) if os.environ.get("CNMYSQL_SOAK") else (3, 17, 4711)
USUAL_SECONDS = 10.0
ADDRESSES = {"db-1": "127.1.0.1", "db-2": "127.1.0.2", "db-3": "127.1.0.3"}
HOSTS = "".join(f"{address} {names.instance_host(i, NAMESPACE)}\n" for i, address in ADDRESSES.items())


def home(factory: MysqldFactory, instance: str, **options: Any) -> Home:
    """A home at the instance's own loopback address, which its /etc/hosts gives the name it has in a cluster."""
    hosts = f"127.0.0.1 {API_HOST}\n{HOSTS}"
    name = f"{instance}-{time.monotonic_ns()}"
    made = make_home(factory, name, instance=instance, address=ADDRESSES[instance], hosts=hosts, **options)
    (made.base / "token" / "token").write_text("token")
    (made.base / "token" / "ca.crt").write_bytes(made.ca.pem)
    return made


@pytest.fixture(scope="module")
def donor(mysqld_session: MysqldFactory) -> Iterator[Home]:
    """A running primary with 8 MB of data."""
    made = home(mysqld_session, "db-1")
    manager = made.start("initdb")
    assert manager.wait() == 0, manager.log()
    with plain_server(made):
        made.query("CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARBINARY(1024))")
        made.query("INSERT INTO app.t (v) VALUES (REPEAT('x', 1024))")
        for _ in range(13):
            made.query("INSERT INTO app.t (v) SELECT v FROM app.t")
        yield made


class Bed:
    """The donor, a joiner with an empty volume, and what is around them."""

    def __init__(self, factory: MysqldFactory, donor: Home, exits: ExitStack) -> None:
        self._factory = factory
        self._exits = exits
        self.donor = donor
        self.joiner = self.home("db-3")
        self.around = Neighbours(donor.ca, self.joiner)
        exits.callback(self.around.close)
        self.around.cluster["status"] = {"currentPrimary": "db-1", "instanceNames": list(ADDRESSES)}
        self.around.peer(donor, report("db-1", open=True, role="primary"))

    def home(self, instance: str) -> Home:
        ports = {"mysql_port": self.donor.mysql_port, "control_port": self.donor.control_port}
        made = home(self._factory, instance, ca=self.donor.ca, **ports)
        self._exits.callback(made.close)
        return made

    def join(self) -> Manager:
        return self.joiner.start("join", env=self.around.env)

    def check_copy(self) -> None:
        """The joiner's directory serves the donor's data under a server of its own identity."""
        assert sorted(p.name for p in self.joiner.volume.iterdir()) == [names.FILE_LOCK, "data"]
        assert not list(self.joiner.data.glob("*.pem"))
        with plain_server(self.joiner, "--super-read-only=ON"):
            for query in ("SELECT COUNT(*), SUM(CRC32(v)), MAX(id) FROM app.t", "SELECT @@GLOBAL.gtid_executed"):
                assert self.joiner.query(query) == self.donor.query(query)
            purged, executed, uuid = self.joiner.query(
                "SELECT @@GLOBAL.gtid_purged, @@GLOBAL.gtid_executed, @@GLOBAL.server_uuid"
            )[0]
            assert purged == executed
            assert uuid != self.donor.query("SELECT @@GLOBAL.server_uuid")[0][0]
            assert self.joiner.query("SELECT 1", "cnmysql_control", PASSWORDS["control"]) == [(1,)]


def report(name: str, **changes: Any) -> InstanceStatus:
    running = MysqldReport(state="running", since="2026-01-01T00:00:00Z")
    return InstanceStatus(**{"instance_name": name, "pod_uid": "u", "mysqld": running, "version": "9.7.4-2", **changes})


@pytest.fixture
def bed(mysqld_session: MysqldFactory, donor: Home) -> Iterator[Bed]:
    with ExitStack() as exits:
        yield Bed(mysqld_session, donor, exits)


def test_a_copy_has_the_donors_data_and_position(bed: Bed) -> None:
    manager = bed.join()
    stages: list[str] = []

    def finished() -> bool:
        try:
            seen = status(bed.joiner)["provisioning"]
        except OSError:
            return manager.process.poll() is not None
        if seen["stage"] not in stages:
            stages.append(seen["stage"])
        if seen["stage"] == "copy":
            assert seen["donor"] == "db-1"
        return manager.process.poll() is not None

    eventually(finished, "join ends", within=60)
    assert manager.wait() == 0, manager.log()
    assert "seed" in stages
    bed.check_copy()
    assert not list((bed.joiner.base / "tmp").iterdir())


def test_it_waits_for_a_donor_and_says_for_what(bed: Bed) -> None:
    bed.around.peers["db-1"].report = report("db-1", role="primary", open=False)
    manager = bed.join()

    def waiting() -> bool:
        problem = try_status(bed.joiner).get("problem", {})
        return problem.get("reason") == "NoDonor" and "db-1: the primary is not open" in problem["message"]

    eventually(waiting, "it says that it waits")
    assert "db-2: " in status(bed.joiner)["problem"]["message"]
    bed.around.peers["db-1"].report = report("db-1", role="primary", open=True)
    assert manager.wait() == 0, manager.log()
    bed.check_copy()


def test_a_peer_certificate_that_is_renewed_meanwhile_is_used_for_the_next_question(bed: Bed) -> None:
    peer = bed.joiner.base / "tls/peer"
    bed.donor.ca.issue("somebody-else", server=False).write(peer)
    manager = bed.join()

    def refused() -> bool:
        problem = try_status(bed.joiner).get("problem") or {}
        return "db-1: " in problem.get("message", "") and "403" in problem["message"]

    eventually(refused, "nobody answers a stranger")
    host = names.instance_host(bed.joiner.instance, NAMESPACE)
    bed.donor.ca.issue(o="cnmysql-peer", dns=(host,), server=False).write(peer)
    assert manager.wait() == 0, manager.log()
    bed.check_copy()


def test_a_donor_that_fails_is_left_for_another(bed: Bed) -> None:
    """db-2 looks like the better donor, but no server listens there."""
    follows = ReplicationReport(source_host="x", io_running=True, sql_running=True)
    bed.around.peer(bed.home("db-2"), report("db-2", role="replica", replication=follows))
    manager = bed.join()
    assert manager.wait() == 0, manager.log()
    told = [(r["msg"], r.get("donor")) for r in manager.records() if r["logger"] == "join" and "donor" in r]
    assert told[:2] == [("copying", "db-2"), ("copying failed", "db-2")]
    assert told[-1] == ("copying", "db-1")
    bed.check_copy()


def test_tables_that_would_be_empty_are_refused(bed: Bed) -> None:
    bed.donor.query("CREATE TABLE app.old (i INT) ENGINE=MyISAM")
    manager = bed.join()
    assert manager.wait() == 1
    assert bed.joiner.termination().startswith("NonTransactionalTables: ")
    assert "app.old" in bed.joiner.termination()
    assert not bed.joiner.data.exists()
    bed.donor.query("ALTER TABLE app.old ENGINE=InnoDB")
    again = bed.join()
    assert again.wait() == 0, again.log()
    bed.donor.query("DROP TABLE app.old")


def test_a_stranger_is_refused_by_the_donor(bed: Bed) -> None:
    """A certificate of the same CA with another subject does not copy anything."""
    bed.donor.ca.issue("somebody-else", o=NAMESPACE, server=False).write(bed.joiner.base / "tls/replication")
    manager = bed.join()

    def refused() -> bool:
        return any("1045" in r.get("error", "") for r in manager.records() if r["msg"] == "copying failed")

    eventually(refused, "the donor refuses it")
    manager.process.send_signal(signal.SIGTERM)
    assert manager.wait(15) == 1
    assert not bed.joiner.data.exists()


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_moment_it_ends_complete_or_is_done_again(bed: Bed, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(2):
        manager = bed.join()
        time.sleep(chance.uniform(0.3, USUAL_SECONDS))
        manager.kill()
        if bed.joiner.data.exists():
            assert Path(bed.joiner.data, names.FILE_BOOTSTRAPPED).exists(), "a directory at its place is complete"
    manager = bed.join()
    assert manager.wait() == 0, manager.log()
    bed.check_copy()
