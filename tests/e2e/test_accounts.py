"""Passwords that change under a running Cluster, and logins that must fail, on a real Kubernetes."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from cnmysql import names
from cnmysql.log import Secret
from cnmysql.mysql import internal
from tests.support import sql, visitors
from tests.support.cluster import Cluster
from tests.support.kube import eventually
from tests.support.visitors import Door, visitor

DENIED, NOT_ALLOWED, INSECURE, READ_ONLY, FORBIDDEN = 1045, 1130, 3159, 1290, 1227


@dataclass(frozen=True)
class Untouched:
    """What no change of a password may change."""

    primary: str
    epoch: int
    pods: dict[str, str]
    restarts: dict[str, int]

    @classmethod
    def of(cls, cluster: Cluster) -> Untouched:
        pods, status = cluster.pods(), cluster.status
        restarts = {i: sum(c["restartCount"] for c in p["status"]["containerStatuses"]) for i, p in pods.items()}
        return cls(
            status["currentPrimary"], status["epoch"], {i: p["metadata"]["uid"] for i, p in pods.items()}, restarts
        )


@contextmanager
def nothing_else_happens(cluster: Cluster) -> Iterator[None]:
    """The same Pods, the same primary, no restart; every transaction is the primary's."""
    before = Untouched.of(cluster)
    yield
    cluster.wait_ready(3)
    assert Untouched.of(cluster) == before
    cluster.wait_caught_up()
    assert {cluster.executed(i).count(":") for i in before.pods} == {1}, "an instance has transactions of its own"


def instances(cluster: Cluster) -> list[str]:
    return [str(i) for i in cluster.status["instanceNames"]]


def remote(cluster: Cluster, i: str, login: sql.Login) -> bool:
    """Whether this login works over the network."""
    try:
        cluster.query(i, "DO 1", login=login)
    except pymysql.err.OperationalError as error:
        assert error.args[0] in (DENIED, NOT_ALLOWED), error
        return False
    return True


def everywhere(cluster: Cluster, check: Callable[[str], bool], what: str, timeout: float = 60) -> None:
    for i in instances(cluster):
        eventually(lambda i=i: check(i), timeout, f"{what} on {i}")  # type: ignore[misc]


def password(cluster: Cluster, secret: str) -> str:
    return cluster.kube.secret(cluster.ns, secret, "password")


def change(cluster: Cluster, secret: str, new: str) -> str:
    """The password before."""
    before = password(cluster, secret)
    cluster.kube.patch("Secret", cluster.ns, secret, {"stringData": {"password": new}})
    return before


def refused(cluster: Cluster, i: str, **options: Any) -> int:
    """Error code with which a login over the network is refused."""
    with pytest.raises(pymysql.err.OperationalError) as caught:
        pymysql.connect(host=cluster.address(i), connect_timeout=5, **options).close()
    return int(caught.value.args[0])


def context(cluster: Cluster, secret: str) -> ssl.SSLContext:
    """TLS with the client certificate of a Secret."""
    trust = cluster.kube.get("ConfigMap", cluster.ns, names.trust_config_map(cluster.name))["data"]
    made = ssl.create_default_context(cadata=trust[names.TRUST_SERVER_CA_KEY])
    made.check_hostname = False
    with tempfile.TemporaryDirectory() as directory:
        for key in ("tls.crt", "tls.key"):
            Path(directory, key).write_text(cluster.kube.secret(cluster.ns, secret, key))
        made.load_cert_chain(Path(directory, "tls.crt"), Path(directory, "tls.key"))
    return made


def test_every_password_changes_under_a_writer_and_the_former_ones_are_refused(trio: Cluster) -> None:
    owner, c = trio.app, trio.name
    with nothing_else_happens(trio), trio.writer() as writer:
        writer.wait_for_more(20)
        root = change(trio, names.secret_root(c), "new root's \\ password")
        control = change(trio, names.secret_control(c), "newcontrol")
        backup = change(trio, names.secret_backup(c), "newbackup")
        app = change(trio, names.secret_app(c), 'new "app" pässword')
        for user, new, old in (
            ("root", "new root's \\ password", root),
            (names.ACCOUNT_CONTROL, "newcontrol", control),
            (names.ACCOUNT_BACKUP, "newbackup", backup),
        ):
            everywhere(trio, lambda i, u=user, p=new: trio.by_socket(i, u, p), f"the new password of {user}")  # type: ignore[misc]
            everywhere(trio, lambda i, u=user, p=old: not trio.by_socket(i, u, p), f"no former password of {user}")  # type: ignore[misc]
        trio._app = replace(owner, password='new "app" pässword')
        everywhere(trio, lambda i: remote(trio, i, trio.app), "the new password of the application")
        everywhere(trio, lambda i: not remote(trio, i, replace(owner, password=app)), "no former one")
        writer.wait_for_more(20)
    assert not writer.errors, "a session was lost"
    eventually(lambda: _condition(trio)["status"] == "True", 30, "accounts in order")


