"""Plain questions about certificates, answered from their text. Pure, and remembered: the same few are asked often.

A *block* is one certificate in PEM form. Nothing here ever sees a private key except `key_state`, which keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier, PublicKeyAlgorithmOID

from cnmysql.pki import privatekey
from cnmysql.pki.fingerprint import certificate_fingerprint

MAX_CERTIFICATES: Final = 16
"""In one key of a Secret: a chain, or a bundle of CAs. Whether one signed another is asked of every pair."""
MAX_BYTES: Final = privatekey.MAX_BYTES
"""Of one key of a Secret."""
MAX_TRUSTED: Final = 2 * MAX_CERTIFICATES
"""In one bundle of `<c>-trust`: the present CA's and former ones. Both bundles fit a ConfigMap (1 MiB) many times."""
ALGORITHMS: Final = "RSA, EC or Ed25519"
_ALGORITHMS: Final = frozenset(
    {
        PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
        PublicKeyAlgorithmOID.RSASSA_PSS,
        PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
        PublicKeyAlgorithmOID.ED25519,
        PublicKeyAlgorithmOID.ED448,
    }
)
MAX_RSA_BITS: Final = 8192
_MAX_EXPONENT_BITS: Final = 64
"""OpenSSL takes one of any length with a key of up to 3072 bits: checking a signature is then as dear as making one."""
_MAX_CHAIN: Final = 8
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


class KeyState(Enum):
    """What a private key is to the certificate beside it."""

    ABSENT = "absent"
    UNREADABLE = "unreadable"
    FOREIGN = "foreign"
    MATCHES = "matches"


