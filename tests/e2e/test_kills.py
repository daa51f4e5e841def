"""Killed at random moments while it is being made: always ends Ready, never with a half data directory."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

import pytest

from cnmysql import names
from tests.e2e.conftest import SOAK, seeds
from tests.support import processes
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.kube import Json, Kube, TimedOut, eventually

pytestmark = pytest.mark.soak
MakeCluster = Callable[..., Cluster]
MET: list[list[bool]] = []
"""By seed, whether initdb and whether the join were still running when they were to be killed."""
SELECTOR = "control-plane=controller-manager"


def kill_bootstrap(cluster: Cluster, i: str, wait: float) -> int:
    """Once the bootstrap container of `i` runs, let `wait` seconds pass and kill everything in it.

    How many processes were killed; 0 when it had finished before. The pause is the random moment under test.
    """

    def running() -> Json | None:
        pod = cluster.kube.find("Pod", cluster.ns, i)
        for status in (pod or {}).get("status", {}).get("initContainerStatuses", []):
            if status["name"] == names.CONTAINER_BOOTSTRAP and "running" in status["state"]:
                return pod
        return pod if pod and pod["status"].get("phase") == "Running" else None

    pod = eventually(running, 90, f"the bootstrap container of {i}", every=0.05)
    assert pod is not None
    time.sleep(wait)
    state = cluster.kube.get("Pod", cluster.ns, i)["status"]
    if state.get("phase") == "Running":
        return 0
    victims = processes.of_pod(pod["metadata"]["uid"])
    for victim in victims:
        victim.kill()
    return len(victims)


@pytest.mark.parametrize("seed", seeds(3, 20))
def test_initdb_and_join_killed_at_random(make_cluster: MakeCluster, seed: int) -> None:
    rng = random.Random(seed)
    cluster = make_cluster().create(2)
    # initdb takes some seconds; a join waits for its donor first, so a later moment meets the copying.
    met = [
        kill_bootstrap(cluster, "db-1", rng.uniform(0.0, 3.0)),
        kill_bootstrap(cluster, "db-2", rng.uniform(0.0, 10.0)),
    ]
    MET.append([killed > 0 for killed in met])
    assert any(met), "both had finished before: nothing was put to the test"
    cluster.wait_ready(2, 180)
    for i in ("db-1", "db-2"):
        listing = cluster.kube.exec(cluster.ns, i, "ls", "-a", names.VOLUME_DIR).out.split()
        assert not [
            entry for entry in listing if entry.startswith((".cnmysql-initdb", ".cnmysql-join", ".cnmysql-clone"))
        ]
        checked = cluster.control(i, "CHECK TABLE mysql.user, mysql.db, mysql.gtid_executed").splitlines()
        assert [row.split("\t")[2:] for row in checked] == [["status", "OK"]] * 3
    with cluster.writer() as writer:
        writer.wait_for_more(5)
    cluster.wait_caught_up()
    assert writer.acknowledged <= cluster.ledger("db-2")


def test_both_initdb_and_join_were_met() -> None:
    """Of the seeds above; one of them alone may have met only one."""
    if not MET:
        pytest.skip("none of them ran")
    assert [any(met) for met in zip(*MET, strict=True)] == [True, True], MET


def operators(kube: Kube) -> list[Json]:
    return [p for p in kube.list("Pod", names.OPERATOR_NAMESPACE, SELECTOR) if "deletionTimestamp" not in p["metadata"]]


def kill_operators(kube: Kube) -> int:
    """SIGKILL every operator process: no graceful end, no Lease release. How many there were."""
    victims = [process for pod in operators(kube) for process in processes.of_pod(pod["metadata"]["uid"])]
    for victim in victims:
        victim.kill()
    return len(victims)


GIVEN = (
    "nodeName", "volumeName", "clusterIP", "clusterIPs",
    "holderIdentity", "renewTime", "acquireTime", "leaseTransitions",
)  # fmt: skip
"""What others fill in. An instance whose word crosses a write of the operator's gives its hold back and takes it again,
which counts as another transition."""


def asked_for(item: Json, cluster: Cluster) -> str:
    """What an object asks for, without what Kubernetes fills in and without the names of this run."""
    asked = ("spec", "rules", "roleRef", "subjects")
    parts = {k: dict(item[k]) if k == "spec" else item[k] for k in asked if k in item}
    if item["metadata"]["name"] in (names.config_map("db-1"), names.config_map("db-2")):
        parts["data"] = item["data"]
    for given in GIVEN:
        parts.get("spec", {}).pop(given, None)
    return (
        json.dumps(parts, sort_keys=True)
        .replace(cluster.ns, "NAMESPACE")
        .replace(cluster.get()["metadata"]["uid"], "UID")
    )


def shape(kube: Kube, cluster: Cluster) -> dict[str, list[str]]:
    """What exists in the namespace, without what differs by nature between two runs (uids, times, values)."""
    found: dict[str, list[str]] = {}
    for kind in (
        "Pod", "PersistentVolumeClaim", "Service", "Secret", "ConfigMap", "ServiceAccount", "Role", "RoleBinding",
        "Lease", "Certificate", "Issuer",
    ):  # fmt: skip
        rows = []
        for item in kube.list(kind, cluster.ns):
            meta = item["metadata"]
            owners = sorted(o["kind"] for o in meta.get("ownerReferences", []))
            keys = sorted(item.get("data", {}))
            labels = sorted((k, v) for k, v in meta.get("labels", {}).items() if "cloudnative-mysql" in k)
            rows.append(f"{meta['name']} owners={owners} keys={keys} labels={labels} {asked_for(item, cluster)}")
        found[kind] = sorted(rows)
    return found


@pytest.fixture(scope="module")
def undisturbed(kube: Kube) -> dict[str, list[str]]:
    with kube.namespace(fresh_namespace("undisturbed")) as ns:
        cluster = Cluster(kube, ns, "db").create(1).wait_ready(1)
        cluster.scale(2)
        cluster.wait_ready(2)
        return shape(kube, cluster)


@pytest.mark.parametrize("seed", seeds(3, 30))
def test_operator_killed_at_random(
    kube: Kube, make_cluster: MakeCluster, undisturbed: dict[str, list[str]], seed: int
) -> None:
    rng = random.Random(100 + seed)
    cluster = make_cluster().create(1)
    killed = 0
    for _ in range(3):
        time.sleep(rng.uniform(0.2, 3.0))  # the random moment under test
        killed += kill_operators(kube)
    cluster.wait_ready(1, 180)
    cluster.scale(2)
    for _ in range(2):
        time.sleep(rng.uniform(0.2, 3.0))
        killed += kill_operators(kube)
    assert killed >= 4, "both replicas ran at the first blow of each phase"
    cluster.wait_ready(2, 180)
    _wait_for_shape(kube, cluster, undisturbed)
    assert cluster.status["epoch"] == 1, "the bootstrap was ordered exactly once"


def _wait_for_shape(kube: Kube, cluster: Cluster, wanted: dict[str, list[str]]) -> None:
    """The same final objects. What differs until the end is told."""

    def differing() -> set[str]:
        found = shape(kube, cluster)
        return {f"{kind} {row}" for kind in wanted for row in set(found[kind]) ^ set(wanted[kind])}

    try:
        eventually(lambda: not differing(), 30)
    except TimedOut:
        assert differing() == set()


def leader(kube: Kube) -> str:
    lease = kube.find("Lease", names.OPERATOR_NAMESPACE, names.OPERATOR_LEASE) or {}
    return str(lease.get("spec", {}).get("holderIdentity") or "")


def test_leadership_moves_to_the_other_replica(kube: Kube, make_cluster: MakeCluster) -> None:
    eventually(lambda: len(operators(kube)) == 2 and leader(kube), 60, "two operators and a leader")
    before = leader(kube)
    [pod] = [p["metadata"]["name"] for p in operators(kube) if p["metadata"]["name"] in before]
    kube.delete("Pod", names.OPERATOR_NAMESPACE, pod)
    eventually(lambda: leader(kube) not in ("", before), 30, "another leader")
    make_cluster().create(1).wait_ready(1)


def test_the_counts_of_this_run() -> None:
    """A soak run that silently took the short counts would prove nothing."""
    assert len(seeds(3, 30)) == (30 if SOAK else 3)
