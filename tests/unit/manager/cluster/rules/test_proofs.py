"""When the holder of the Lease counts as closed, and everything that looks like it and does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cnmysql.protocol.report import MysqldReport
from manager.cluster.rules import proofs
from manager.cluster.snapshot import FRESH_SECONDS, Departed, Report, Snapshot
from tests.unit.manager.snapshots import pod, pod_uid, ready, says, silent

Json = dict[str, Any]
ENDED: Json = {"exitCode": 137, "reason": "Error", "containerID": "containerd://first"}


def going(terminated: Mapping[str, Any] = ENDED, **container: Any) -> Snapshot:
    """db-1's Pod is being deleted and its kubelet says that the container ended; nobody hears the instance."""
    entry = {"name": "mysql", "containerID": "containerd://first", "state": {"terminated": terminated}, **container}
    change = {"metadata": {"deletionTimestamp": "now"}, "status": {"containerStatuses": [entry]}}
    return silent(pod(ready(3), "db-1", change), "db-1")


def heard(s: Snapshot, *, age: float = 0.0, **changes: Any) -> Snapshot:
    """With a report of db-1 again, of this age."""
    before = ready(3).observations["db-1"]
    assert isinstance(before, Report)
    said = replace(s, observations={**s.observations, "db-1": replace(before, seen=s.clock - age)})
    return says(said, "db-1", **changes)


def proof(s: Snapshot) -> str:
    holder = f"db-1/{pod_uid(ready(3), 'db-1')}"
    said = proofs.closed(s, holder)
    assert proofs.ended(s, holder) == ("kubelet" in said)
    return said


def mysqld(state: Any) -> MysqldReport:
    return MysqldReport(state=state, since="now")


def test_the_kubelets_word_of_a_container_that_nobody_hears() -> None:
    assert proof(going()) == "the kubelet's word: container of db-1 terminated, exit code 137"
    assert proof(going({"exitCode": 137})), "a status without ids names no other container"
    assert proof(going(containerID=""))


@pytest.mark.parametrize(
    "s",
    [
        pytest.param(going({**ENDED, "reason": "ContainerStatusUnknown"}), id="the kubelet guesses"),
        pytest.param(going(containerID="containerd://second", restartCount=1), id="another container"),
        pytest.param(going(state={"running": {}}, lastState={"terminated": ENDED}), id="the one before"),
    ],
)
def test_the_end_of_another_container_proves_nothing(s: Snapshot) -> None:
    assert proof(s) == ""


@pytest.mark.parametrize(
    "says",
    [
        {"open": True, "closed": False},
        {"open": False, "closed": False, "mysqld": mysqld("running")},
        {"open": False, "closed": True, "mysqld": mysqld("running"), "epoch": 0},
        {"open": False, "closed": False, "mysqld": mysqld("starting")},
        {"open": False, "closed": False, "mysqld": mysqld("stopping")},
    ],
)
def test_an_instance_that_is_heard_now_knows_better_than_its_kubelet(says: dict[str, Any]) -> None:
    assert proof(heard(going(), **says)) == ""
    assert "kubelet" in proof(heard(going(), age=FRESH_SECONDS + 0.1, **says)), "it is not heard now"
    assert "kubelet" in proof(heard(going(), **says, pod_uid="another")), "it is another Pod's word"


def test_a_dead_mysqld_does_not_contradict_the_kubelet() -> None:
    assert "kubelet" in proof(heard(going(), open=False, closed=True, epoch=0, mysqld=mysqld("exited")))


def test_a_pod_deleted_by_force_that_still_speaks_is_not_closed() -> None:
    s = going()
    uid = pod_uid(s, "db-1")
    former = Departed(s.objects.pods["db-1"], s.clock - 1)
    gone = replace(pod(s, "db-1", None), departed={uid: former})
    assert "kubelet" in proof(gone)
    spoken = heard(gone).observations["db-1"]
    still = replace(gone, observations={uid: spoken})
    assert proof(still) == ""
