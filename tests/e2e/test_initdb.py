"""What `bootstrap.initdb` promises to the owner of the application schema, and what the owner may not do."""

from __future__ import annotations

from collections.abc import Callable

import pymysql
import pytest

from cnmysql import names
from tests.support import bed, sql
from tests.support.cluster import Cluster
from tests.support.kube import Kube, eventually

MakeCluster = Callable[..., Cluster]


def test_custom_database_owner_secret_charset_and_sql(kube: Kube, make_cluster: MakeCluster, namespace: str) -> None:
    given = kube.create(
        "Secret", namespace,
        {"metadata": {"name": "shop-login"}, "stringData": {"username": "shopkeeper", "password": "p'w\\d \"1; é"}},
    )  # fmt: skip
    cluster = make_cluster().create(
        1,
        bootstrap={
            "initdb": {
                "database": "we`ird shop",
                "owner": "shopkeeper",
                "secret": {"name": "shop-login"},
                "characterSet": "latin1",
                "collation": "latin1_swedish_ci",
                "postInitSQL": [
                    "CREATE TABLE `we``ird shop`.goods (id INT PRIMARY KEY, name VARCHAR(20))",
                    "INSERT INTO `we``ird shop`.goods VALUES (1, 'a;b'), (2, 'c''d')",
                ],
            }
        },
    )
    cluster.wait_ready(1)
    i = cluster.primary
    owner = sql.Login("shopkeeper", "p'w\\d \"1; é", "we`ird shop")
    assert cluster.query(i, "SELECT name FROM goods ORDER BY id", login=owner) == [("a;b",), ("c'd",)]
    assert cluster.query(i, "SELECT @@character_set_database, @@collation_database", login=owner) == [
        ("latin1", "latin1_swedish_ci")
    ]
    cluster.query(i, "CREATE TABLE mine (a INT)", login=owner)
    for denied in (
        "CREATE DATABASE other",
        "SELECT * FROM mysql.user",
        "CREATE USER x@localhost",
        "SET GLOBAL read_only=ON",
        "SHUTDOWN",
    ):
        with pytest.raises(pymysql.err.MySQLError):
            cluster.query(i, denied, login=owner)
    # Nothing of the bootstrap is in the binary log: replicas get it by their physical copy.
    assert cluster.executed(i).count(",") == 0
    assert kube.find("Secret", namespace, names.secret_app(cluster.name)) is None
    assert cluster.pod(i)["metadata"]["namespace"] == namespace
    # The user's Secret stays as it was given, also when everything that was made for the Cluster goes with it.
    assert kube.get("Secret", namespace, "shop-login") == given
    cluster.delete()
    eventually(lambda: not cluster.pods(), 60, "the Pod to be gone")
    kube.wait_gone("Secret", namespace, names.secret_root(cluster.name))
    assert kube.get("Secret", namespace, "shop-login") == given


def test_absent_bootstrap_makes_the_app_database(trio: Cluster) -> None:
    grants = trio.query(trio.primary, "SHOW GRANTS")
    assert [g for (g,) in grants if "`app`" in g and "ALL PRIVILEGES" in g]
    assert not [g for (g,) in grants if " ON *.* " in g and "USAGE" not in g]


def test_internal_accounts_hold_what_they_need_and_nothing_else(trio: Cluster) -> None:
    rows = trio.control(
        trio.primary, "SELECT user, host FROM mysql.user WHERE user LIKE 'cnmysql%' OR user IN ('root','')"
    )
    hosts: dict[str, set[str]] = {}
    for line in rows.splitlines():
        user, host = line.split("\t")
        hosts.setdefault(user, set()).add(host)
    assert hosts[names.ACCOUNT_REPLICATION] == {"%"}
    assert hosts["root"] == {"localhost"}
    assert "" not in hosts
    for local in (names.ACCOUNT_CONTROL, names.ACCOUNT_BACKUP):
        assert hosts[local] <= {"localhost", "127.0.0.1"}
    with pytest.raises(pymysql.err.OperationalError):
        sql.query(
            trio.address(trio.primary), sql.Login("root", trio.kube.secret(trio.ns, "db-root", "password")), "DO 1"
        )


def test_a_failing_post_init_statement_blocks_with_its_number(make_cluster: MakeCluster) -> None:
    cluster = make_cluster().create(1, bootstrap={"initdb": {"postInitSQL": ["DO 1", "CREATE TABLE app.t (broken"]}})
    seen = cluster.wait_phase(names.PHASE_BLOCKED, "postInitSQL")
    assert "statement 2 of" in seen["status"]["phaseReason"]
    assert "1064" in seen["status"]["phaseReason"]
    assert "broken" not in seen["status"]["phaseReason"]


def test_a_first_database_that_could_not_be_made_is_made_when_its_spec_is_corrected(make_cluster: MakeCluster) -> None:
    wrong = {"characterSet": "utf8mb4", "collation": "latin1_swedish_ci"}
    cluster = make_cluster().create(1, bootstrap={"initdb": {"database": "shop", "owner": "app", **wrong}})
    seen = cluster.wait_phase(names.PHASE_BLOCKED, "BootstrapFailed")
    assert "1253" in seen["status"]["phaseReason"], "what the server says of the collation"
    cluster.patch({"spec": {"bootstrap": {"initdb": {"collation": "utf8mb4_bin"}}}})
    cluster.wait_ready(1)
    chosen = "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME='shop'"
    assert cluster.control("db-1", chosen) == "utf8mb4_bin"


def test_superuser_access_is_remote_and_reduced(make_cluster: MakeCluster) -> None:
    cluster = make_cluster().create(1, enableSuperuserAccess=True)
    cluster.wait_ready(1)
    i = cluster.primary
    root = sql.Login("root", cluster.kube.secret(cluster.ns, names.secret_root(cluster.name), "password"))
    cluster.query(i, "CREATE DATABASE other", login=root)
    cluster.query(i, "CREATE USER dev@'%' IDENTIFIED BY 'long enough'", login=root)
    for denied in ("SET GLOBAL super_read_only=ON", "UPDATE mysql.user SET user='x' WHERE user='root'", "SHUTDOWN"):
        with pytest.raises(pymysql.err.MySQLError):
            cluster.query(i, denied, login=root)


def test_a_restarted_node_needs_no_secret_of_the_first_start(kube: Kube, make_cluster: MakeCluster) -> None:
    """Its init container runs again, on a complete directory; the Secret that filled it has been removed since."""
    cluster = make_cluster()
    login = {"username": "owner", "password": "only-at-first"}
    kube.create("Secret", cluster.ns, {"metadata": {"name": "login"}, "stringData": login})
    initdb = {"database": "app", "owner": "owner", "secret": {"name": "login"}}
    cluster.create(1, bootstrap={"initdb": initdb}).wait_ready(1)
    uid = cluster.uid("db-1")
    kube.delete("Secret", cluster.ns, "login")
    with bed.node_stopped(cluster.pod("db-1")["spec"]["nodeName"]):
        cluster.wait(lambda c: c["status"]["readyInstances"] == 0, 90, "the operator to miss the instance")
    cluster.wait(lambda c: c["status"]["readyInstances"] == 1, 120, "the instance to be back")
    assert cluster.uid("db-1") == uid
    assert cluster.query("db-1", "SELECT 1", login=sql.Login("owner", "only-at-first", "app")) == [(1,)]
