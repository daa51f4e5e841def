"""No secret of a Cluster is anywhere but in its Secret, whatever happens to it and however much is logged."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from cnmysql import names
from cnmysql.log import Secret
from cnmysql.mysql import digest, internal
from tests.bed import deploy
from tests.support import canary, processes, sql
from tests.support.canary import Canaries
from tests.support.cluster import Cluster, fresh_namespace
from tests.support.control import request
from tests.support.dial import HandshakeFailed, ask, leaf_of
from tests.support.kube import Json, Kube, eventually

ROOT = "c4nary-r00t/p+w d'\"\\%1ö$(USER)"
NEW_ROOT = "c4nary-n3w-r00t/p+w d'\"\\%2ü$(USER)"
APP = "c4nary-app_9f2d71c0b6e84a35"
NEW_APP = "c4nary-new_5be31f77d20a4c68"
NEW_CONTROL = "c4nary-control_83d1c05be97f4a26"
KEPT = (
    "SELECT CONCAT(user, '@', host), HEX(authentication_string) FROM mysql.user "
    "WHERE authentication_string<>'' AND user NOT LIKE 'mysql.%'"
)
READ_IN_OPERATOR = ("/operator/bin/python3", "-c", "import sys; print(open(sys.argv[1]).read())")
OPERATOR = ",".join(f"{k}={v}" for k, v in names.operator_labels().items())
OUR_DIRECTORIES = (names.VOLUME_DIR, names.RUN_DIR, names.TMP_DIR)


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture(scope="module")
def cluster(kube: Kube, canaries: Canaries) -> Iterator[Cluster]:
    """A Cluster that has been through what Clusters go through, with every Secret's value known."""
    with kube.namespace(fresh_namespace("canary")) as ns, deploy.environment(kube, LOG_LEVEL="trace"):
        _secret(kube, ns, "mine-root", password=canaries.add("root", ROOT))
        _secret(kube, ns, "mine-app", username="shopkeeper", password=canaries.add("application", APP))
        cluster = Cluster(kube, ns, "db")
        cluster.create(
            1,
            logLevel="trace",
            enableSuperuserAccess=True,
            rootPasswordSecret={"name": "mine-root"},
            bootstrap={"initdb": {"database": "shop", "owner": "shopkeeper", "secret": {"name": "mine-app"}}},
            mysql={"parameters": {"general_log": "ON", "slow_query_log": "ON", "long_query_time": "0"}},
        ).wait_ready(1, 180)
        cluster.scale(2)
        cluster.wait_ready(2, 180)
        _learn(cluster, canaries, "first")
        _change(cluster, canaries)
        _learn(cluster, canaries, "changed")
        _live_through(cluster)
        _learn(cluster, canaries, "last")
        yield cluster


def _secret(kube: Kube, ns: str, name: str, **values: str) -> None:
    kube.create("Secret", ns, {"metadata": {"name": name}, "stringData": values})


def _learn(cluster: Cluster, canaries: Canaries, when: str) -> None:
    """The values nobody chose: passwords, generated or derived, private keys, tokens, and what mysqld keeps."""
    kube, ns = cluster.kube, cluster.ns
    for secret in kube.list("Secret", ns):
        name, data = secret["metadata"]["name"], secret.get("data") or {}
        if names.LABEL_CLUSTER not in secret["metadata"].get("labels", {}):
            continue
        for key, value in data.items():
            text = base64.b64decode(value).decode()
            if key == "password":
                canaries.add(f"{when} {name}/{key}", text)
            elif key == "tls.key":
                canaries.add(f"{when} {name}/{key}", text.split("\n")[1])
    control = Secret(kube.secret(ns, names.secret_control(cluster.name), "password"))
    canaries.add(f"{when} metrics", internal.metrics_password(control).reveal())
    for i in cluster.status["instanceNames"]:
        canaries.add(f"{when} token of {i}", _token(kube, ns, i, "cat"))
        for line in cluster.control(i, KEPT).splitlines():
            account, kept = line.split("\t")
            canaries.add_stored(f"{when} stored form of {account} on {i}", bytes.fromhex(kept).decode())
    for pod in kube.list("Pod", names.OPERATOR_NAMESPACE, OPERATOR):
        name = pod["metadata"]["name"]
        canaries.add(f"{when} token of {name}", _token(kube, names.OPERATOR_NAMESPACE, name, *READ_IN_OPERATOR))


