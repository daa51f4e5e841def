"""Attacks on a running Cluster from the network and through objects: each fails, and the Cluster goes on working."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
import pytest

from cnmysql import names
from cnmysql.log import Secret
from cnmysql.mysql.digest import derived
from cnmysql.protocol.accounts import AccountsOrder, RootOrder
from tests.bed import deploy, facts, network, shell
from tests.bed.config import Paths
from tests.support import outward, sql
from tests.support.certs import Authority, Leaf
from tests.support.cluster import Cluster
from tests.support.control import request
from tests.support.dial import HandshakeFailed, ask, leaf_of
from tests.support.flood import flooding, turned_away
from tests.support.kube import ApiError, Json, Kube, eventually

STATUS = request("GET", "/status")
STREAM = request("GET", "/status/stream")
CLOSE = request("POST", "/role/close", b'{"epoch": 999}')
TAKE_OVER = AccountsOrder(RootOrder("9", derived(Secret("attacker"), "attack"), remote=True))
"""root with a password of the attacker's own, from everywhere."""
ACCOUNTS = request("POST", "/accounts", TAKE_OVER.to_json())
EVERY_CALL = (STATUS, STREAM, CLOSE, ACCOUNTS)


@pytest.fixture(autouse=True)
def _the_cluster_goes_on_working(trio: Cluster) -> Iterator[None]:
    """Nothing has moved, nobody was restarted, and a client that wrote all the time saw no error."""

    def state() -> list[Any]:
        status = trio.status
        pods = trio.pods()
        restarts = {i: [c["restartCount"] for c in p["status"]["containerStatuses"]] for i, p in pods.items()}
        uids = {i: p["metadata"]["uid"] for i, p in pods.items()}
        return [status["epoch"], status["currentPrimary"], status.get("roleChange"), restarts, uids]

    before = state()
    with trio.writer() as writer:
        writer.wait_for_more()
        yield
        writer.wait_for_more()
    assert not writer.errors
    trio.wait_ready(3)
    assert state() == before
    assert trio.open_instances() == [trio.primary]


@pytest.fixture(scope="module")
def authority(trio: Cluster) -> Authority:
    """The Cluster's own CA with its signing key, which no instance ever sees."""
    stolen = leaf_of(trio, names.secret_ca(trio.name))
    return Authority.of(stolen.certificate, stolen.key)


def test_only_certificates_of_the_clusters_ca_pass_the_handshake(trio: Cluster, authority: Authority) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    outsiders: dict[str, Leaf | None] = {
        "no certificate": None,
        "another CA": Authority("db-ca").issue(names.OPERATOR_CN, server=False),
        "expired": authority.issue(
            names.OPERATOR_CN, server=False, not_before=yesterday - timedelta(days=9), not_after=yesterday
        ),
        "the server's own": leaf_of(trio, names.secret_server_tls(trio.primary)),
    }
    for who, leaf in outsiders.items():
        for call in EVERY_CALL:
            with pytest.raises(HandshakeFailed):
                pytest.fail(f"{who}: {ask(trio, trio.primary, call, leaf)}")
    assert ask(trio, trio.primary, STATUS, leaf_of(trio, names.secret_client_tls(trio.name))).code == 200


def test_a_certificate_of_the_right_ca_does_what_its_identity_may_and_nothing_else(
    trio: Cluster, authority: Authority
) -> None:
    peer = leaf_of(trio, names.secret_peer_tls(trio.replicas[0]))
    assert ask(trio, trio.primary, STATUS, peer).code == 200
    strangers = {
        "a peer": (peer, (STREAM, CLOSE, ACCOUNTS)),
        "replication": (leaf_of(trio, names.secret_replication_tls(trio.name)), EVERY_CALL),
        "a peer of db-1": (
            authority.issue(o="cnmysql-peer", dns=(names.instance_host("db-1-1", trio.ns),), server=False),
            EVERY_CALL,
        ),
        "nobody": (authority.issue("nobody", server=False), EVERY_CALL),
    }
    for who, (leaf, calls) in strangers.items():
        for call in calls:
            try:
                answer = ask(trio, trio.primary, call, leaf)
            except HandshakeFailed:
                pytest.fail(f"{who} did not pass the handshake")
            assert (answer.code, answer.error) == (403, "this certificate may not do that"), who
    with pytest.raises(pymysql.err.OperationalError):
        trio.query(trio.primary, "SELECT 1", login=sql.Login("root", "attacker"))
    operator = leaf_of(trio, names.secret_client_tls(trio.name))
    assert ask(trio, trio.primary, request("GET", "/metrics"), operator).code == 404
    assert ask(trio, trio.primary, request("POST", "/role/close", b"{"), operator).code == 400
    assert ask(trio, trio.primary, b"nonsense\r\n\r\n", operator).error


