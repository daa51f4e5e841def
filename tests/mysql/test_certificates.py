"""Certificates that change under a real mysqld and its manager: taken over in place, reported, and no session lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pymysql

from cnmysql import names
from cnmysql.errors import CnmysqlError
from cnmysql.pki.contexts import TlsFiles, client_context
from cnmysql.pki.fingerprint import bundle_fingerprint, certificate_fingerprint
from cnmysql.protocol.client import ControlClient
from cnmysql.protocol.report import InstanceStatus, TLSReport
from tests.mysql.instance_home import NAMESPACE, PASSWORDS
from tests.mysql.pods import Pod
from tests.support.certs import Authority, Leaf

HOST = names.instance_host("db-1", NAMESPACE)


def tls(report: InstanceStatus) -> TLSReport:
    return report.tls or TLSReport()


def session(of: Pod) -> pymysql.Connection[pymysql.cursors.Cursor]:
    """A local session over TLS that stays."""
    return pymysql.connect(
        host="127.0.0.1",
        port=of.home.admin_port,
        user=names.ACCOUNT_CONTROL,
        password=PASSWORDS["control"].encode(),
        ssl_verify_cert=False,
        ssl_disabled=False,
        autocommit=True,
    )


def asks(connection: pymysql.Connection[pymysql.cursors.Cursor]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def trust(of: Pod, key: str, *authorities: Authority) -> bytes:
    """Replace a bundle as the kubelet does."""
    text = b"".join(a.pem for a in authorities)
    path = of.home.base / "tls" / "trust" / key
    fresh = path.with_name(f".{key}.new")
    fresh.write_bytes(text)
    fresh.rename(path)
    return text


async def test_what_is_loaded_is_reported_from_the_start(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    ca = bundle_fingerprint(pod.home.ca.pem)
    report = tls(await pod.reaches(lambda r: bool(tls(r).server)))
    assert (report.server_ca, report.client_ca) == (ca, ca)
    for kind in ("server", "replication", "peer"):
        pem = (pod.home.base / "tls" / kind / "tls.crt").read_bytes()
        assert getattr(report, kind) == certificate_fingerprint(pem), kind


async def test_a_new_certificate_and_key_are_used_and_no_session_ends(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    with session(pod) as connection:
        before = asks(connection)
        leaf = pod.home.ca.issue(dns=(HOST,), client=False)
        leaf.write(pod.home.base / "tls" / "server")
        wanted = certificate_fingerprint(leaf.certificate)
        after = await pod.reaches(lambda r: tls(r).server == wanted, timeout=10)
        assert after.open
        assert after.mysqld.restarts == 0
        assert asks(connection) == before
    for kind in ("replication", "peer"):
        leaf = pod.home.ca.issue("x", o="y", server=False)
        leaf.write(pod.home.base / "tls" / kind)
        wanted = certificate_fingerprint(leaf.certificate)
        await pod.reaches(lambda r, kind=kind, wanted=wanted: getattr(tls(r), kind) == wanted, timeout=10)  # type: ignore[misc]


async def test_a_pair_that_does_not_fit_leaves_the_last_good_one_in_use(pod: Pod) -> None:
    pod.start()
    await pod.bootstrap()
    good = tls(await pod.reaches(lambda r: bool(tls(r).server))).server
    one, other = pod.home.ca.issue(dns=(HOST,), client=False), pod.home.ca.issue(dns=(HOST,), client=False)
    Leaf(one.certificate, other.key).write(pod.home.base / "tls" / "server")
    manager = pod.manager
    assert manager is not None
    await pod.reaches(lambda _: "changed files cannot be used yet" in manager.log(), timeout=10)
    report = await pod.status()
    assert tls(report).server == good
    assert report.open
    assert report.tls_not_after is not None
    with session(pod) as connection:
        asks(connection)
    one.write(pod.home.base / "tls" / "server")
    wanted = certificate_fingerprint(one.certificate)
    await pod.reaches(lambda r: tls(r).server == wanted, timeout=10)


async def test_a_peer_pair_that_does_not_fit_is_not_reported_as_in_use(pod: Pod) -> None:
    pod.start()
    good = tls(await pod.reaches(lambda r: bool(tls(r).peer))).peer
    one = pod.home.ca.issue(o="cnmysql-peer", dns=(HOST,), server=False)
    other = pod.home.ca.issue(o="cnmysql-peer", dns=(HOST,), server=False)
    Leaf(one.certificate, other.key).write(pod.home.base / "tls" / "peer")
    manager = pod.manager
    assert manager is not None
    await pod.reaches(lambda _: "the peer certificate cannot be used" in manager.log(), timeout=10)
    assert tls(await pod.status()).peer == good
    one.write(pod.home.base / "tls" / "peer")
    wanted = certificate_fingerprint(one.certificate)
    await pod.reaches(lambda r: tls(r).peer == wanted, timeout=10)


async def test_callers_of_both_cas_are_served_while_both_are_trusted(pod: Pod) -> None:
    """The client CA changes: the new operator certificate counts once it is trusted, the old one until it is not."""
    pod.start()
    await pod.bootstrap()
    fresh = Authority("next-ca")
    other = fresh.issue(names.OPERATOR_CN, server=False).write(pod.home.base / "tls" / "operator-next")
    server_ca = str(pod.home.base / "tls/trust/server-ca.crt")

    async def served(directory: Path) -> bool:
        client = ControlClient(
            client_context(TlsFiles.of(str(directory), server_ca)), NAMESPACE, port=pod.home.control_port
        )
        try:
            await client.status("db-1", pod.home.address)
        except CnmysqlError:
            return False
        finally:
            await client.close()
        return True

    assert not await served(other)
    both = bundle_fingerprint(trust(pod, names.TRUST_CLIENT_CA_KEY, fresh, pod.home.ca))
    await pod.reaches(lambda r: tls(r).client_ca == both, timeout=10)
    assert await served(other)
    assert await served(pod.home.base / "tls" / "operator")
    trust(pod, names.TRUST_CLIENT_CA_KEY, fresh)
    async with asyncio.timeout(10):
        while True:
            try:
                await pod.status()
            except CnmysqlError:
                break
            await asyncio.sleep(0.1)
    assert not await served(pod.home.base / "tls" / "operator")
    assert await served(other)


async def test_the_replication_account_is_unbound_and_bound_as_the_trust_says(pod: Pod) -> None:
    """What the operator's rotation relies on: each state is in force before it is reported."""
    pod.start()
    await pod.bootstrap()
    names_of = "SELECT ssl_type, x509_subject, x509_issuer FROM mysql.user WHERE User='cnmysql_repl'"
    ordered = pod.home.base / "tls" / "trust" / names.TRUST_REPLICATION_KEY
    first = f"/O={NAMESPACE}/CN={names.replication_cn('db')}|/CN=test-ca"
    await pod.reaches(lambda r: r.replication_require == first)
    for order, said, stored in (
        ({"require": "x509"}, "x509", ("X509", "", "")),
        ({"subject": "/CN=other", "issuer": "/CN=next"}, "/CN=other|/CN=next", ("SPECIFIED", "/CN=other", "/CN=next")),
    ):
        fresh = ordered.with_name(".replication.json.new")
        fresh.write_text(json.dumps(order))
        fresh.rename(ordered)
        await pod.reaches(lambda r, said=said: r.replication_require == said, timeout=15)  # type: ignore[misc]
        row = pod.home.query(names_of)[0]
        assert tuple(v.decode() if isinstance(v, bytes) else v for v in row) == stored


async def test_a_restarted_mysqld_is_brought_to_what_the_files_hold(pod: Pod) -> None:
    """Whatever it read at its start: files that change while it starts must not be missed."""
    pod.start()
    await pod.bootstrap()
    await pod.reaches(lambda r: bool(tls(r).server))
    victim = pod.mysqld

    os.kill(victim, signal.SIGKILL)
    leaf = pod.home.ca.issue(dns=(HOST,), client=False)
    leaf.write(pod.home.base / "tls" / "server")
    wanted = certificate_fingerprint(leaf.certificate)
    report = await pod.reaches(lambda r: r.mysqld.restarts > 0 and r.open and tls(r).server == wanted)
    assert report.tls_not_after is not None
