"""The API token of a running instance in the wrong hands: nothing beyond its own part of its own Cluster gives way.

Two Clusters share the namespace, one called `db` and one `db-1`, as the first instance of `db` is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cnmysql import names
from tests.support import processes
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.kube import ApiError, Json, Kube

NOW = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Stolen:
    """Calls with the tokens that instances really use. `twin` is the instance of the other Cluster, `db-1`."""

    db: Cluster
    other: Cluster
    primary: Kube
    replica: Kube
    twin: Kube


@pytest.fixture(scope="module")
def stolen(kube: Kube) -> Iterator[Stolen]:
    with kube.namespace(fresh_namespace("rights")) as ns, ExitStack() as stack:
        db, other = Cluster(kube, ns, "db").create(2), Cluster(kube, ns, "db-1").create(1)
        db.wait_ready(2, 240)
        other.wait_ready(1, 120)

        def take(pod: str) -> Kube:
            done = kube.exec(ns, pod, "cat", f"{names.TOKEN_DIR}/token")
            assert done.code == 0, done.err
            return stack.enter_context(kube.with_token(done.out))

        yield Stolen(db, other, take(db.primary), take(db.replicas[0]), take(other.primary))


@pytest.fixture(autouse=True)
def _everything_is_as_it_was(stolen: Stolen) -> Iterator[None]:
    """No attack leaves a mark: same orders, same holder, same data, Ready."""

    def state() -> list[Any]:
        kept = ("currentPrimary", "epoch", "roleChange", "phase", "divergedInstances")
        found: list[Any] = []
        for cluster in (stolen.db, stolen.other):
            lease = cluster.kube.get("Lease", cluster.ns, names.primary_lease(cluster.name))
            status = cluster.status
            found += [lease["spec"].get("holderIdentity"), *(status.get(k) for k in kept), cluster.get()["spec"]]
        return found

    before = state()
    yield
    assert state() == before
    for cluster, instances in ((stolen.db, 2), (stolen.other, 1)):
        cluster.wait_ready(instances)
        assert cluster.open_instances() == [cluster.primary]


def _refused(call: Callable[[], object], *said: str) -> None:
    with pytest.raises(ApiError) as refusal:
        call()
    assert refusal.value.code == 403, refusal.value
    for part in said:
        assert part in refusal.value.message


def _status(api: Kube, cluster: Cluster, **status: Any) -> Json:
    return api.patch("Cluster", cluster.ns, cluster.name, {"status": status}, sub="status")


def _lease(api: Kube, cluster: Cluster, holder: str) -> Json:
    """Write the holder of a primary Lease as an instance would: by replacing what was read, before a renewal does."""
    name = names.primary_lease(cluster.name)
    while True:
        lease = cluster.kube.get("Lease", cluster.ns, name)
        lease["spec"]["holderIdentity"] = holder
        try:
            return api.request("PUT", api.path("Lease", cluster.ns, name), json=lease)
        except ApiError as error:
            if error.code != 409:
                raise


def test_it_reads_its_own_cluster_and_nothing_else(stolen: Stolen) -> None:
    ns, api = stolen.db.ns, stolen.primary
    assert api.get("Cluster", ns, "db")["metadata"]["name"] == "db"
    selected = api.request("GET", api.path("Cluster", ns), params={"fieldSelector": "metadata.name=db"})
    assert [c["metadata"]["name"] for c in selected["items"]] == ["db"]
    _refused(lambda: api.get("Cluster", ns, "db-1"))
    _refused(lambda: api.list("Cluster", ns))
    _refused(lambda: api.get("Lease", ns, names.primary_lease("db-1")))
    secrets = (names.secret_root("db"), names.secret_control("db"), names.secret_ca("db"), names.secret_app("db-1"))
    for secret in secrets:
        _refused(lambda: api.get("Secret", ns, secret))  # noqa: B023
    for kind in ("Secret", "Pod", "ConfigMap", "ServiceAccount", "Service", "Lease", "Event", "Node", "Namespace"):
        _refused(lambda: api.list(kind, ns))  # noqa: B023
        _refused(lambda: api.list(kind))  # noqa: B023
    _refused(lambda: api.get("Pod", ns, "db-1"))


def test_it_cannot_become_anybody_else(stolen: Stolen) -> None:
    ns, api = stolen.db.ns, stolen.primary
    for account in (names.service_account("db-1"), names.service_account("db-2"), "default"):
        path = api.path("ServiceAccount", ns, account, "token")
        _refused(lambda: api.request("POST", path, json={"spec": {}}))  # noqa: B023
    _refused(lambda: api.request("GET", api.path("Cluster", ns), headers={"Impersonate-User": "admin"}))
    _refused(lambda: api.create("Pod", ns, {"metadata": {"name": "mine"}, "spec": {"containers": []}}))
    _refused(lambda: api.request("POST", api.path("Pod", ns, "db-2", "exec"), params={"command": "id"}))


def test_it_cannot_change_a_spec_or_delete_anything(stolen: Stolen) -> None:
    ns = stolen.db.ns
    for api in (stolen.primary, stolen.replica, stolen.twin):
        for cluster in ("db", "db-1"):
            _refused(lambda: api.patch("Cluster", ns, cluster, {"spec": {"instances": 1}}))  # noqa: B023
            _refused(lambda: api.patch("Cluster", ns, cluster, {"metadata": {"annotations": {"a": "b"}}}))  # noqa: B023
            _refused(lambda: api.delete("Cluster", ns, cluster))  # noqa: B023
            _refused(lambda: api.delete("Lease", ns, names.primary_lease(cluster)))  # noqa: B023
            _refused(lambda: api.patch("Cluster", ns, cluster, {"spec": {"replicas": 1}}, sub="scale"))  # noqa: B023


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Ready!"},
        {"epoch": 99},
        {"roleChange": {"epoch": 99, "kind": "bootstrap", "to": "db-2", "since": NOW}},
        {"divergedInstances": ["db-2"]},
        {"leaseHolder": "db-2/x"},
        {"conditions": []},
    ],
    ids=lambda status: next(iter(status)),
)
def test_it_cannot_write_what_the_operator_writes(stolen: Stolen, status: Json) -> None:
    (field,) = status
    for api in (stolen.primary, stolen.replica):
        _refused(lambda: _status(api, stolen.db, **status), "may not change status fields", field)  # noqa: B023


def test_it_cannot_ask_for_another_primary(stolen: Stolen) -> None:
    """Refused, or dropped by the API server as long as no release reads the field."""
    for api in (stolen.primary, stolen.replica):
        try:
            written = _status(api, stolen.db, targetPrimary="db-2")
        except ApiError as error:
            assert error.code == 403, error
        else:
            assert "targetPrimary" not in written["status"]


def test_a_replica_cannot_declare_itself_or_anybody_else_primary(stolen: Stolen) -> None:
    own, primary = stolen.db.replicas[0], stolen.db.primary
    claim = {"currentPrimaryTimestamp": NOW}
    _refused(lambda: _status(stolen.replica, stolen.db, currentPrimary=own, **claim), "is not ordered to open")
    _refused(lambda: _status(stolen.replica, stolen.db, currentPrimary="db-3", **claim), "may not write")
    _refused(lambda: _status(stolen.replica, stolen.db, currentPrimary=None, **claim), "may not write")
    _refused(lambda: _status(stolen.replica, stolen.db, **claim), primary)
    _refused(lambda: _status(stolen.primary, stolen.db, currentPrimary=own, **claim), "may not write")


def test_a_name_that_begins_like_another_opens_nothing(stolen: Stolen) -> None:
    """The instance of `db-1` is called db-1-1: by its beginning it would belong to `db`, and be its instance db-1."""
    claim = {"currentPrimary": "db-1-1", "currentPrimaryTimestamp": NOW}
    _refused(lambda: _status(stolen.twin, stolen.db, **claim))
    _refused(lambda: _lease(stolen.twin, stolen.db, f"db-1-1/{stolen.other.uid('db-1-1')}"))
    _refused(lambda: _status(stolen.primary, stolen.other, currentPrimary="db-1", currentPrimaryTimestamp=NOW))
    _refused(lambda: _lease(stolen.primary, stolen.other, ""))


def test_a_lease_is_written_by_its_holder_alone(stolen: Stolen) -> None:
    db, replica = stolen.db, stolen.db.replicas[0]
    own = names.holder_identity(replica, db.uid(replica))
    held = names.holder_identity(db.primary, db.uid(db.primary))
    _refused(lambda: _lease(stolen.replica, db, own), "is held by", held)
    _refused(lambda: _lease(stolen.replica, db, ""), "is held by", held)
    _refused(lambda: _lease(stolen.replica, db, held), "is not the instance and Pod uid")
    _refused(lambda: _lease(stolen.primary, db, own), "is not the instance and Pod uid")
    _refused(lambda: _lease(stolen.primary, db, names.holder_identity(db.primary, "another-life")), "Pod uid")
    lease = {"metadata": {"name": "mine"}, "spec": {"holderIdentity": own}}
    _refused(lambda: stolen.replica.create("Lease", db.ns, lease))


# -- what a container itself may do ------------------------------------------------------------------------------------


def _containers(pod: Json) -> list[Json]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def _pods(kube: Kube, stolen: Stolen) -> list[Json]:
    selector = ",".join(f"{k}={v}" for k, v in names.operator_labels().items())
    operators = kube.list("Pod", names.OPERATOR_NAMESPACE, selector)
    assert operators
    return [*stolen.db.pods().values(), *operators]


def test_every_container_is_restricted(kube: Kube, stolen: Stolen) -> None:
    namespace = kube.get("Namespace", None, names.OPERATOR_NAMESPACE)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in _pods(kube, stolen):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not [v["name"] for v in spec["volumes"] if v["name"].startswith("kube-api-access")]
        for container in _containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, container["name"]
            assert context["readOnlyRootFilesystem"] is True, container["name"]
            assert context["capabilities"] == {"drop": ["ALL"]}, container["name"]
            assert not context.get("privileged")


def test_the_kernel_agrees(kube: Kube, stolen: Stolen) -> None:
    """What was asked for is what the running processes have."""
    for pod in _pods(kube, stolen):
        running = processes.of_pod(pod["metadata"]["uid"])
        assert running, pod["metadata"]["name"]
        for process in running:
            folder = Path("/proc", str(process.pid))
            lines = (line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            facts = {name: value.split() for name, value in lines}
            assert "0" not in facts["Uid"], process
            assert int(facts["CapEff"][0], 16) == int(facts["CapBnd"][0], 16) == 0, process
            assert (facts["NoNewPrivs"], facts["Seccomp"]) == (["1"], ["2"]), process
            root = next(line for line in (folder / "mountinfo").read_text().splitlines() if line.split()[4] == "/")
            assert "ro" in root.split()[5].split(","), process


def test_a_token_is_where_it_is_used_and_ends_within_the_hour(kube: Kube, stolen: Stolen) -> None:
    for pod in _pods(kube, stolen):
        lives = [
            source["serviceAccountToken"]["expirationSeconds"]
            for volume in pod["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
            if "serviceAccountToken" in source
        ]
        assert lives
        assert max(lives) <= 3600
        users = {c["name"] for c in _containers(pod) for m in c["volumeMounts"] if m["mountPath"] == names.TOKEN_DIR}
        assert names.CONTAINER_TREE not in users
        joined = pod["metadata"]["name"] == "db-2"
        assert (names.CONTAINER_BOOTSTRAP in users) == joined, pod["metadata"]["name"]