def test_floods_of_the_control_api_and_the_probes_hold_nothing_up(trio: Cluster, tmp_path: Path) -> None:
    """10,000 slow connections, handshakes and bodies of a gigabyte; the operator hears every instance throughout."""
    address = trio.address(trio.primary)
    peer = leaf_of(trio, names.secret_peer_tls(trio.replicas[0])).write(tmp_path / "peer")
    (tmp_path / "anonymous").mkdir()
    lost = _lost_streams(trio)
    with contextlib.ExitStack() as stack:
        # Bodies first: once an address has used up its tries, nobody there gets as far as a request.
        turned_away(stack.enter_context(flooding("body", address, names.PORT_CONTROL, 30, directory=peer)))
        anonymous = tmp_path / "anonymous"
        turned_away(stack.enter_context(flooding("handshakes", address, names.PORT_CONTROL, 50, directory=anonymous)))
        floods = [
            stack.enter_context(flooding("silent", address, port, count))
            for port, count in ((names.PORT_CONTROL, 10_000), (names.PORT_HEALTH, 1_000))
        ]
        for flood in floods:
            turned_away(flood)
        trio.patch({"metadata": {"annotations": {"note": "under attack"}}})
        trio.wait_ready(3)
        pod = trio.pod(trio.primary)
        assert all(c["ready"] for c in pod["status"]["containerStatuses"])
    assert _lost_streams(trio) == lost


def _lost_streams(cluster: Cluster) -> list[str]:
    """What the operator says about connections to this Cluster's instances that broke."""
    found = []
    for line in deploy.operator_log(cluster.kube, 5000).splitlines():
        if "status stream lost" in line and json.loads(line).get("namespace") == cluster.ns:
            found.append(line)
    return found


@contextlib.contextmanager
def _diverted(kube: Kube, to_be: str, instead: str) -> Iterator[None]:
    """What the leading operator dials at one address is answered at another; what it has open falls silent."""
    lease = kube.get("Lease", names.OPERATOR_NAMESPACE, names.OPERATOR_LEASE)["spec"]["holderIdentity"]
    pods = kube.list("Pod", names.OPERATOR_NAMESPACE, "control-plane=controller-manager")
    leader = next(p for p in pods if lease.startswith(p["metadata"]["name"]))
    node = next(n for n in facts.nodes_of(Paths.of_checkout()) if n.name == leader["spec"]["nodeName"])
    us, port = leader["status"]["podIP"], str(names.PORT_CONTROL)
    rules = (
        ("nat", "PREROUTING", "-s", us, "-d", to_be, "-p", "tcp", "--dport", port, "-j", "DNAT", "--to", instead),
        ("filter", "FORWARD", "-s", us, "-d", to_be, "-p", "tcp", "--dport", port, "-j", "DROP"),
        ("filter", "FORWARD", "-s", to_be, "-d", us, "-p", "tcp", "--sport", port, "-j", "DROP"),
    )

    def tables(verb: str) -> None:
        for table, chain, *match in rules:
            shell.run(network.inside(node, ["iptables", "-w", "-t", table, verb, chain, *match]))

    tables("-I")
    try:
        yield
    finally:
        tables("-D")