def _token(kube: Kube, ns: str, pod: str, *read: str) -> str:
    """The part of a Pod's API token that makes it one: the signature."""
    container = "manager" if ns == names.OPERATOR_NAMESPACE else names.CONTAINER_MYSQL
    token = kube.exec(ns, pod, *read, f"{names.TOKEN_DIR}/token", container=container)
    assert token.code == 0, token.err
    return token.out.strip().rpartition(".")[2]


def _change(cluster: Cluster, canaries: Canaries) -> None:
    """Every kind of secret that may change while a Cluster runs: chosen, generated and derived passwords, keys."""
    kube, ns, c = cluster.kube, cluster.ns, cluster.name
    kube.patch("Secret", ns, "mine-app", {"stringData": {"password": canaries.add("new application", NEW_APP)}})
    kube.patch("Secret", ns, "mine-root", {"stringData": {"password": canaries.add("new root", NEW_ROOT)}})
    kube.patch(
        "Secret", ns, names.secret_control(c), {"stringData": {"password": canaries.add("control", NEW_CONTROL)}}
    )
    kube.delete("Secret", ns, names.secret_backup(c))
    keys = {names.secret_server_tls(cluster.primary): names.certificate_server(cluster.primary),
            names.secret_client_tls(c): names.certificate_client(c),
            names.secret_replication_tls(c): names.certificate_replication(c)}  # fmt: skip
    former = {secret: kube.secret(ns, secret, "tls.key") for secret in keys}
    for secret, certificate in keys.items():
        cluster.renew(certificate)
        eventually(lambda: kube.secret(ns, secret, "tls.key") != former[secret], 60, f"another key in {secret}")  # noqa: B023
    backup = eventually(lambda: _password(kube, ns, names.secret_backup(c)), 30, "another backup password")
    metrics = internal.metrics_password(Secret(NEW_CONTROL)).reveal()
    ours = {names.ACCOUNT_CONTROL: NEW_CONTROL, names.ACCOUNT_METRICS: metrics, names.ACCOUNT_BACKUP: backup}
    for i in cluster.status["instanceNames"]:
        for login in (sql.Login("shopkeeper", NEW_APP, "shop"), sql.Login("root", NEW_ROOT)):
            eventually(lambda: _can(cluster, i, login), 60, f"{login.user}'s new password on {i}")  # noqa: B023
        for user, password in ours.items():
            eventually(lambda: cluster.by_socket(i, user, password), 90, f"{user}'s new password on {i}")  # noqa: B023
    cluster.wait_ready(2, 120)


def _password(kube: Kube, ns: str, secret: str) -> str:
    found = kube.find("Secret", ns, secret)
    return base64.b64decode(found["data"]["password"]).decode() if found else ""


