"""Whom a joining instance copies from."""

from __future__ import annotations

from typing import Any

import pytest

from cnmysql.mysql.version import Version
from cnmysql.protocol.report import InstanceStatus, MysqldReport, Problem, ProvisioningReport, ReplicationReport
from instance.provision.donor import Nobody, Peers, Silent, choose

V = Version(9, 7, 4)
RUNNING = MysqldReport(state="running", since="2026-01-01T00:00:00Z")
FOLLOWS = ReplicationReport(source_host="db-1.ns.svc", io_running=True, sql_running=True, seconds_behind_source=0)


def report(name: str, **changes: Any) -> InstanceStatus:
    base = {"instance_name": name, "pod_uid": "u", "mysqld": RUNNING, "version": "9.7.4-2"}
    return InstanceStatus(**{**base, **changes})


def primary(name: str = "db-1", **changes: Any) -> InstanceStatus:
    return report(name, **{"open": True, "role": "primary", **changes})


def replica(name: str, **changes: Any) -> InstanceStatus:
    return report(name, **{"role": "replica", "replication": FOLLOWS, **changes})


def ask(*reports: InstanceStatus | tuple[str, Silent], **changes: Any) -> str | Nobody:
    found = dict(r if isinstance(r, tuple) else (r.instance_name, r) for r in reports)
    return choose(Peers(**{"own": "db-9", "version": V, "primary": "db-1", "reports": found, **changes}))


def test_a_replica_before_the_primary() -> None:
    assert ask(primary(), replica("db-2"), replica("db-3")) == "db-2"
    assert ask(primary()) == "db-1"


def test_the_least_behind_then_the_lowest_ordinal() -> None:
    behind = FOLLOWS.model_copy(update={"seconds_behind_source": 90})
    unknown = FOLLOWS.model_copy(update={"seconds_behind_source": None})
    assert ask(replica("db-2", replication=behind), replica("db-10"), replica("db-3")) == "db-3"
    assert ask(replica("db-2", replication=unknown), replica("db-3", replication=behind)) == "db-3"


def test_one_that_failed_comes_last() -> None:
    assert ask(primary(), replica("db-2"), failed={"db-2": 1}) == "db-1"
    assert ask(primary(), replica("db-2"), failed={"db-2": 1, "db-1": 2}) == "db-2"


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (replica("db-2", mysqld=MysqldReport(state="exited", since="x")), "mysqld is exited"),
        (replica("db-2", provisioning=ProvisioningReport(mode="join", stage="copy")), "mysqld is running"),
        (replica("db-2", problem=Problem(reason="Diverged", message="m")), "Diverged"),
        (replica("db-2", errant="3e11fa47-71ca-11e1-9e33-c80aa9429562:1"), "has errant transactions"),
        (replica("db-2", version=None), "its version is not known"),
        (replica("db-2", version="8.4.3"), "MySQL 8.4.3 cannot be copied by 9.7.4"),
        (replica("db-2", replication=None), "follows nobody"),
        (
            replica("db-2", replication=FOLLOWS.model_copy(update={"sql_running": False})),
            "its replication is stopped",
        ),
        (replica("db-2", replication=FOLLOWS.model_copy(update={"io_running": False})), "its replication is stopped"),
        (primary(open=False), "the primary is not open"),
        (("db-2", Silent("does not answer")), "does not answer"),
    ],
)
def test_nobody_and_why(peer: InstanceStatus | tuple[str, Silent], why: str) -> None:
    found = ask(peer)
    assert isinstance(found, Nobody)
    assert list(found.reasons.values()) == [why]
    assert why in found.message


def test_a_replica_whose_source_is_away_may_serve() -> None:
    waiting = FOLLOWS.model_copy(update={"io_running": False, "io_connecting": True})
    assert ask(replica("db-2", replication=waiting)) == "db-2"


def test_excluded_by_the_cluster_and_never_oneself() -> None:
    found = ask(replica("db-2"), replica("db-9"), excluded=frozenset({"db-2"}))
    assert isinstance(found, Nobody)
    assert found.reasons == {"db-2": "diverged or fenced"}
    alone = ask()
    assert isinstance(alone, Nobody)
    assert "no other instance" in alone.message