def test_the_operator_believes_nobody_who_answers_in_the_place_of_an_instance(trio: Cluster) -> None:
    """What answers at a replica's address has a good certificate of this very Cluster, of another instance."""
    victim, impostor = trio.replicas

    with _diverted(trio.kube, trio.address(victim), trio.address(impostor)):
        said = trio.wait(
            lambda c: "CERTIFICATE_VERIFY_FAILED" in c["status"].get("phaseReason", ""),
            40,
            "the impostor to be refused",
        )
        assert victim in said["status"]["phaseReason"]
        assert said["status"]["readyInstances"] == 2 and not said["status"].get("divergedInstances")


def test_a_pod_that_only_carries_the_labels_gets_no_client(trio: Cluster) -> None:
    """Admission lets only those set them who may write the Cluster's status; from others they are taken away."""
    kube = trio.kube
    labels = {**names.labels(trio.name), names.LABEL_ROLE: names.ROLE_PRIMARY, names.LABEL_ROUTABLE: "true"}
    body = _impostor(kube.get("Pod", trio.ns, trio.primary), labels)
    with _as_tenant(kube, trio.ns) as tenant:
        with pytest.raises(ApiError, match="cnmysql-pod-labels") as refusal:
            tenant.create("Pod", trio.ns, body)
        assert refusal.value.code == 403
        tenant.create("Pod", trio.ns, _impostor(kube.get("Pod", trio.ns, trio.primary), {"app": "shop"}))
        with pytest.raises(ApiError, match="cnmysql-pod-labels"):
            tenant.patch("Pod", trio.ns, "impostor", {"metadata": {"labels": labels}})
        with pytest.raises(ApiError, match="cnmysql-pod-labels"):
            tenant.patch("Pod", trio.ns, trio.replicas[0], {"metadata": {"labels": {names.LABEL_ROLE: "primary"}}})
        kube.delete("Pod", trio.ns, "impostor", grace=0)
        kube.wait_gone("Pod", trio.ns, "impostor")
    kube.create("Pod", trio.ns, body)

    def stripped() -> bool:
        assert "impostor" not in trio.routed("rw") | trio.routed("ro") | trio.routed("r")
        return names.LABEL_ROUTABLE not in kube.get("Pod", trio.ns, "impostor")["metadata"]["labels"]

    eventually(stripped, 20, "the routing labels to be taken away")
    eventually(lambda: kube.get("Pod", trio.ns, "impostor")["status"]["phase"] == "Running", 60, "it to run")
    assert trio.routed("rw") == {trio.primary} and trio.routed("ro") == set(trio.replicas)
    assert set(trio.status["instanceNames"]) == {"db-1", "db-2", "db-3"}
    kube.delete("Pod", trio.ns, "impostor", grace=0)
    kube.wait_gone("Pod", trio.ns, "impostor")


def _impostor(like: Json, labels: dict[str, str]) -> Json:
    """A Pod of a tenant's own: Ready as soon as it runs, answering nothing."""
    mysql = next(c for c in like["spec"]["containers"] if c["name"] == names.CONTAINER_MYSQL)
    container = {
        "name": "mysql",
        "image": mysql["image"],
        "command": ["sleep", "600"],
        "ports": [{"name": names.PORT_NAME_MYSQL, "containerPort": names.PORT_MYSQL}],
        "securityContext": mysql["securityContext"],
    }
    spec = {"containers": [container], "securityContext": like["spec"]["securityContext"],
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0}  # fmt: skip
    return {"metadata": {"name": "impostor", "labels": labels}, "spec": spec}


@contextlib.contextmanager
def _as_tenant(kube: Kube, ns: str) -> Iterator[Kube]:
    """Somebody who may do anything with Pods and Clusters of the namespace, but not write a Cluster's status."""
    rules = [
        {"apiGroups": [""], "resources": ["pods", "pods/status"], "verbs": ["*"]},
        {"apiGroups": [names.GROUP], "resources": ["clusters"], "verbs": ["*"]},
    ]
    kube.create("ServiceAccount", ns, {"metadata": {"name": "tenant"}})
    kube.create("Role", ns, {"metadata": {"name": "tenant"}, "rules": rules})
    kube.create(
        "RoleBinding", ns,
        {
            "metadata": {"name": "tenant"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
            "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": ns}],
        },
    )  # fmt: skip
    path = kube.path("ServiceAccount", ns, "tenant", "token")
    token = kube.request("POST", path, json={"spec": {}})["status"]["token"]
    with kube.with_token(token) as tenant:
        yield tenant


