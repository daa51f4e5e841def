"""Private keys of strangers: ours load, others are refused before they are loaded."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from cnmysql.pki import privatekey
from tests.support import odd_keys
from tests.support.certs import Authority
from tests.support.cost import cpu_seconds

SECONDS = 0.05
"""What is taken was measured at 1 ms; what is refused took a third of a second to seconds."""
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
PKCS8, OLD = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL
Ours = privatekey.PrivateKey


def written(key: Ours, form: PrivateFormat, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (EC, PKCS8), (EC, OLD), (RSA, PKCS8), (RSA, OLD),
        (ed25519.Ed25519PrivateKey.generate(), PKCS8), (ed448.Ed448PrivateKey.generate(), PKCS8),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "before", [b"", b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", Authority().pem]
)
def test_our_kinds_load_whatever_stands_before_them(key: Ours, form: PrivateFormat, before: bytes) -> None:
    loaded = privatekey.load(before + written(key, form))
    assert loaded is not None
    assert written(loaded, PKCS8) == written(key, PKCS8)


def odd(kind: bytes, bits: int) -> bytes:
    return odd_keys.private(kind, odd_keys.parameters(kind, bits), odd_keys.integer(odd_keys.number(bits - 2)))


def disguised() -> bytes:
    """A DH key behind headers that read like the beginning of an RSA key to whoever takes them for its text."""
    begin, _, rest = odd_keys.pem("PRIVATE KEY", odd(odd_keys.DH, 10000)).partition(b"\n")
    return begin + b"\nMIIEvQIBADANBgkqhkiG9w0BAQEF: x\n\n" + rest


@pytest.mark.parametrize(
    "pem",
    [
        odd_keys.pem("PRIVATE KEY", odd(odd_keys.DSA, 10000)),
        odd_keys.pem("PRIVATE KEY", odd(odd_keys.DH, 10000)),
        odd_keys.pem("PRIVATE KEY", odd(odd_keys.DH, 60000)),
        disguised(),
        odd_keys.pem("RSA PRIVATE KEY", odd(odd_keys.DH, 10000)),
        odd_keys.pem("EC PRIVATE KEY", odd(odd_keys.DSA, 10000)),
        odd_keys.pem("DSA PRIVATE KEY", odd(odd_keys.DSA, 10000)),
        odd_keys.pem("ENCRYPTED PRIVATE KEY", b"\x30\x00"),
        odd_keys.pem("PRIVATE KEY", b"\x30\x00"),
        b"-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----",
        b"-----BEGIN PRIVATE KEY-----\nAAAA",
        written(EC, PKCS8, BestAvailableEncryption(b"x")),
        written(RSA, OLD, BestAvailableEncryption(b"x")),
        b"-----BEGIN " * 5000,
        written(EC, PKCS8) + b"x" * privatekey.MAX_BYTES,
    ],
    ids=lambda pem: pem[:40],
)
def test_others_are_refused_at_once(pem: bytes) -> None:
    assert privatekey.load(pem) is None
    assert cpu_seconds(lambda: privatekey.load(pem)) < SECONDS


def test_an_rsa_key_of_absurd_size_costs_nothing() -> None:
    pem = odd_keys.pem("RSA PRIVATE KEY", odd_keys.rsa_private(65536))
    assert cpu_seconds(lambda: privatekey.load(pem)) < SECONDS
