"""Certificates of strangers: what is looked at is bounded, and what is asked of it costs little whatever they made."""

from __future__ import annotations

import re
from functools import cache

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from cnmysql.pki import inspect
from cnmysql.pki.inspect import MAX_BYTES, MAX_CERTIFICATES, MAX_TRUSTED, KeyState
from tests.support import odd_keys
from tests.support.certs import Authority
from tests.support.cost import cpu_seconds

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
SECONDS = 0.05
"""Nothing here was measured at more than 2 ms; what is refused took from a third of a second to minutes."""


@given(st.lists(st.sampled_from([BEGIN, END, "x", "\n", "y"]), max_size=12).map("".join))
def test_blocks_are_what_stands_between_begin_and_end(text: str) -> None:
    found = re.findall(f"{BEGIN}.*?{END}", text, re.S)
    assert inspect.blocks(text) == tuple(dict.fromkeys(found))


def test_blocks_are_bounded_in_number_and_size() -> None:
    many = "".join(f"{BEGIN}{n}{END}\n" for n in range(100))
    assert len(inspect.blocks(many)) == MAX_CERTIFICATES
    assert len(inspect.blocks(many, MAX_TRUSTED)) == MAX_TRUSTED
    assert inspect.blocks(" " * MAX_BYTES + many) == ()
    assert len(inspect.blocks(" " * MAX_BYTES + many, MAX_TRUSTED)) == MAX_TRUSTED


@pytest.mark.parametrize(
    "text",
    [BEGIN * (1 << 12), f"{BEGIN}\n" * (1 << 12), END * (1 << 12), "-" * (1 << 17), (BEGIN[:-1] + END) * (1 << 11)],
    ids=["begin", "begin lines", "end", "dashes", "begin cut short"],
)
def test_texts_that_never_end_are_read_once(text: str) -> None:
    assert cpu_seconds(lambda: inspect.blocks.__wrapped__(text, 1 << 20)) < SECONDS
    assert cpu_seconds(lambda: inspect.key_state(text.encode(), text.encode())) < SECONDS


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", ""),
        (b"x" * MAX_BYTES, ""),
        (BEGIN.encode() * MAX_CERTIFICATES, ""),
        (b"x" * (MAX_BYTES + 1), "tls.crt has 65537 bytes; at most 65536 are allowed"),
        (BEGIN.encode() * 17, "tls.crt holds 17 certificates; at most 16 are allowed"),
    ],
)
def test_what_is_more_than_is_looked_at(value: bytes, why: str) -> None:
    assert inspect.excess("tls.crt", value) == why


def block(pem: bytes) -> str:
    (found,) = inspect.blocks(pem.decode())
    return found


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (odd_keys.rsa_certificate(8192), ""),
        (odd_keys.rsa_certificate(8200), "has an RSA key of 8200 bits; at most 8192 are allowed"),
        (odd_keys.rsa_certificate(65536), "has an RSA key of 65536 bits; at most 8192 are allowed"),
        (odd_keys.rsa_certificate(3072, odd_keys.number(3000)), "has an RSA key with an exponent of 3000 bits;"),
        *(
            (
                odd_keys.certificate(kind, odd_keys.parameters(kind, 10000), odd_keys.integer(odd_keys.number(9990))),
                "has a public key that is not of type RSA, EC or Ed25519",
            )
            for kind in (odd_keys.DSA, odd_keys.DH)
        ),
        (f"{BEGIN}\nAAAA\n{END}\n".encode(), "cannot be parsed"),
    ],
    ids=["8192", "8200", "65536", "exponent", "dsa", "dh", "broken"],
)
def test_public_keys_that_cost_much_are_refused_at_once(pem: bytes, why: str) -> None:
    found = block(pem)
    assert inspect.unusable(found).startswith(why)
    assert bool(why) == bool(inspect.unusable(found))
    assert (inspect.parsed(found) is None) == bool(why)
    assert cpu_seconds(lambda: inspect._read.__wrapped__(found)) < SECONDS


@cache
def lookalikes() -> tuple[str, ...]:
    """Two CAs of one name, with keys as large as may be and as dear to check with: neither signed the other."""
    return tuple(block(odd_keys.rsa_certificate(8192, odd_keys.number(64))) for _ in range(2))


def test_a_chain_is_judged_by_a_bounded_number_of_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def nobody(at: str, ca: str) -> bool:
        asked.append((at, ca))
        return at != ca and found.index(ca) == found.index(at) + 1

    found = tuple(f"{n}" for n in range(MAX_CERTIFICATES))
    monkeypatch.setattr(inspect, "issued_by", nobody)
    assert not inspect.trusted.__wrapped__(found, found)
    assert len(asked) <= inspect._MAX_CHAIN * (2 * MAX_CERTIFICATES + 1)


def test_the_dearest_signatures_are_bounded() -> None:
    """Of the largest keys that are taken: 1 ms each, and 256 in a key of a Secret."""
    first, second = lookalikes()
    assert not inspect.issued_by(first, second)
    assert cpu_seconds(lambda: inspect.issued_by.__wrapped__(first, second)) < SECONDS


def test_names_are_looked_up_once_for_all_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    dns = (*(f"x{n}.example" for n in range(2000)), "*.ns.svc", "Own.other.svc")
    certificate = inspect.parsed(block(Authority().issue(dns=dns).certificate))
    assert certificate is not None
    asked: list[x509.Certificate] = []
    read = inspect.dns_names

    def counted(certificate: x509.Certificate) -> tuple[str, ...]:
        asked.append(certificate)
        return read(certificate)

    monkeypatch.setattr(inspect, "dns_names", counted)
    hosts = [f"db-{n}.ns.svc" for n in range(100)]
    assert inspect.uncovered(certificate, [*hosts, "own.other.svc", "a.b.ns.svc"]) == ["a.b.ns.svc"]
    assert len(asked) == 1


def test_a_key_and_its_certificate() -> None:
    leaf, other = Authority().issue("x"), Authority().issue("y")
    assert inspect.key_state(leaf.certificate, leaf.key) is KeyState.MATCHES
    assert inspect.key_state(leaf.certificate, other.key) is KeyState.FOREIGN
    assert inspect.key_state(leaf.certificate, b" \n") is KeyState.ABSENT
    assert inspect.key_state(leaf.certificate, b"junk") is KeyState.UNREADABLE
    assert inspect.key_state(b"junk", leaf.key) is KeyState.FOREIGN
