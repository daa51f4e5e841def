"""Certificates on a real cluster: brought by users or generated, renewed and moved to another CA under load.

What is new is in use within ten seconds, no client notices, no Pod is restarted, and what is wrong changes nothing.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pymysql
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from cnmysql import names
from cnmysql.pki.inspect import blocks
from tests.support import audit, bed, dial
from tests.support.certs import Authority, Leaf
from tests.support.cluster import Cluster
from tests.support.control import request
from tests.support.dial import leaf_of
from tests.support.kube import Json, Kube, eventually

MakeCluster = Callable[..., Cluster]
STATUS = request("GET", "/status")
ACCOUNT = "SELECT x509_issuer, x509_subject FROM mysql.user WHERE User='cnmysql_repl'"
UNBLOCKED = 2.0
"""Seconds from the correction of a Secret until the operator acts on it, by the API server's own record."""
PICKED_UP = 10.0
"""Seconds in which every user of a certificate has the new one."""


def put(kube: Kube, ns: str, name: str, pair: Leaf | Authority, *, key: bool = True) -> None:
    """Create a user's Secret or replace its content. `key` False: a CA that cannot sign."""
    if isinstance(pair, Authority):
        data = {"ca.crt": pair.pem} | ({"tls.crt": pair.pem, "tls.key": pair.key_pem} if key else {})
    else:
        data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    body: Json = {
        "metadata": {"name": name},
        "type": "kubernetes.io/tls" if "tls.crt" in data else "Opaque",
        "data": {k: base64.b64encode(v).decode() for k, v in data.items()},
    }
    if kube.find("Secret", ns, name) is None:
        kube.create("Secret", ns, body)
    else:
        kube.patch("Secret", ns, name, {"data": body["data"]})


def condition(cluster: Json) -> Json:
    found = cluster.get("status", {}).get("conditions", ())
    return next((c for c in found if c["type"] == names.CONDITION_CERTIFICATES), {})


def hosts(cluster: Cluster, *ordinals: int) -> tuple[str, ...]:
    return tuple(f"{cluster.name}-{i}.{cluster.ns}.svc" for i in ordinals)


def trusted(cluster: Cluster) -> tuple[set[str], set[str]]:
    data = cluster.kube.get("ConfigMap", cluster.ns, names.trust_config_map(cluster.name))["data"]
    return set(blocks(data[names.TRUST_SERVER_CA_KEY])), set(blocks(data[names.TRUST_CLIENT_CA_KEY]))


@contextmanager
def undisturbed(cluster: Cluster) -> Iterator[None]:
    """A client writes all the time, one session stays, and every Pod and mysqld is the same at the end."""
    before = {i: (p["metadata"]["uid"], cluster.mysqld(i).pid) for i, p in cluster.pods().items()}
    session = "SELECT COUNT(*) FROM information_schema.processlist WHERE USER='app'"
    with cluster.writer() as writer:
        writer.wait_for_more()
        assert int(cluster.control(cluster.primary, session)) >= 1
        yield
        writer.wait_for_more()
        assert not writer.errors
    cluster.wait_caught_up()
    assert {i: (p["metadata"]["uid"], cluster.mysqld(i).pid) for i, p in cluster.pods().items()} == before


def test_wrong_material_blocks_before_any_pod_and_its_correction_unblocks(
    kube: Kube, make_cluster: MakeCluster
) -> None:
    cluster, ca = make_cluster(), Authority("mine")
    put(kube, cluster.ns, "ca", ca)
    put(kube, cluster.ns, "server", ca.issue(dns=("elsewhere.svc",), client=False))
    cluster.create(1, certificates={"serverCASecret": "ca", "serverTLSSecret": "server"})
    cluster.wait_phase(names.PHASE_BLOCKED, "InvalidUserCertificate: spec.certificates.serverTLSSecret: Secret server")
    assert "no DNS name for db-1." in cluster.status["phaseReason"]
    assert not cluster.pods()
    eventually(lambda: [e for e in cluster.events() if e["reason"] == "InvalidUserCertificate"], 10, "an Event")
    put(kube, cluster.ns, "server", Authority("other").issue(dns=hosts(cluster, 1), client=False))
    cluster.wait_phase(names.PHASE_BLOCKED, "was not issued by the CA in Secret ca")

    since = audit.now()
    put(kube, cluster.ns, "server", ca.issue(dns=hosts(cluster, 1), client=False))
    cluster.wait(lambda c: c["status"]["phase"] != names.PHASE_BLOCKED, 10, "to be unblocked")
    cluster.wait_ready(1, 180)
    if bed.audited(kube.kubeconfig):
        requests = audit.read(bed.AUDIT_LOG, since, cluster.ns)
        corrected = audit.written(requests, "secrets", "server")
        writes = [r for r in requests if r.by_operator and r.wrote and r.resource != "events"]
        assert 0 <= min(r.moment for r in writes) - corrected <= UNBLOCKED
    assert not kube.get("Secret", cluster.ns, "server")["metadata"].get("ownerReferences")
    assert kube.find("Certificate", cluster.ns, "db-1-server") is None


