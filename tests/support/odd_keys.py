"""Keys nobody makes, of any kind and size, as DER: what stands in them is taken as it is, valid or not."""

from __future__ import annotations

import base64
import random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certs import Authority

RSA = bytes.fromhex("2a864886f70d010101")
DSA = bytes.fromhex("2a8648ce380401")
DH = bytes.fromhex("2a864886f70d010301")
NULL = b"\x05\x00"
_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
_SHA256_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
_NUMBERS = random.Random(1)


def number(bits: int) -> int:
    """An odd number of this many bits, the same ones in every run."""
    return _NUMBERS.getrandbits(bits) | 1 << (bits - 1) | 1


def tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    return tagged(0x30, b"".join(parts))


def integer(value: int) -> bytes:
    return tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def parameters(kind: bytes, bits: int) -> bytes:
    """Of a DSA or a DH key: a modulus of this many bits."""
    numbers = (number(bits), number(256), number(bits - 2)) if kind == DSA else (number(bits), number(bits - 2))
    return sequence(*map(integer, numbers))


def pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


def private(kind: bytes, parameters: bytes, key: bytes) -> bytes:
    """A private key in PKCS#8 form."""
    return sequence(integer(0), sequence(tagged(0x06, kind), parameters), tagged(0x04, key))


def rsa_private(bits: int) -> bytes:
    """In PKCS#1 form, of numbers that do not belong together."""
    p, q = number(bits // 2), number(bits // 2)
    rest = [number(bits - 1), p, q, *(number(bits // 2 - 1) for _ in range(3))]
    return sequence(*map(integer, (0, p * q, 65537, *rest)))


def certificate(kind: bytes, parameters: bytes, key: bytes) -> bytes:
    """A CA with this public key, in PEM form; its signature is of no use."""
    ca = x509.load_pem_x509_certificate(Authority().pem)
    signing = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        ca.subject, ca.subject, signing.public_key(), 1, ca.not_valid_before_utc, ca.not_valid_after_utc,
        list(ca.extensions),
    )  # fmt: skip
    der = builder.sign(signing, hashes.SHA256())
    inner = der.tbs_certificate_bytes
    public = signing.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    odd = sequence(sequence(tagged(0x06, kind), parameters), tagged(0x03, b"\0" + key))
    body = inner[len(inner) - _content_length(inner) :].replace(public, odd)
    algorithm, signature = _ECDSA, der.signature
    if kind == RSA:
        # As long as its own would be: a signature of another length is not even tried.
        algorithm, signature = _SHA256_RSA, b"\x7f" * max(1, (len(key) - 16) // 128 * 128)
    body = body.replace(_ECDSA, algorithm)
    return pem("CERTIFICATE", sequence(sequence(body), algorithm, tagged(0x03, b"\0" + signature)))


def rsa_certificate(bits: int, exponent: int = 65537) -> bytes:
    return certificate(RSA, NULL, sequence(integer(number(bits)), integer(exponent)))


def _content_length(der: bytes) -> int:
    first = der[1]
    return first if first < 128 else int.from_bytes(der[2 : 2 + (first & 0x7F)], "big")