def test_no_name_in_a_spec_is_a_path(trio: Cluster) -> None:
    """In no field of the schema that names a Secret, a ConfigMap, a key or a file; refused before anything is made."""
    other = Cluster(trio.kube, trio.ns, "traversal")

    def offer(path: outward.Path, name: str) -> Json:
        spec = outward.spec_with(path, name)
        return trio.kube.create("Cluster", trio.ns, other.manifest(1, **spec), dry_run=True)

    for path in outward.outward():
        offer(path, outward.GOOD)
        for name in outward.hostile(path):
            with pytest.raises(ApiError) as refusal:
                pytest.fail(f"{outward.shown(path)} {name!r}: {offer(path, name)}")
            assert refusal.value.code == 422, name
            assert outward.shown(path) in refusal.value.message, name


def test_names_and_values_crafted_to_escape_quoting_stay_names_and_values(trio: Cluster) -> None:
    """Also a Cluster whose name begins like an instance of the first: neither touches the other's objects."""
    kube, neighbour = trio.kube, Cluster(trio.kube, trio.ns, "db-1")
    database, owner = "a`; DROP DATABASE mysql; -- $(POD_UID)", "o'@'%' IDENTIFIED BY ''; --"
    ours = _objects(trio)
    neighbour.create(
        1,
        bootstrap={
            "initdb": {
                "database": database,
                "owner": owner,
                "postInitSQL": [
                    "CREATE TABLE mysql.said (a VARCHAR(64) PRIMARY KEY) -- '\n",
                    "INSERT INTO mysql.said VALUES ('; DROP')",
                ],
            }
        },
        mysql={"parameters": {"init_connect": "SET @x = 'a # \\' \"; [client] $(POD_UID)'"}},
    ).wait_ready(1, 180)
    i = neighbour.primary
    shown = neighbour.control(i, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1").split("\n")
    assert set(shown) - {"information_schema", "mysql", "performance_schema", "sys"} == {database}
    accounts = neighbour.control(i, "SELECT CONCAT(user, '@', host) FROM mysql.user").split("\n")
    assert f"{owner}@%" in accounts
    assert all(a.startswith(("cnmysql_", "mysql.", "root@localhost", owner)) for a in accounts), accounts
    login = sql.Login(owner, kube.secret(trio.ns, names.secret_app("db-1"), "password"), database)
    assert neighbour.query(i, "SELECT DATABASE()", login=login) == [(database,)]
    assert neighbour.control(i, "SELECT a FROM mysql.said") == "; DROP"
    assert neighbour.control(i, "SELECT @@GLOBAL.init_connect").startswith("SET @x = 'a #")

    # Its certificates mean nothing here, and deleting it takes nothing of ours.
    with pytest.raises(HandshakeFailed):
        ask(trio, trio.primary, STATUS, leaf_of(neighbour, names.secret_client_tls("db-1")))
    neighbour.delete()
    kube.wait_gone("Secret", trio.ns, names.secret_root("db-1"))
    eventually(lambda: not neighbour.pods(), 60, "the neighbour's Pods to be gone")
    assert _objects(trio) == ours


def _objects(cluster: Cluster) -> dict[str, str]:
    """Kind and name of everything that carries the Cluster's label, with its uid."""
    kinds = ("Pod", "PersistentVolumeClaim", "Service", "Secret", "ConfigMap", "ServiceAccount", "Role", "Lease")
    return {
        f"{kind}/{found['metadata']['name']}": found["metadata"]["uid"]
        for kind in kinds
        for found in cluster.kube.list(kind, cluster.ns, f"{names.LABEL_CLUSTER}={cluster.name}")
    }