def test_combinations(kube: Kube, make_cluster: MakeCluster) -> None:
    """A signing server CA alone, a signing client CA alone, and everything brought with CAs that cannot sign."""
    servers, clients, own = make_cluster("servers"), make_cluster("clients"), make_cluster("own")
    ns, ca, other = own.ns, Authority("mine"), Authority("clients")
    put(kube, ns, "ca", ca)
    put(kube, ns, "client-ca", other)
    put(kube, ns, "bare-ca", ca, key=False)
    put(kube, ns, "bare-client-ca", other, key=False)
    put(kube, ns, "server", ca.issue(dns=hosts(own, 1, 2), client=False))
    put(kube, ns, "replication", other.issue("own-repl", o=ns, server=False))
    put(kube, ns, "operator", other.issue(names.OPERATOR_CN, server=False))
    for i in (1, 2):
        host = hosts(own, i)
        put(kube, ns, f"own-{i}-peer-tls", other.issue(o="cnmysql-peer", dns=host, server=False))

    servers.create(1, certificates={"serverCASecret": "ca"})
    clients.create(1, certificates={"clientCASecret": "client-ca"})
    everything = {
        "serverCASecret": "bare-ca",
        "serverTLSSecret": "server",
        "clientCASecret": "bare-client-ca",
        "replicationTLSSecret": "replication",
        "operatorTLSSecret": "operator",
    }
    own.create(2, certificates=everything)

    own.wait_ready(2, 300)
    servers.wait_ready(1, 120)
    clients.wait_ready(1, 120)
    mine, theirs = set(blocks(ca.pem.decode())), set(blocks(other.pem.decode()))
    assert trusted(own) == (mine, theirs)
    assert trusted(servers) == (mine, mine)
    generated = set(blocks(kube.secret(ns, "clients-ca", "tls.crt")))
    assert trusted(clients) == (generated, theirs)
    assert own.control("own-1", ACCOUNT).split("\t") == ["/CN=clients", f"/O={ns}/CN=own-repl"]
    named = [kube.find("Certificate", ns, n) for n in ("own-ca", "own-client", "own-replication", "own-1-peer")]
    assert named == [None] * 4
    mounted = {v["secret"]["secretName"] for p in own.pods().values() for v in p["spec"]["volumes"] if "secret" in v}
    assert mounted.isdisjoint({"bare-ca", "bare-client-ca", "operator", "own-client-tls"})


def picked_up(cluster: Cluster, certificate: str, secret: str, used: Callable[[x509.Certificate], bool]) -> float:
    """Renew; the seconds from cert-manager's writing of the Secret until the new certificate is in use."""

    def content() -> str:
        return cluster.kube.secret(cluster.ns, secret, "tls.crt")

    old, since = content(), audit.now()
    cluster.renew(certificate)
    eventually(lambda: content() != old, 60, f"cert-manager to renew {secret}")
    began = time.time()
    new = x509.load_pem_x509_certificate(content().encode())
    eventually(lambda: used(new), 30, f"{secret} to be used")
    seen = time.time()
    if bed.audited(cluster.kube.kubeconfig):
        began = audit.written(audit.read(bed.AUDIT_LOG, since, cluster.ns), "secrets", secret)
    return seen - began


def served(cluster: Cluster, i: str) -> Callable[[x509.Certificate], bool]:
    """Whether an instance shows this certificate, mysqld and control API alike."""
    plain = {"user": cluster.app.user, "password": cluster.app.password, "connect_timeout": 5}

    def used(new: x509.Certificate) -> bool:
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        connection = pymysql.connect(host=cluster.address(i), ssl=blind, **plain)  # type: ignore[call-overload]
        with connection:
            mysqld = connection._sock.getpeercert(binary_form=True)
        shown = (mysqld, dial.shown(cluster, i))
        return all(x509.load_der_x509_certificate(der).serial_number == new.serial_number for der in shown)

    return used


