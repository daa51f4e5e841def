"""Whatever dies comes back by itself, with the same data, on the same volume."""

from __future__ import annotations

import signal

import pymysql
import pytest

from cnmysql import names
from tests.bed.processes import start_time
from tests.support import bed, processes, sql
from tests.support.cluster import Cluster
from tests.support.kube import eventually


def volumes(cluster: Cluster) -> dict[str, str]:
    claims = cluster.kube.list("PersistentVolumeClaim", cluster.ns)
    return {c["metadata"]["name"]: c["metadata"]["uid"] for c in claims}


def chosen(cluster: Cluster, role: str) -> str:
    return cluster.primary if role == "primary" else cluster.replicas[0]


def check_whole(cluster: Cluster, acknowledged: set[int]) -> None:
    """Every acknowledged row is on every instance, one is open, and the Services agree."""
    cluster.wait_ready(3)
    cluster.wait_caught_up()
    for i in cluster.status["instanceNames"]:
        missing = acknowledged - cluster.ledger(i)
        assert not missing, f"{i} lacks {sorted(missing)[:5]}"
    assert cluster.open_instances() == [cluster.primary]
    eventually(lambda: cluster.routed("rw") == {cluster.primary}, 10, "rw to reach the primary")


@pytest.mark.parametrize("role", ["primary", "replica"])
@pytest.mark.parametrize("force", [False, True], ids=["graceful", "forced"])
def test_a_deleted_pod_comes_back_on_its_volume(trio: Cluster, role: str, force: bool) -> None:
    before, epoch = volumes(trio), trio.status["epoch"]
    victim = chosen(trio, role)
    uid = trio.uid(victim)
    with trio.writer() as writer:
        writer.wait_for_more()
        trio.kube.delete("Pod", trio.ns, victim, grace=0 if force else None)
        eventually(
            lambda: trio.pods().get(victim, {"metadata": {"uid": uid}})["metadata"]["uid"] != uid, 60, "a new Pod"
        )
        trio.wait_ready(3)
        writer.wait_for_more()
    check_whole(trio, writer.acknowledged)
    assert volumes(trio) == before
    assert trio.primary == names.instance(trio.name, 1)
    if role == "primary":
        assert trio.status["epoch"] == epoch + 1
    else:
        assert trio.status["epoch"] == epoch
        assert not writer.errors


@pytest.mark.parametrize("role", ["primary", "replica"])
@pytest.mark.parametrize("victim", ["mysqld", "manager"])
def test_a_killed_process_comes_back_in_place(trio: Cluster, role: str, victim: str) -> None:
    i = chosen(trio, role)
    uid, epoch = trio.uid(i), trio.status["epoch"]
    with trio.writer() as writer:
        writer.wait_for_more()
        before = trio.mysqld(i)
        (before if victim == "mysqld" else trio.manager(i)).kill()
        eventually(lambda: trio.mysqld(i).pid != before.pid, 60, "another mysqld")
        trio.wait_ready(3)
        writer.wait_for_more()
    check_whole(trio, writer.acknowledged)
    assert trio.uid(i) == uid, "no Pod was replaced"
    assert trio.status["epoch"] == epoch, "a restart in place is no role change"


def test_a_killed_watchdog_closes_the_primary_and_it_reopens(trio: Cluster) -> None:
    """Without its watchdog an open server has nobody to stop it when its manager is stuck, so it must not stay open."""
    i = trio.primary
    before = trio.mysqld(i)
    watchdogs = [p for p in processes.of_pod(trio.uid(i)) if "mysqld" not in p.command[0] and p.inner_pid != 1]
    assert watchdogs
    with trio.writer() as writer:
        writer.wait_for_more()
        for watchdog in watchdogs:
            watchdog.kill()
        eventually(lambda: trio.mysqld(i).pid != before.pid, 60, "mysqld to have been restarted")
        trio.wait_ready(3)
        writer.wait_for_more()
    check_whole(trio, writer.acknowledged)


def test_a_stuck_manager_cannot_keep_a_server_open(trio: Cluster) -> None:
    """SIGSTOP on PID 1: nobody renews the Lease, so the watchdog must kill mysqld before anyone may take over."""
    i = trio.primary
    server, manager = trio.mysqld(i), trio.manager(i)
    with trio.writer() as writer:
        writer.wait_for_more()
        manager.kill(signal.SIGSTOP)
        try:
            eventually(lambda: start_time(server.pid) is None, 12, "the watchdog to kill mysqld")
        finally:
            manager.kill(signal.SIGCONT)
        trio.wait_ready(3)
        writer.wait_for_more()
    check_whole(trio, writer.acknowledged)


def test_a_primary_that_dies_while_its_pod_is_deleted_is_proven_closed(trio: Cluster) -> None:
    """It leaves its hold on the Lease behind; that its container ended, by the kubelet's word, is what clears it."""
    i, before, epoch = trio.primary, volumes(trio), trio.status["epoch"]
    uid, manager = trio.uid(i), trio.manager(i)
    with trio.writer() as writer:
        writer.wait_for_more()
        manager.kill(signal.SIGSTOP)  # so that it cannot close in order when the kubelet asks it to
        trio.kube.delete("Pod", trio.ns, i)
        manager.kill()
        holder = trio.kube.get("Lease", trio.ns, names.primary_lease(trio.name))["spec"]["holderIdentity"]
        assert holder == f"{i}/{uid}"
        eventually(lambda: trio.pods().get(i, {"metadata": {"uid": uid}})["metadata"]["uid"] != uid, 60, "a new Pod")
        trio.wait_ready(3)
        writer.wait_for_more()
    check_whole(trio, writer.acknowledged)
    assert volumes(trio) == before
    assert trio.status["epoch"] == epoch + 1


def test_the_api_server_away_is_survived(trio: Cluster) -> None:
    epoch, address, login = trio.status["epoch"], trio.address(trio.primary), trio.app
    with trio.writer() as writer:
        writer.wait_for_more()
        with bed.apiserver_frozen():
            eventually(lambda: not _accepts(address, login), 30, "the primary to close without its Lease")
        trio.wait_ready(3)
        writer.wait_for_more()
    check_whole(trio, writer.acknowledged)
    assert trio.status["epoch"] == epoch


@pytest.mark.parametrize("role", ["primary", "replica"])
def test_a_stopped_node_brings_its_instance_back(trio: Cluster, role: str) -> None:
    before = volumes(trio)
    i = chosen(trio, role)
    node, address, login = trio.pod(i)["spec"]["nodeName"], trio.address(i), trio.app
    with trio.writer() as writer:
        writer.wait_for_more()
        with bed.node_stopped(node):
            eventually(lambda: not _answers(address, login), 60, f"{i} to be gone")
            # Until the operator has seen it too, its Ready is that of before.
            trio.wait(lambda c: c["status"]["readyInstances"] == 2, 60, "the operator to miss an instance")
        trio.wait_ready(3, 180)
        writer.wait_for_more()
    check_whole(trio, writer.acknowledged)
    assert volumes(trio) == before


def _accepts(address: str, login: sql.Login) -> bool:
    """Whether the server takes writes, asked without the API server."""
    try:
        return bool(sql.query(address, login, "SELECT @@GLOBAL.read_only")[0][0] == 0)
    except (pymysql.err.MySQLError, OSError):
        return False


def _answers(address: str, login: sql.Login) -> bool:
    try:
        sql.query(address, login, "DO 1")
    except (pymysql.err.MySQLError, OSError):
        return False
    return True