def _condition(cluster: Cluster) -> dict[str, Any]:
    found = [c for c in cluster.status["conditions"] if c["type"] == names.CONDITION_ACCOUNTS]
    return found[0] if found else {"status": "Unknown", "reason": ""}


def test_a_deleted_secret_comes_back_with_a_password_that_works(trio: Cluster) -> None:
    c = trio.name
    local_accounts = {
        names.secret_control(c): names.ACCOUNT_CONTROL,
        names.secret_backup(c): names.ACCOUNT_BACKUP,
        names.secret_root(c): names.ACCOUNT_ROOT,
    }
    secrets = (names.secret_app(c), *local_accounts)
    before = {secret: password(trio, secret) for secret in secrets}
    with nothing_else_happens(trio):
        for secret in secrets:
            trio.kube.delete("Secret", trio.ns, secret)
        for secret in secrets:
            eventually(lambda s=secret: trio.kube.find("Secret", trio.ns, s), 30, f"Secret {secret}")  # type: ignore[misc]
            assert password(trio, secret) != before[secret]
        trio._app = None
        everywhere(trio, lambda i: remote(trio, i, trio.app), "the application's new password")
        for secret, user in local_accounts.items():
            new, old = password(trio, secret), before[secret]
            everywhere(trio, lambda i, u=user, p=new: trio.by_socket(i, u, p), f"the new password of {user}", 90)  # type: ignore[misc]
            everywhere(trio, lambda i, u=user, p=old: not trio.by_socket(i, u, p), f"no former password of {user}")  # type: ignore[misc]


def test_a_users_secret_decides_and_is_never_touched(trio: Cluster) -> None:
    body = {"metadata": {"name": "mine"}, "stringData": {"password": "mine-1"}}
    trio.kube.create("Secret", trio.ns, body)
    with nothing_else_happens(trio):
        trio.patch({"spec": {"rootPasswordSecret": {"name": "mine"}}})
        everywhere(trio, lambda i: trio.by_socket(i, "root", "mine-1"), "root by the user's Secret")
        change(trio, "mine", "mine-2")
        everywhere(trio, lambda i: trio.by_socket(i, "root", "mine-2"), "root by the changed Secret")
        everywhere(trio, lambda i: not trio.by_socket(i, "root", "mine-1"), "no former password")
        meta = trio.kube.get("Secret", trio.ns, "mine")["metadata"]
        assert not meta.get("ownerReferences") and not meta.get("labels")
        trio.patch({"spec": {"rootPasswordSecret": None}})
        own = password(trio, names.secret_root(trio.name))
        everywhere(trio, lambda i: trio.by_socket(i, "root", own), "root by the generated Secret again")


def test_superuser_access_comes_and_goes_without_a_restart_and_cannot_open_a_closed_server(trio: Cluster) -> None:
    root = sql.Login("root", password(trio, names.secret_root(trio.name)))
    with nothing_else_happens(trio):
        trio.patch({"spec": {"enableSuperuserAccess": True}})
        everywhere(trio, lambda i: remote(trio, i, root), "root over the network")
        for statement, code in (
            ("CREATE DATABASE escape", READ_ONLY),
            ("SET GLOBAL super_read_only=OFF", FORBIDDEN),
            ("SET GLOBAL read_only=OFF", FORBIDDEN),
            ("SET SESSION sql_log_bin=0", FORBIDDEN),
        ):
            with pytest.raises(pymysql.err.MySQLError) as caught:
                trio.query(trio.replicas[0], statement, login=root)
            assert caught.value.args[0] == code, statement
        trio.patch({"spec": {"enableSuperuserAccess": False}})
        everywhere(trio, lambda i: not remote(trio, i, root), "no root over the network")


