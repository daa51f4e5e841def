"""Short names for certificates and bundles, so that two sides can tell whether they have the same one."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256


def certificate_fingerprint(pem: bytes) -> str:
    """SHA-256 of the first certificate of a PEM text, hexadecimal. Raises ValueError when there is none."""
    return x509.load_pem_x509_certificates(pem)[0].fingerprint(SHA256()).hex()


def bundle_fingerprint(pem: bytes) -> str:
    """SHA-256 over the certificates of a PEM text, whatever their order and what stands between them.

    Raises ValueError when there is none.
    """
    found = {c.fingerprint(SHA256()) for c in x509.load_pem_x509_certificates(pem)}
    return hashlib.sha256(b"".join(sorted(found))).hexdigest()
