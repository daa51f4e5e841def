"""Changes reach running instances: live where the server can, else one Pod at a time with the primary last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cnmysql import names
from tests.support.cluster import Cluster
from tests.support.kube import Json, Kube, eventually

MakeCluster = Callable[..., Cluster]


@contextmanager
def watching(cluster: Cluster) -> Iterator[list[tuple[str, ...]]]:
    """Collects every distinct set of not-ready instances seen meanwhile, in order of appearance."""
    seen: list[tuple[str, ...]] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.1):
            down = []
            for i in cluster.get()["status"]["instanceNames"]:
                pod = cluster.kube.find("Pod", cluster.ns, i)
                conditions = (pod or {}).get("status", {}).get("conditions", [])
                if not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                    down.append(i)
            if down and (not seen or seen[-1] != tuple(down)):
                seen.append(tuple(down))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(10)


def roll(cluster: Cluster, spec: dict[str, object]) -> None:
    """Change the spec and check the order in which Pods went away."""
    uids = {i: p["metadata"]["uid"] for i, p in cluster.pods().items()}
    with watching(cluster) as down:
        cluster.patch({"spec": spec})
        eventually(
            lambda: (
                all(p["metadata"]["uid"] != uids.get(i) for i, p in cluster.pods().items()) and len(cluster.pods()) == 3
            ),
            240,
            "every Pod to be replaced",
        )
        cluster.wait_ready(3, 120)
    assert all(len(at_once) == 1 for at_once in down), f"two at once: {down}"
    order = [at_once[0] for at_once in down]
    assert order[-1] == cluster.primary
    assert set(order) == set(uids)


def test_static_changes_roll_replicas_first_and_the_primary_last(trio: Cluster) -> None:
    with trio.writer() as writer:
        writer.wait_for_more()
        roll(trio, {"resources": {"requests": {"cpu": "15m", "memory": "300Mi"}}})
        roll(trio, {"mysql": {"parameters": {"back_log": "120"}}})
        writer.wait_for_more()
    for i in trio.status["instanceNames"]:
        assert trio.control(i, "SELECT @@GLOBAL.back_log") == "120"
    trio.wait_caught_up()
    assert writer.acknowledged <= trio.ledger(trio.replicas[0])


def test_an_image_of_the_same_series_rolls(trio: Cluster) -> None:
    version = trio.control(trio.primary, "SELECT SUBSTRING_INDEX(@@version, '-', 1)")
    roll(trio, {"imageName": f"docker.io/library/mysql:{version}"})
    assert trio.status["image"] == f"docker.io/library/mysql:{version}"


def test_a_dynamic_parameter_applies_without_any_restart(trio: Cluster) -> None:
    uids = {i: p["metadata"]["uid"] for i, p in trio.pods().items()}
    pids = {i: trio.mysqld(i).pid for i in uids}
    defaults = {i: trio.control(i, "SELECT @@GLOBAL.max_connections") for i in uids}
    with trio.writer() as writer:
        writer.wait_for_more()
        trio.patch({"spec": {"mysql": {"parameters": {"max_connections": "77", "long_query_time": "1.5"}}}})
        for i in uids:
            trio.wait_sql(i, "SELECT @@GLOBAL.max_connections", "77")
            assert trio.control(i, "SELECT @@GLOBAL.long_query_time").startswith("1.5")
        trio.patch({"spec": {"mysql": {"parameters": {"max_connections": None, "long_query_time": None}}}})
        for i in uids:
            trio.wait_sql(i, "SELECT @@GLOBAL.max_connections", defaults[i])
        trio.wait_ready(3)
    assert not writer.errors
    assert {i: p["metadata"]["uid"] for i, p in trio.pods().items()} == uids
    assert {i: trio.mysqld(i).pid for i in uids} == pids


def test_a_value_that_mysqld_refuses_is_told_and_harms_no_start(trio: Cluster) -> None:
    replica = trio.replicas[0]
    uid = trio.uid(replica)
    with trio.writer() as writer:
        writer.wait_for_more()
        trio.patch({"spec": {"mysql": {"parameters": {"default_storage_engine": "FOO", "max_connections": "77"}}}})

        def told(cluster: Json) -> bool:
            status = cluster["status"]
            reason = status.get("phaseReason", "")
            found = {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}
            named = all(i in reason for i in status["instanceNames"])
            said = "refuses default_storage_engine = FOO (MySQL error 1286: Unknown storage engine 'FOO')" in reason
            return named and said and found.get(names.CONDITION_PARAMETERS) == ("False", "ParameterRejected", reason)

        trio.wait(told, 60, "every instance's refusal to be told")
        trio.wait_ready(3)
        events = [e for e in trio.events() if e.get("reason") == names.PARAMETER_REJECTED]
        assert events and all(e["type"] == "Warning" for e in events)
        trio.kube.delete("Pod", trio.ns, replica)
        eventually(lambda: all(p["metadata"]["uid"] != uid for p in trio.pods().values()), 60, "the Pod to be gone")
        trio.wait_ready(3, 120)
        trio.wait_sql(replica, "SELECT @@GLOBAL.default_storage_engine", "InnoDB")
        trio.wait_sql(replica, "SELECT @@GLOBAL.max_connections", "77")
        trio.patch({"spec": {"mysql": {"parameters": {"default_storage_engine": None, "max_connections": None}}}})

        def applied(cluster: Json) -> bool:
            found = [c for c in cluster["status"]["conditions"] if c["type"] == names.CONDITION_PARAMETERS]
            return bool(found and found[0]["status"] == "True" and not cluster["status"].get("phaseReason"))

        trio.wait(applied, 60, "the correction to be applied")
        writer.wait_for_more()
    assert not writer.errors


def test_metadata_is_merged_without_any_restart(kube: Kube, trio: Cluster) -> None:
    uids = {i: p["metadata"]["uid"] for i, p in trio.pods().items()}
    service, pod = names.service_rw(trio.name), trio.replicas[0]
    kube.patch("Service", trio.ns, service, {"metadata": {"annotations": {"lb.example/id": "42"}}})
    kube.patch("Pod", trio.ns, pod, {"metadata": {"labels": {"team": "theirs"}}})
    trio.patch({"spec": {"inheritedMetadata": {"labels": {"cost": "red"}, "annotations": {"note": "ours"}}}})

    def carried(kind: str, name: str) -> bool:
        meta = kube.get(kind, trio.ns, name)["metadata"]
        return bool(meta.get("labels", {}).get("cost") == "red" and meta.get("annotations", {}).get("note") == "ours")

    objects = [("Service", service), ("Pod", pod), ("PersistentVolumeClaim", pod), ("Secret", "db-root")]
    eventually(lambda: all(carried(kind, name) for kind, name in objects), 30, f"all of {objects} to inherit")
    trio.patch({"spec": {"inheritedMetadata": {"labels": {"cost": "blue"}, "annotations": None}}})
    eventually(lambda: kube.get("Pod", trio.ns, pod)["metadata"]["labels"]["cost"] == "blue", 30, "the new value")
    eventually(lambda: "note" not in kube.get("Pod", trio.ns, pod)["metadata"].get("annotations", {}), 30, "ours gone")
    assert kube.get("Service", trio.ns, service)["metadata"]["annotations"]["lb.example/id"] == "42"
    assert kube.get("Pod", trio.ns, pod)["metadata"]["labels"]["team"] == "theirs"
    trio.wait_ready(3)
    assert {i: p["metadata"]["uid"] for i, p in trio.pods().items()} == uids


def test_a_template_that_cannot_start_stops_at_the_first_pod(trio: Cluster) -> None:
    uids = {i: p["metadata"]["uid"] for i, p in trio.pods().items()}
    good = trio.get()["spec"]["imageName"]
    with trio.writer() as writer:
        writer.wait_for_more()
        trio.patch({"spec": {"imageName": "docker.io/library/mysql:9.7-not-there"}})
        trio.wait(
            lambda c: c["status"].get("readyInstances") == 2 and "mage" in c["status"].get("phaseReason", ""),
            90,
            "the image that is not there to be named",
        )
        writer.wait_for_more(200)
        changed = [i for i, p in trio.pods().items() if p["metadata"]["uid"] != uids[i]]
        assert len(changed) == 1
        assert changed != [trio.primary]
        trio.patch({"spec": {"imageName": good}})
        trio.wait_ready(3, 120)
        writer.wait_for_more()
    assert not writer.errors


def test_a_volume_grows_in_place(kube: Kube, make_cluster: MakeCluster) -> None:
    cluster = make_cluster().create(1).wait_ready(1)
    uid = cluster.uid("db-1")

    def blocks() -> int:
        return int(kube.exec(cluster.ns, "db-1", "stat", "-f", "-c", "%b", names.VOLUME_DIR).out)

    before = blocks()
    cluster.patch({"spec": {"storage": {"size": "2Gi"}}})
    eventually(lambda: blocks() > before * 1.8, 60, "the file system to have grown")
    cluster.wait_ready(1)
    assert cluster.uid("db-1") == uid
