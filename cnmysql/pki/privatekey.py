"""Private keys of strangers: only kinds that load at once, whatever numbers they hold.

Loading a DSA or a DH key computes with its numbers, for seconds when they are large enough, and holds up everything
else meanwhile. So what kind it is has to be known before it is loaded.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey
MAX_BYTES: Final = 64 * 1024
_KINDS: Final = (RSAPrivateKey, EllipticCurvePrivateKey, Ed25519PrivateKey, Ed448PrivateKey)
_BEGIN: Final = b"-----BEGIN "
_DASHES: Final = b"-----"
_OF_ONE_KIND: Final = (b"RSA PRIVATE KEY", b"EC PRIVATE KEY")
_PKCS8: Final = b"PRIVATE KEY"
_LENGTH: Final = rb"(?:[\x00-\x7f]|\x81.|\x82..)"
_OURS: Final = re.compile(
    # PrivateKeyInfo (RFC 5958): a sequence of the version and the algorithm, whose identifier comes first.
    rb"\x30" + _LENGTH + rb"\x02\x01[\x00\x01]\x30" + _LENGTH + rb"\x06(?:"
    rb"\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01[\x01\x0a]"  # rsaEncryption, id-RSASSA-PSS
    rb"|\x07\x2a\x86\x48\xce\x3d\x02\x01"  # id-ecPublicKey
    rb"|\x03\x2b\x65[\x70\x71])",  # id-Ed25519, id-Ed448
    re.S,
)


def load(pem: bytes) -> PrivateKey | None:
    """The first private key of a PEM text; None for one that is encrypted, broken or of another kind."""
    found = _first(pem) if len(pem) <= MAX_BYTES else None
    if found is None:
        return None
    kind, block = found
    try:
        # Proving that an RSA key is sound takes seconds for a large one, and mysqld does it anyway.
        if kind == _PKCS8:
            der = base64.b64decode(b"".join(block.split(_DASHES)[2].split()), validate=True)
            key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True) if _OURS.match(der) else None
        else:
            key = load_pem_private_key(block, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, _KINDS) else None


def _first(pem: bytes) -> tuple[bytes, bytes] | None:
    """What the first block with a private key is called, and the block; None when its name is not one of ours."""
    begin = pem.find(_BEGIN)
    while begin >= 0:
        label = pem[begin + len(_BEGIN) : begin + len(_BEGIN) + 32].partition(_DASHES)[0]
        if label.endswith(_PKCS8):
            closing = _DASHES + b"END " + label + _DASHES
            end = pem.find(closing, begin)
            known = label == _PKCS8 or label in _OF_ONE_KIND
            return (label, pem[begin : end + len(closing)]) if known and end >= 0 else None
        begin = pem.find(_BEGIN, begin + len(_BEGIN))
    return None