def test_logins_that_must_fail_do(trio: Cluster) -> None:
    i, c = trio.primary, trio.name
    repl = {"user": names.ACCOUNT_REPLICATION, "password": ""}
    assert refused(trio, i, ssl_disabled=True, **repl) == DENIED
    naked = ssl.create_default_context()
    naked.check_hostname, naked.verify_mode = False, ssl.CERT_NONE
    assert refused(trio, i, ssl=naked, **repl) == DENIED
    assert refused(trio, i, ssl=context(trio, names.secret_peer_tls(i)), **repl) == DENIED
    assert refused(trio, i, ssl=context(trio, names.secret_client_tls(c)), **repl) == DENIED
    # With its own certificate it gets in, so it is the certificate that the others lack.
    mine = context(trio, names.secret_replication_tls(c))
    pymysql.connect(host=trio.address(i), ssl=mine, **repl).close()  # type: ignore[call-overload]


def test_our_local_accounts_log_in_from_nowhere_else(trio: Cluster) -> None:
    """With the passwords they have, which open the socket, tried from a Pod beside the Cluster and from outside."""
    c, guest = trio.name, visitor(trio.kube, trio.ns, "guest", {"app": "guest"})
    control = password(trio, names.secret_control(c))
    logins = {
        names.ACCOUNT_CONTROL: control,
        names.ACCOUNT_METRICS: internal.metrics_password(Secret(control)).reveal(),
        names.ACCOUNT_BACKUP: password(trio, names.secret_backup(c)),
        names.ACCOUNT_ROOT: password(trio, names.secret_root(c)),
    }
    visitors.wait(guest)
    for i in (trio.primary, trio.replicas[0]):
        address = trio.address(i)
        entered = guest.mysql(address, trio.app.user, trio.app.password, "SELECT 1")
        assert entered.code == 0, entered.err
        for user, secret in logins.items():
            eventually(lambda: trio.by_socket(i, user, secret), 60, f"{user} by the socket of {i}")  # noqa: B023
            said = guest.mysql(address, user, secret, "SELECT 1")
            assert said.code == 1 and any(f"ERROR {code} " in said.err for code in (DENIED, NOT_ALLOWED)), said.err
            assert refused(trio, i, user=user, password=secret) in (DENIED, NOT_ALLOWED), user
        assert guest.knock(address, names.PORT_MYSQL_ADMIN) is Door.REFUSED
    trio.kube.delete("Pod", trio.ns, guest.name, grace=0)


def test_an_account_that_could_pass_a_closed_server_is_told_of(trio: Cluster) -> None:
    trio.control(trio.primary, "SET SESSION sql_log_bin=1; GRANT CONNECTION_ADMIN ON *.* TO app@'%'")
    try:
        eventually(lambda: _condition(trio)["reason"] == names.ACCOUNTS_BYPASS, 90, "the condition")
        assert "app@%" in _condition(trio)["message"]
        eventually(
            lambda: any(e["reason"] == names.ACCOUNTS_BYPASS and e["type"] == "Warning" for e in trio.events()), 20
        )
    finally:
        trio.control(trio.primary, "SET SESSION sql_log_bin=1; REVOKE CONNECTION_ADMIN ON *.* FROM app@'%'")
    eventually(lambda: _condition(trio)["status"] == "True", 90, "the condition to go")


def test_with_secure_transport_required_everything_of_ours_still_works(trio: Cluster) -> None:
    with nothing_else_happens(trio):
        trio.patch({"spec": {"mysql": {"parameters": {"require_secure_transport": "ON"}}}})
        everywhere(trio, lambda i: trio.control(i, "SELECT @@GLOBAL.require_secure_transport") == "1", "the parameter")
        login = {"user": trio.app.user, "password": trio.app.password}
        assert refused(trio, trio.primary, ssl_disabled=True, **login) == INSECURE
        for i in trio.replicas:
            trio.control(i, "STOP REPLICA IO_THREAD; START REPLICA IO_THREAD")
        with trio.writer() as writer:
            writer.wait_for_more(20)
        change(trio, names.secret_control(trio.name), "over-tls")
        everywhere(trio, lambda i: trio.by_socket(i, names.ACCOUNT_CONTROL, "over-tls"), "control's new password", 90)
        trio.patch({"spec": {"mysql": {"parameters": {"require_secure_transport": None}}}})
        everywhere(trio, lambda i: trio.control(i, "SELECT @@GLOBAL.require_secure_transport") == "0", "the parameter")