def replicated_with(cluster: Cluster) -> Callable[[x509.Certificate], bool]:
    """Whether every replica has connected again since now, and says that it did so with this certificate."""
    operator = leaf_of(cluster, names.secret_client_tls(cluster.name))
    dumps = "SELECT ID FROM performance_schema.processlist WHERE USER='cnmysql_repl' AND COMMAND LIKE 'Binlog Dump%'"

    def connections() -> set[str]:
        return set(cluster.control(cluster.primary, dumps).split())

    before = connections()

    def used(new: x509.Certificate) -> bool:
        present = connections()
        if present & before or len(present) < len(cluster.replicas):
            return False
        reports = [json.loads(dial.ask(cluster, i, STATUS, operator).body) for i in cluster.replicas]
        fingerprint = new.fingerprint(hashes.SHA256()).hex()
        return all(report["tls"]["replication"] == fingerprint for report in reports)

    assert len(before) == len(cluster.replicas)
    return used


def bound_to(cluster: Cluster, issuer: str) -> Callable[[], bool]:
    """Whether the replication account asks for certificates of this issuer on every instance."""
    return lambda: all(cluster.control(i, ACCOUNT).startswith(issuer) for i in cluster.pods())


def test_renewed_certificates_are_picked_up_without_a_restart(trio: Cluster) -> None:
    primary, replica = trio.primary, trio.replicas[0]
    with undisturbed(trio):
        for i in (primary, replica):
            certificate, secret = names.certificate_server(i), names.secret_server_tls(i)
            assert picked_up(trio, certificate, secret, served(trio, i)) < PICKED_UP
        certificate, secret = names.certificate_replication(trio.name), names.secret_replication_tls(trio.name)
        assert picked_up(trio, certificate, secret, replicated_with(trio)) < PICKED_UP
    trio.wait_ready(3)


def test_wrong_material_on_a_running_cluster_is_told_and_changes_nothing(trio: Cluster) -> None:
    trust = trusted(trio)
    with undisturbed(trio):
        put(trio.kube, trio.ns, "expired", Authority("old", not_after=datetime.now(UTC)))
        trio.patch({"spec": {"certificates": {"serverCASecret": "expired"}}})
        trio.wait(lambda c: "Secret expired ca.crt expired at" in condition(c).get("message", ""), 20, "the fault")
        assert condition(trio.get())["status"] == "False"
        assert trio.status["phase"] == names.PHASE_READY
        eventually(lambda: [e for e in trio.events() if e["reason"] == "InvalidUserCertificate"], 10, "an Event")
        assert trusted(trio) == trust
        trio.patch({"spec": {"certificates": None}})
        trio.wait(lambda c: condition(c).get("status") == "True", 20, "the fault to be gone")


def test_a_new_ca_while_a_replica_is_down(trio: Cluster, kube: Kube) -> None:
    """The replica comes back to certificates and a bundle it has never seen, and replicates."""
    replica = trio.replicas[-1]
    node = trio.pod(replica)["spec"]["nodeName"]
    old, _ = trusted(trio)
    assert kube.kubectl("cordon", node).code == 0
    try:
        kube.delete("Pod", trio.ns, replica, grace=5)
        eventually(lambda: not trio.pods().get(replica, {}).get("spec", {}).get("nodeName"), 60, "the Pod to wait")
        with trio.writer() as writer:
            writer.wait_for_more()
            kube.delete("Secret", trio.ns, names.secret_ca(trio.name))
            trio.wait(lambda _: all(t and not t & old for t in trusted(trio)), 120, "only the new CA to be trusted")
            writer.wait_for_more()
            assert not writer.errors
        other = next(i for i in trio.replicas if i != replica)
        trio.wait_sql(other, "SELECT SERVICE_STATE FROM performance_schema.replication_connection_status", "ON")
    finally:
        assert kube.kubectl("uncordon", node).code == 0
    trio.wait_ready(3, 180)
    trio.wait_caught_up()
    trio.wait(lambda c: condition(c).get("reason") == "Valid", 60, "the rotation to be over")


def test_own_material_and_back_under_load(trio: Cluster, kube: Kube) -> None:
    """Another CA with another name: the replication account is unbound, and bound again to the new names."""
    ca: Any = Authority("mine")
    put(kube, trio.ns, "ca", ca)
    put(kube, trio.ns, "server", ca.issue(dns=hosts(trio, 1, 2, 3), client=False))
    put(kube, trio.ns, "replication", ca.issue("own-repl", o=trio.ns, server=False))
    own = {"serverCASecret": "ca", "serverTLSSecret": "server", "replicationTLSSecret": "replication"}
    with undisturbed(trio):
        for wanted, issuer in ((own, "/CN=mine"), (None, f"/CN={trio.name}.ca.cnmysql")):
            trio.patch({"spec": {"certificates": wanted}})
            eventually(bound_to(trio, issuer), 90, f"accounts bound to {issuer}")
            trio.wait(lambda c: condition(c).get("reason") == "Valid", 60, "the rotation to be over")
            assert [len(t) for t in trusted(trio)] == [1, 1]
    trio.wait_ready(3)
