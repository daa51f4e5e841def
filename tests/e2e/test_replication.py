"""Three instances from a small manifest: replicated over mutual TLS, routed by role."""

from __future__ import annotations

from cnmysql import names
from tests.support.cluster import Cluster
from tests.support.kube import eventually


def test_rows_written_through_rw_are_on_every_instance(trio: Cluster) -> None:
    with trio.writer() as writer:
        writer.wait_for_more(50)
    trio.wait_caught_up()
    written = writer.acknowledged
    assert len(written) >= 50
    for i in trio.status["instanceNames"]:
        assert written <= trio.ledger(i), i


def test_exactly_one_instance_is_open(trio: Cluster) -> None:
    assert trio.open_instances() == [trio.primary]
    for i in trio.replicas:
        assert trio.control(i, "SELECT @@GLOBAL.super_read_only") == "1"


def test_replication_uses_tls_and_the_certificate_account(trio: Cluster) -> None:
    for i in trio.replicas:
        configured = trio.control(
            i,
            "SELECT USER, SSL_ALLOWED, SSL_VERIFY_SERVER_CERTIFICATE, AUTO_POSITION, HOST "
            "FROM performance_schema.replication_connection_configuration WHERE CHANNEL_NAME=''",
        ).split("\t")
        assert configured == [
            names.ACCOUNT_REPLICATION, "YES", "YES", "1", names.instance_host(trio.primary, trio.ns),
        ]  # fmt: skip
    versions = trio.control(
        trio.primary,
        "SELECT COUNT(*), MIN(s.VARIABLE_VALUE) FROM performance_schema.threads t "
        "JOIN performance_schema.status_by_thread s USING (THREAD_ID) "
        f"WHERE t.PROCESSLIST_USER='{names.ACCOUNT_REPLICATION}' AND s.VARIABLE_NAME='Ssl_version'",
    )
    assert versions.split("\t") == ["2", "TLSv1.3"]
    bound = trio.control(
        trio.primary,
        f"SELECT ssl_type, x509_subject, x509_issuer FROM mysql.user WHERE user='{names.ACCOUNT_REPLICATION}'",
    ).split("\t")
    assert bound[0] == "SPECIFIED"
    assert f"CN={names.replication_cn(trio.name)}" in bound[1]
    assert bound[2]


def test_services_route_by_role(trio: Cluster) -> None:
    eventually(lambda: trio.routed("rw") == {trio.primary}, 10, "rw to reach the primary only")
    eventually(lambda: trio.routed("ro") == set(trio.replicas), 10, "ro to reach the replicas only")
    eventually(lambda: trio.routed("r") == set(trio.status["instanceNames"]), 10, "r to reach everyone")


def test_a_client_pod_connects_through_the_service_names(trio: Cluster) -> None:
    """From inside the network, by name, with the server's certificate verified for that name."""
    client = trio.replicas[0]
    for service, read_only in (("rw", "0"), ("ro", "1")):
        done = trio.kube.exec(
            trio.ns, client, "sh", "-c",
            'MYSQL_PWD="$1" exec mysql --no-defaults -h "$2" -u "$3" --ssl-mode=VERIFY_IDENTITY '
            "--ssl-ca=/etc/cnmysql/tls/trust/server-ca.crt -BNe 'SELECT @@GLOBAL.read_only' app",
            "sh", trio.app.password, f"{trio.name}-{service}.{trio.ns}.svc", trio.app.user,
        )  # fmt: skip
        assert done.code == 0, done.err
        assert done.out.strip() == read_only


def test_the_status_tells_what_runs(trio: Cluster) -> None:
    status = trio.status
    assert status["phase"] == names.PHASE_READY
    assert status["instances"] == status["readyInstances"] == 3
    assert status["instanceNames"] == [names.instance(trio.name, n) for n in (1, 2, 3)]
    assert status["currentPrimary"] == names.instance(trio.name, 1)
    assert status["leaseHolder"] == names.holder_identity(trio.primary, trio.uid(trio.primary))
    assert "roleChange" not in status
    assert status["primaryUUIDs"] == [trio.control(trio.primary, "SELECT @@GLOBAL.server_uuid")]
    lease = trio.kube.get("Lease", trio.ns, names.primary_lease(trio.name))
    assert lease["spec"]["holderIdentity"] == status["leaseHolder"]
    roles = {i: pod["metadata"]["labels"][names.LABEL_ROLE] for i, pod in trio.pods().items()}
    assert roles == {i: ("primary" if i == trio.primary else "replica") for i in status["instanceNames"]}


def test_no_pod_sees_a_ca_key_or_the_operators_identity(trio: Cluster) -> None:
    forbidden = {names.secret_ca(trio.name), names.secret_client_tls(trio.name)}
    for pod in trio.pods().values():
        mounted = {v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
        for volume in pod["spec"]["volumes"]:
            mounted |= {s["secret"]["name"] for s in volume.get("projected", {}).get("sources", []) if "secret" in s}
        assert not mounted & forbidden
        environment = [e for c in pod["spec"]["containers"] for e in c.get("env", [])]
        assert not [e for e in environment if "secretKeyRef" in e.get("valueFrom", {})]
