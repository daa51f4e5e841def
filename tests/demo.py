"""`make demo`: a three-instance Cluster on a real Kubernetes, written through `-rw` and read from every instance."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pymysql
import yaml

from cnmysql import names
from tests.bed import bed, deploy
from tests.support import sql
from tests.support.cluster import Cluster
from tests.support.kube import Json, Kube, eventually

SAMPLE = deploy.DEPLOY / "samples" / "cluster.yaml"
NAMESPACE = "default"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def step(started: float, text: str) -> None:
    say(f"[{time.monotonic() - started:6.1f} s] {text}")


def kubernetes() -> Path:
    """The kubeconfig to use: the one named by the user, else the bed's, started if need be."""
    given = os.environ.get("CNMYSQL_TEST_KUBECONFIG")
    if given:
        return Path(given)
    if reason := bed.why_not():
        raise SystemExit(reason)
    return deploy.ensure()


def wait_with_progress(cluster: Cluster, started: float, timeout: float = 300) -> None:
    """Print every change of what the operator says until the Cluster is Ready."""
    said = ""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = cluster.get()
        status = found.get("status", {})
        text = (
            f"{status.get('phase', 'Pending')}: {status.get('readyInstances', 0)} of {found['spec']['instances']} ready"
        )
        if reason := status.get("phaseReason"):
            text += f" ({reason})"
        if text != said:
            step(started, text)
            said = text
        if status.get("phase") == names.PHASE_READY and status.get("readyInstances") == found["spec"]["instances"]:
            cluster.wait_ready(timeout=10)
            return
        time.sleep(0.3)
    raise SystemExit(f"not Ready within {timeout:.0f} s\n{cluster.describe()}")


def sql_at(cluster: Cluster, host: str, text: str) -> str:
    """Run one statement as the application from inside the cluster's network; `host` is a Service."""
    done = cluster.kube.exec(
        cluster.ns, cluster.replicas[0], "sh", "-c",
        'MYSQL_PWD="$1" exec mysql --no-defaults -h "$2" -u "$3" -BN -e "$4" app',
        "sh", cluster.app.password, f"{host}.{cluster.ns}.svc", cluster.app.user, text,
    )  # fmt: skip
    if done.code != 0:
        raise SystemExit(f"{host}: {done.err}")
    return done.out.strip()


def main() -> int:
    started = time.monotonic()
    config = kubernetes()
    kube = Kube(config, deploy.kubectl())
    if kube.find("Deployment", names.OPERATOR_NAMESPACE, names.OPERATOR_NAME) is None:
        raise SystemExit("the operator is not installed there: kubectl apply -k deploy/")
    manifest: Json = yaml.safe_load(SAMPLE.read_text())
    step(started, f"kubectl apply -f {SAMPLE.relative_to(deploy.CHECKOUT)}")
    kube.apply("Cluster", NAMESPACE, manifest)
    cluster = Cluster(kube, NAMESPACE, manifest["metadata"]["name"])
    wait_with_progress(cluster, started)

    rw = names.service_rw(cluster.name)
    marker = f"demo-{int(time.time())}"
    sql_at(cluster, rw, "CREATE TABLE IF NOT EXISTS greetings (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(80))")
    sql_at(cluster, rw, f"INSERT INTO greetings (text) VALUES ('{marker}')")
    step(started, f"wrote a row through {rw}")
    cluster.wait_caught_up(10)
    for i in cluster.status["instanceNames"]:
        role = "primary" if i == cluster.primary else "replica"
        count = sql_at(cluster, i, f"SELECT COUNT(*) FROM greetings WHERE text='{marker}'")
        step(started, f"read it from {i} ({role}): {count} row")
    for i in cluster.replicas:
        tls = cluster.control(i, "SELECT SSL_ALLOWED FROM performance_schema.replication_connection_configuration")
        step(started, f"{i} replicates from {cluster.primary} over TLS: {tls}")

    if not os.environ.get("CNMYSQL_TEST_KUBECONFIG"):  # processes can be killed from here only in our own bed
        step(started, f"killing mysqld of the primary ({cluster.primary})")
        writable = _recover(cluster)
        step(started, f"it takes writes again after {writable:.1f} s, in place, with every row")
    subprocess.run(
        [deploy.kubectl(), "--kubeconfig", str(config), "get", "mysql,pods,pvc", "-n", NAMESPACE], check=False
    )
    own = bool(os.environ.get("CNMYSQL_TEST_KUBECONFIG"))
    end = "" if own else "\nmake clean ends everything."
    say(f"\nIt is yours: export KUBECONFIG={config} PATH={deploy.STATE / 'bin'}:$PATH{end}")
    kube.close()
    return 0


def _recover(cluster: Cluster) -> float:
    """SIGKILL the primary's mysqld; seconds until a client writes again."""
    i = cluster.primary
    address = cluster.address(i)
    cluster.mysqld(i).kill()
    before = time.monotonic()

    def written() -> bool:
        try:
            sql.query(address, cluster.app, "INSERT INTO greetings (text) VALUES ('after the crash')")
        except (pymysql.err.MySQLError, OSError):
            return False
        return True

    eventually(written, 60, "a write after the crash", every=0.1)
    seconds = time.monotonic() - before
    cluster.wait_ready(timeout=60)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
