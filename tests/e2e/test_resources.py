"""What a Cluster needs runs out: memory and space are named, nothing acknowledged is lost, and it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pymysql
import pytest

from cnmysql import names
from tests.support import sql
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.kube import Kube, eventually

HOG = """
CREATE TEMPORARY TABLE hog (v CHAR(255) CHARACTER SET utf8mb4 NOT NULL) ENGINE=MEMORY
SELECT REPEAT('x', 255) AS v FROM information_schema.columns a, information_schema.columns b LIMIT 4000000
"""
"""4 million rows of 1 kB in memory."""
JUNK = f"{names.VOLUME_DIR}/junk"


@pytest.fixture(scope="module")
def lone(kube: Kube) -> Iterator[Cluster]:
    """One instance with a memory limit that an idle server keeps well."""
    with kube.namespace(fresh_namespace("resources")) as ns:
        limits = {"requests": {"cpu": "10m", "memory": "200Mi"}, "limits": {"memory": "1Gi"}}
        yield Cluster(kube, ns, "db").create(1, resources=limits).wait_ready(1, 240)


def test_a_server_that_needs_more_memory_than_it_may_have_is_named_and_comes_back(lone: Cluster) -> None:
    """The kernel kills the largest process of the cgroup, or all of them (memory.oom.group of cgroup v2)."""
    i = lone.primary
    with lone.writer() as writer:
        writer.wait_for_more()
        before = lone.mysqld(i)
        with (
            pytest.raises(pymysql.err.MySQLError),
            sql.connect(lone.address(i), lone.app, timeout=120) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET SESSION max_heap_table_size = 4294967296, SESSION tmp_table_size = 4294967296")
            cursor.execute(HOG)
        eventually(lambda: lone.mysqld(i).pid != before.pid, 60, "another mysqld")
        lone.wait_ready(1)
        writer.wait_for_more()
    missing = writer.acknowledged - lone.ledger(i)
    assert not missing, f"{i} lacks {sorted(missing)[:5]}"
    state = lone.pod(i)["status"]["containerStatuses"][0].get("lastState", {}).get("terminated", {})
    kinds = [r.get("kind") for r in map(json.loads, _records(lone, i)) if r["msg"] == "mysqld ended"]
    assert kinds == ["oomKilled"] or state.get("reason") == "OOMKilled"


def _records(cluster: Cluster, i: str) -> list[str]:
    return [line for line in cluster.kube.logs(cluster.ns, i).splitlines() if line.startswith("{")]


def test_a_volume_that_fills_is_told_before_it_is_full(lone: Cluster) -> None:
    i = lone.primary

    def pressure() -> str:
        found = [c for c in lone.status["conditions"] if c["type"] == "StoragePressure"]
        return f"{found[0]['status']} {found[0]['message']}".strip() if found else ""

    def told(reason: str) -> list[str]:
        return [e["type"] for e in lone.events() if e["reason"] == reason]

    eventually(lambda: pressure() == "False", 30, "usage to be reported")
    _shell(lone, f"fallocate -l $(($(df --output=avail -B1 {names.VOLUME_DIR} | tail -1) * 9 / 10)) {JUNK}")
    eventually(lambda: pressure().startswith(f"True data volumes are nearly full: {i};"), 30, "StoragePressure")
    eventually(lambda: told("StoragePressure") == ["Warning"], 10, "a Warning Event")
    assert lone.status["phase"] == "Ready", "it serves on"
    _shell(lone, f"rm {JUNK}")
    eventually(lambda: pressure() == "False", 30, "StoragePressure to end")
    eventually(lambda: told("StoragePressureResolved") == ["Normal"], 10, "an Event")


def _shell(cluster: Cluster, script: str) -> None:
    done = cluster.kube.exec(cluster.ns, cluster.primary, "sh", "-c", script)
    assert done.code == 0, done.err