@lru_cache(maxsize=1024)
def blocks(text: str, most: int = MAX_CERTIFICATES) -> tuple[str, ...]:
    """Certificates of a PEM text in order, each once; whatever stands between them is dropped.

    At most the first `most`, and what fills that many times the bytes that `MAX_BYTES` allows for each.
    """
    text = text[: most * (MAX_BYTES // MAX_CERTIFICATES)]
    found: dict[str, None] = {}
    begin = text.find(_BEGIN)
    while begin >= 0 and len(found) < most:
        end = text.find(_END, begin + len(_BEGIN))
        if end < 0:
            break
        found[text[begin : end + len(_END)]] = None
        begin = text.find(_BEGIN, end + len(_END))
    return tuple(found)


def excess(key: str, value: bytes) -> str:
    """Why a key of a Secret holds more than is looked at, or an empty text."""
    if len(value) > MAX_BYTES:
        return f"{key} has {len(value)} bytes; at most {MAX_BYTES} are allowed"
    count = value.count(_BEGIN.encode())
    if count > MAX_CERTIFICATES:
        return f"{key} holds {count} certificates; at most {MAX_CERTIFICATES} are allowed"
    return ""


def joined(found: Iterable[str]) -> str:
    """Blocks as one PEM text."""
    return "".join(f"{block}\n" for block in found)


def parsed(block: str) -> x509.Certificate | None:
    """The certificate, or None when it cannot be used (`unusable` says why)."""
    found = _read(block)
    return None if isinstance(found, str) else found


def unusable(block: str) -> str:
    """Why a certificate cannot be used, whatever for, or an empty text."""
    found = _read(block)
    return found if isinstance(found, str) else ""


@lru_cache(maxsize=4096)
def _read(block: str) -> x509.Certificate | str:
    try:
        certificate = x509.load_pem_x509_certificate(block.encode())
        # Before the key is loaded: to check the parameters of a DH key takes a third of a second.
        if certificate.public_key_algorithm_oid not in _ALGORITHMS:
            return f"has a public key that is not of type {ALGORITHMS}"
        # Parsing is lazy: touch what the questions below ask for.
        _ = (certificate.subject, certificate.extensions)
        return _oversized(certificate.public_key()) or certificate
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return "cannot be parsed"


def _oversized(key: object) -> str:
    if not isinstance(key, RSAPublicKey):
        return ""
    if key.key_size > MAX_RSA_BITS:
        return f"has an RSA key of {key.key_size} bits; at most {MAX_RSA_BITS} are allowed"
    bits = key.public_numbers().e.bit_length()
    if bits > _MAX_EXPONENT_BITS:
        return f"has an RSA key with an exponent of {bits} bits; at most {_MAX_EXPONENT_BITS} are allowed"
    return ""


@lru_cache(maxsize=4096)
def fingerprint(block: str) -> str:
    """See `certificate_fingerprint`. Raises ValueError when it cannot be parsed."""
    return certificate_fingerprint(block.encode())


def key_state(certificate: bytes, key: bytes) -> KeyState:
    """Whether a PEM private key belongs to the first certificate of a PEM text. One of a kind we know, no other."""
    if not key.strip():
        return KeyState.ABSENT
    private = privatekey.load(key)
    if private is None:
        return KeyState.UNREADABLE
    found = blocks(certificate[:MAX_BYTES].decode("ascii", "replace"))
    first = parsed(found[0]) if found else None
    if first is None:
        return KeyState.FOREIGN
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    same = private.public_key().public_bytes(*form) == first.public_key().public_bytes(*form)
    return KeyState.MATCHES if same else KeyState.FOREIGN


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_authority(certificate: x509.Certificate) -> bool:
    """A CA by its basic constraints, that may sign by its key usage if that is limited at all."""
    basic = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    return basic is not None and bool(basic.ca) and (usage is None or bool(usage.key_cert_sign))


def usable_for(certificate: x509.Certificate, usage: ObjectIdentifier) -> bool:
    """Its extended key usage names this one, or does not limit it."""
    found = _extension(certificate, x509.ExtendedKeyUsage)
    return found is None or usage in found or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in found


SERVER_AUTH: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH: Final = ExtendedKeyUsageOID.CLIENT_AUTH


def uncovered(certificate: x509.Certificate, hosts: Iterable[str]) -> list[str]:
    """Hosts that no DNS name of the certificate stands for: its own, or a wildcard for exactly its first label."""
    found = {name.lower() for name in dns_names(certificate)}
    return [host for host in hosts if host not in found and "*." + host.partition(".")[2] not in found]


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    found = _extension(certificate, x509.SubjectAlternativeName)
    return tuple(found.get_values_for_type(x509.DNSName)) if found is not None else ()


def validity_fault(certificate: x509.Certificate, now: datetime) -> str:
    """Why it is not valid now, or an empty text."""
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    if now >= certificate.not_valid_after_utc:
        return f"expired at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    return ""


@lru_cache(maxsize=8192)
def issued_by(block: str, authority: str) -> bool:
    """The signature of a certificate was made with the key of this CA, and it says so."""
    certificate, ca = parsed(block), parsed(authority)
    if certificate is None or ca is None or not is_authority(ca):
        return False
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


@lru_cache(maxsize=1024)
def trusted(chain: tuple[str, ...], bundle: tuple[str, ...]) -> bool:
    """A chain (leaf first) leads to a self-signed CA of the bundle, as OpenSSL demands it."""
    if not chain:
        return False
    at, known = chain[0], (*bundle, *chain[1:])
    for _ in range(_MAX_CHAIN):
        if at in bundle and issued_by(at, at):
            return True
        above = next((ca for ca in known if ca != at and issued_by(at, ca)), "")
        if not above:
            return False
        at = above
    return False


def identity_parts(certificate: x509.Certificate) -> dict[str, Any]:
    """Subject and DNS names in the form of `ssl.SSLSocket.getpeercert()`, for `cnmysql.pki.identity.identify`."""
    kinds = {NameOID.COMMON_NAME: "commonName", NameOID.ORGANIZATION_NAME: "organizationName"}
    subject = tuple(((kinds[a.oid], str(a.value)),) for a in certificate.subject if a.oid in kinds)
    return {"subject": subject, "subjectAltName": tuple(("DNS", name) for name in dns_names(certificate))}
