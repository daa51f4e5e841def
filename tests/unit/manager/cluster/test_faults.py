"""Every way in which a user's certificate can be wrong, named with its Secret, field and fault."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from cnmysql import names
from manager.cluster import faults
from manager.cluster.desired import desired
from manager.cluster.faults import Verdict, judge
from manager.cluster.material import parts
from manager.cluster.snapshot import Known, Snapshot, TlsMaterial, UserSecret
from manager.references import facts
from tests.sim.issuing import START, authority
from tests.support import odd_keys
from tests.support.certs import Authority, Leaf
from tests.support.cost import cpu_seconds
from tests.unit.manager.snapshots import new, spec

HOSTS = tuple(f"db-{i}.shop.svc" for i in (1, 2, 3))
CA = authority("mine")
DAY = timedelta(days=1)
ODD_KEY = odd_keys.pem(
    "PRIVATE KEY",
    odd_keys.private(odd_keys.DSA, odd_keys.parameters(odd_keys.DSA, 2048), odd_keys.integer(odd_keys.number(250))),
)


def secret(pair: Leaf | Authority, type_: str = "kubernetes.io/tls", **changed: bytes | None) -> UserSecret:
    """As the operator keeps it after a read. `changed` replaces or (None) removes keys; `_` stands for a dot."""
    certificate, key = (pair.pem, pair.key_pem) if isinstance(pair, Authority) else (pair.certificate, pair.key)
    data: dict[str, bytes | None] = {"tls.crt": certificate, "tls.key": key}
    if isinstance(pair, Authority):
        data["ca.crt"] = certificate
    data |= {k.replace("_", "."): v for k, v in changed.items()}
    encoded = {k: base64.b64encode(v).decode() for k, v in data.items() if v is not None}
    return facts({"type": type_, "data": encoded, "metadata": {"resourceVersion": "7"}})


def server(**how: Any) -> Leaf:
    return CA.issue(dns=how.pop("dns", HOSTS), client=how.pop("client", False), **how)


def operator(cn: str = names.OPERATOR_CN, **how: Any) -> Leaf:
    return CA.issue(cn, server=how.pop("server", False), **how)


def replication(cn: str = "repl", o: str = "shop", **how: Any) -> Leaf:
    return CA.issue(cn, o=o, server=how.pop("server", False), **how)


@cache
def good() -> dict[str, UserSecret]:
    return {
        "serverCASecret": secret(CA),
        "serverTLSSecret": secret(server()),
        "replicationTLSSecret": secret(replication()),
        "operatorTLSSecret": secret(operator()),
    }


def snapshot(**changed: UserSecret) -> Snapshot:
    found = {**good(), **changed}
    s = spec(new(), certificates={field: f"my-{field}" for field in found})
    return replace(s, user_secrets={f"my-{field}": kept for field, kept in found.items()})


def verdict(s: Snapshot) -> Verdict:
    d = desired(s)
    return judge(s, d, parts(s, d))


def said(s: Snapshot) -> list[str]:
    return [str(fault) for fault in verdict(s).faults]


def test_good_material_has_no_fault() -> None:
    assert verdict(snapshot()) == Verdict()


def test_a_ca_may_come_without_ca_crt_or_as_opaque() -> None:
    assert said(snapshot(serverCASecret=secret(CA, ca_crt=None))) == []
    assert said(snapshot(serverCASecret=secret(CA, "Opaque"))) == []


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (UserSecret(Known.MISSING), "does not exist; create it with key ca.crt"),
        (secret(CA, "kubernetes.io/dockercfg"), "has type kubernetes.io/dockercfg; it must be"),
        (secret(CA, tls_crt=None, tls_key=None, ca_crt=None), "lacks ca.crt"),
        (secret(CA, ca_crt=b"junk"), "ca.crt holds no certificate in PEM form"),
        (
            secret(CA, ca_crt=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "ca.crt cannot be parsed",
        ),
        (secret(CA, ca_crt=server().certificate), "ca.crt holds a certificate that is not a CA"),
        (secret(Authority(ca=False, now=START)), "ca.crt holds a certificate that is not a CA"),
        (secret(Authority(now=START, not_after=START)), "ca.crt expired at 2026-01-01T00:00:00Z"),
        (secret(Authority(now=START, not_before=START + DAY)), "ca.crt is not valid before 2026-01-02T00:00:00Z"),
        (secret(CA, tls_key=server().key), "tls.key does not belong to tls.crt"),
        (secret(CA, tls_key=b"junk"), "tls.key cannot be read"),
        (secret(CA, ca_crt=authority("other").pem), "tls.crt is not one of the CAs in ca.crt"),
        (secret(CA, ca_crt=CA.pem * 17), "ca.crt holds 17 certificates; at most 16 are allowed"),
        (secret(CA, ca_crt=b" " * 2**20), "ca.crt has 1048576 bytes; at most 65536 are allowed"),
        (secret(CA, tls_crt=CA.pem * 17), "tls.crt holds 17 certificates; at most 16 are allowed"),
        (secret(CA, tls_key=b" " * 2**20), "tls.key has 1048576 bytes; at most 65536 are allowed"),
        (secret(CA, ca_crt=odd_keys.rsa_certificate(16384)), "ca.crt has an RSA key of 16384 bits; at most 8192"),
        (secret(CA, tls_crt=odd_keys.rsa_certificate(16384)), "tls.key does not belong to tls.crt"),
        (
            secret(CA, tls_key=ODD_KEY),
            "tls.key cannot be read; it must be an unencrypted private key in PEM form, RSA,",
        ),
    ],
)
def test_authorities(kept: UserSecret, why: str) -> None:
    found = said(snapshot(serverCASecret=kept))
    assert found[0].startswith("InvalidUserCertificate: spec.certificates.serverCASecret: Secret my-serverCASecret ")
    assert why in found[0]


LEAVES = [
    ("serverTLSSecret", UserSecret(Known.MISSING), "does not exist; create it with type kubernetes.io/tls"),
    ("serverTLSSecret", secret(server(), "Opaque"), "has type Opaque; it must be kubernetes.io/tls"),
    ("serverTLSSecret", secret(server(), tls_key=None), "lacks tls.key"),
    ("serverTLSSecret", secret(server(), tls_crt=b""), "lacks tls.crt"),
    ("serverTLSSecret", secret(server(), tls_crt=b"junk"), "tls.crt holds no certificate in PEM form"),
    (
        "serverTLSSecret",
        secret(server(), tls_crt=odd_keys.rsa_certificate(8200)),
        "tls.crt has an RSA key of 8200 bits",
    ),
    (
        "serverTLSSecret",
        secret(server(), tls_crt=server().certificate * 20),
        "tls.crt holds 20 certificates; at most 16",
    ),
    ("serverTLSSecret", secret(server(), tls_key=b"x" * 65537), "tls.key has 65537 bytes; at most 65536 are allowed"),
    ("serverTLSSecret", secret(server(), tls_key=ODD_KEY), "tls.key cannot be read"),
    ("serverTLSSecret", secret(server(), tls_key=b"junk"), "tls.key cannot be read"),
    ("serverTLSSecret", secret(server(), tls_key=operator().key), "tls.key does not belong to tls.crt"),
    ("serverTLSSecret", secret(server(not_after=START)), "tls.crt expired at 2026-01-01T00:00:00Z"),
    ("serverTLSSecret", secret(server(not_before=START + DAY)), "tls.crt is not valid before 2026-01-02"),
    ("serverTLSSecret", secret(server(server=False, client=True)), "lacks the extended key usage serverAuth"),
    ("serverTLSSecret", secret(server(dns=HOSTS[:2])), "tls.crt has no DNS name for db-3.shop.svc"),
    ("serverTLSSecret", secret(server(dns=("*.svc",))), "no DNS name for db-1.shop.svc, db-2.shop.svc"),
    (
        "serverTLSSecret",
        secret(authority("other").issue(dns=HOSTS, client=False)),
        "was not issued by the CA in Secret",
    ),
    ("serverTLSSecret", secret(authority("mine", 1).issue(dns=HOSTS)), "was not issued by the CA in Secret my-server"),
    ("serverTLSSecret", secret(server(cn=names.OPERATOR_CN, client=True)), "would be accepted as the operator"),
    ("serverTLSSecret", secret(CA), "tls.crt is a CA; bring a certificate issued with it"),
    ("replicationTLSSecret", secret(CA), "tls.crt is a CA; bring a certificate issued with it"),
    ("operatorTLSSecret", secret(CA), "tls.crt is a CA; bring a certificate issued with it"),
    ("replicationTLSSecret", secret(replication(server=True, client=False)), "extended key usage clientAuth"),
    ("replicationTLSSecret", secret(replication(names.OPERATOR_CN, "")), "would be accepted as the operator"),
    (
        "replicationTLSSecret",
        secret(replication(o="cnmysql-peer", dns=("db-1.shop.svc",))),
        "would be accepted as the peer",
    ),
    ("replicationTLSSecret", secret(replication("réplique")), "MySQL cannot compare its subject"),
    ("replicationTLSSecret", secret(replication("", "")), "has an empty subject"),
    ("replicationTLSSecret", secret(authority("x").issue("repl", server=False)), "was not issued by the CA"),
    ("operatorTLSSecret", secret(operator("somebody")), "must have the common name cnmysql-operator"),
    ("operatorTLSSecret", secret(operator(o="shop")), "must have the common name cnmysql-operator and no organ"),
    ("operatorTLSSecret", secret(operator(server=True, client=False)), "extended key usage clientAuth"),
]


@pytest.mark.parametrize(("field", "kept", "why"), LEAVES, ids=[f"{f}-{w}" for f, _, w in LEAVES])
def test_leaves(field: str, kept: UserSecret, why: str) -> None:
    (found,) = said(snapshot(**{field: kept}))
    assert found.startswith(f"InvalidUserCertificate: spec.certificates.{field}: Secret my-{field} ")
    assert why in found


def test_a_wildcard_covers_the_instances_of_its_namespace() -> None:
    assert said(snapshot(serverTLSSecret=secret(server(dns=("*.shop.svc",))))) == []


def test_a_fault_of_the_ca_is_not_laid_at_the_door_of_its_leaves() -> None:
    assert len(said(snapshot(serverCASecret=secret(CA, ca_crt=b"junk")))) == 1


def test_several_faults_are_all_named() -> None:
    s = snapshot(operatorTLSSecret=secret(operator("x")), serverTLSSecret=secret(server(dns=())))
    assert len(said(s)) == 2


def test_time_alone_can_make_and_end_a_fault() -> None:
    s = snapshot(serverTLSSecret=secret(server(not_before=START + DAY, not_after=START + 3 * DAY)))
    assert "is not valid before" in said(s)[0]
    assert said(replace(s, now=START + 2 * DAY)) == []
    assert "expired" in said(replace(s, now=START + 3 * DAY))[0]


def test_no_key_is_kept() -> None:
    pair = server()
    lines = pair.key.decode().splitlines()[:3]  # the rest is the public key
    # A key beside the certificate in the same value is dropped too.
    kept = repr(secret(pair, tls_crt=pair.key + pair.certificate))
    assert not any(line in kept for line in lines)


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"-----BEGIN CERTIFICATE-----", b"\x00" * 100, b"-" * 10000])
def test_nonsense_is_a_fault_and_never_an_error(junk: bytes) -> None:
    for field in good():
        for key in ("tls_crt", "tls_key", "ca_crt"):
            pair: Leaf | Authority = CA if field == "serverCASecret" else server()
            changed: dict[str, Any] = {key: junk}
            verdict(snapshot(**{field: secret(pair, **changed)}))


def test_a_secret_as_large_as_it_can_be_is_read_at_once() -> None:
    """Measured at 5 ms; the search for certificates once took minutes."""
    for text in (b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN PRIVATE KEY-----\n"):
        full = text * (2**20 // len(text))
        assert cpu_seconds(lambda given=full: secret(CA, ca_crt=given)) < 0.2  # type: ignore[misc]
        assert cpu_seconds(lambda given=full: secret(CA, tls_crt=given, tls_key=given)) < 0.2  # type: ignore[misc]


def test_one_certificate_for_many_instances_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[TlsMaterial] = []
    pair_text = faults._pair_text

    def counted(keys: frozenset[str], tls: TlsMaterial) -> str:
        judged.append(tls)
        return pair_text(keys, tls)

    monkeypatch.setattr(faults, "_pair_text", counted)
    s = spec(snapshot(serverTLSSecret=secret(server(dns=("*.shop.svc",)))), instances=100)
    assert said(s) == []
    assert len(judged) == len(good()) - 1


def test_too_much_of_a_ca_does_not_make_it_one_that_cannot_sign() -> None:
    """Peers of a CA without a key are the user's: what runs would be taken down."""
    for kept in (secret(CA, ca_crt=CA.pem * 17), secret(CA, tls_key=b"x" * 70000)):
        s = snapshot(clientCASecret=kept)
        assert not [leaf for leaf in parts(s, desired(s)).leaves if leaf.source == leaf.secret]
    keyless = snapshot(clientCASecret=secret(CA, ca_crt=CA.pem * 17, tls_crt=None, tls_key=None))
    assert [leaf for leaf in parts(keyless, desired(keyless)).leaves if leaf.source == leaf.secret]