def _live_through(cluster: Cluster) -> None:
    """A crash, a parameter that mysqld refuses, a Secret without its key, a lost Pod."""
    kube, ns = cluster.kube, cluster.ns
    cluster.mysqld(cluster.primary).kill()
    cluster.wait_ready(2, 120)
    cluster.patch({"spec": {"mysql": {"parameters": {"sort_buffer_size": "plenty"}}}})
    cluster.wait(lambda c: c["metadata"]["generation"] == c["status"].get("observedGeneration"), 30, "the edit seen")
    cluster.patch({"spec": {"mysql": {"parameters": {"sort_buffer_size": None}}}})
    kube.patch("Secret", ns, "mine-root", {"data": {"password": None}})
    cluster.wait_accounts(names.ACCOUNTS_INCOMPLETE)
    kube.patch("Secret", ns, "mine-root", {"stringData": {"password": NEW_ROOT}})
    cluster.wait_ready(2, 120)
    replica = cluster.replicas[0]
    uid = cluster.uid(replica)
    kube.delete("Pod", ns, replica)
    eventually(
        lambda: (kube.find("Pod", ns, replica) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid, 60, "a new Pod"
    )
    cluster.wait_ready(2, 120)


def _can(cluster: Cluster, i: str, login: sql.Login) -> bool:
    try:
        return cluster.query(i, "SELECT 1", login=login) == [(1,)]
    except pymysql.err.MySQLError:
        return False


def _everywhere(cluster: Cluster, canaries: Canaries) -> list[str]:
    """Look in all places; what was found."""
    kube, ns = cluster.kube, cluster.ns
    canaries.seen.clear()
    for space in (ns, names.OPERATOR_NAMESPACE):
        for log in canary.logs(kube, space):
            canaries.look(log.where, log.text.encode())
        for where, text in canary.objects(kube, space):
            canaries.look(where, text.encode())
        for pod in kube.list("Pod", space):
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            for where, data in canary.running(uid):
                canaries.look(f"{name}: {where}", data)
            if space == names.OPERATOR_NAMESPACE:
                root = Path(f"/proc/{processes.of_pod(uid)[0].pid}/root")
                canaries.look_in_files(root, list(canary.files(root, (names.TMP_DIR,))), name)
    operator = leaf_of(cluster, names.secret_client_tls(cluster.name))
    for i in cluster.status["instanceNames"]:
        root = _root_of(cluster, i)
        canaries.look_in_files(root, list(canary.files(root, OUR_DIRECTORIES)), i)
        for call in (
            request("GET", "/status"),
            request("GET", "/status/stream"),
            request("GET", "/etc/cnmysql/credentials/control/password"),
            request("POST", "/role/close", b'{"epoch": 1}'),
            request("POST", "/role/close", b"{"),
            b"\x00\r\n\r\n",
        ):
            try:
                canaries.look(f"{i}: answer to {call[:30]!r}", ask(cluster, i, call, operator).body)
            except HandshakeFailed:
                pytest.fail(f"{i} did not answer {call[:30]!r}")
    return canaries.seen


def _root_of(cluster: Cluster, i: str) -> Path:
    return Path(f"/proc/{cluster.manager(i).pid}/root")


def test_the_search_finds_what_is_there(cluster: Cluster, canaries: Canaries) -> None:
    kube, ns = cluster.kube, cluster.ns
    planted: Json = {"metadata": {"name": "planted"}, "data": {"text": f"x{ROOT}"}}
    planted["data"]["encoded"] = base64.b64encode(f"ab{APP}c".encode()).decode()
    planted["data"]["stored"] = digest.make(Secret("anybody's"), "0123456789abcdefghij")
    kube.create("ConfigMap", ns, planted)
    root = _root_of(cluster, cluster.primary)
    left = [root / directory.lstrip("/") / "left-behind" for directory in OUR_DIRECTORIES]
    for file in left:
        file.write_bytes(b"\0" * 5_000_000 + NEW_APP.encode().hex().encode())
    try:
        found = _everywhere(cluster, canaries)
    finally:
        for file in left:
            file.unlink()
        kube.delete("ConfigMap", ns, "planted")
    where = "in /api/v1/configmaps"
    assert any(f.startswith("root (JSON)") and f.endswith(where) for f in found), found
    assert any(f.startswith("application (base64, offset 2)") and f.endswith(where) for f in found), found
    assert any(f.startswith("a stored form") and f.endswith(where) for f in found), found
    for directory in OUR_DIRECTORIES:
        assert any(
            f.startswith("new application (hex)") and f": {directory.lstrip('/')}/left-behind" in f for f in found
        ), found
    assert all(f.endswith(where) or "left-behind" in f for f in found), found


def test_no_secret_is_found_anywhere(cluster: Cluster, canaries: Canaries) -> None:
    kinds = ("first ", "changed ", "last token of db-", "changed stored form of cnmysql_metrics@localhost")
    assert all(any(name.startswith(kind) for name in canaries.values) for kind in kinds), sorted(canaries.values)
    assert len(canaries.values) >= 35, sorted(canaries.values)
    assert _everywhere(cluster, canaries) == []
    said = [log.text for log in canary.logs(cluster.kube, names.OPERATOR_NAMESPACE)]
    assert any('"level":"debug"' in text for text in said), "the operator did not tell all it could"


def test_every_line_of_every_container_is_one_json_object(cluster: Cluster) -> None:
    lines = [
        line
        for space in (cluster.ns, names.OPERATOR_NAMESPACE)
        for log in canary.logs(cluster.kube, space)
        for line in canary.malformed(log)
    ]
    assert not lines, "\n".join(lines[:20])
    server = cluster.kube.logs(cluster.ns, cluster.primary)
    assert '"process":"mysqld"' in server and '"stream":"stderr"' in server
