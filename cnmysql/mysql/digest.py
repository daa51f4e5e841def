"""Stored form of a caching_sha2_password: made for a start of mysqld, checked to see whether a password is in force.

It is `$A$<rounds/1000, three hex digits>$<salt, 20 characters><digest, 43 characters>`; the digest is SHA-crypt with
SHA-256 ("Unix crypt using SHA-256 and SHA-512" by U. Drepper) over a salt that is not cut to 16. Tried on 9.7 both
ways: mysqld takes what `make` writes, and `matches` agrees with its logins.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from cnmysql.log import Secret

SALT_LENGTH: Final = 20
ROUNDS: Final = 5000
MAX_PASSWORD: Final = 256
"""Bytes; the server refuses to log anybody in with more."""

_STORED: Final = re.compile(r"\$A\$([0-9A-Fa-f]{3})\$(.{20})([./0-9A-Za-z]{43})", re.S)
_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Which bytes of the digest make which four characters.
_ORDER: Final = (
    (0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14),
    (15, 25, 5), (6, 16, 26), (27, 7, 17), (18, 28, 8), (9, 19, 29),
)  # fmt: skip


def make(password: Secret, salt: str, rounds: int = ROUNDS) -> str:
    """What mysqld would store for this password. `salt`: 20 characters out of [A-Za-z0-9]; rounds in thousands."""
    if len(salt) != SALT_LENGTH or not (salt.isascii() and salt.isalnum()):
        raise ValueError(f"a salt has {SALT_LENGTH} characters out of A-Z, a-z, 0-9")
    return f"$A${rounds // 1000:03X}${salt}{_crypt(password.reveal().encode(), salt.encode(), rounds)}"


def derived(password: Secret, purpose: str) -> Secret:
    """As `make`, with the salt that this password has for this purpose: the same password is the same text again."""
    mac = hmac.digest(password.reveal().encode(), purpose.encode(), "sha256")
    return Secret(make(password, mac.hex()[:SALT_LENGTH]))


def well_formed(stored: str) -> bool:
    """Whether this is the stored form of some password."""
    return _STORED.fullmatch(stored) is not None


def matches(password: Secret, stored: str) -> bool:
    """Whether this password logs in where `stored` is kept. Costs some milliseconds of computing."""
    if not stored:
        return not password
    found = _STORED.fullmatch(stored)
    if found is None:
        return False
    rounds, salt, digest = int(found[1], 16) * 1000, found[2].encode(), found[3]
    return hmac.compare_digest(_crypt(password.reveal().encode(), salt, rounds), digest)


def _crypt(password: bytes, salt: bytes, rounds: int) -> str:
    other = hashlib.sha256(password + salt + password).digest()
    first = hashlib.sha256(password + salt + _cycled(other, len(password)))
    length = len(password)
    while length:
        first.update(other if length & 1 else password)
        length >>= 1
    current = first.digest()
    p = _cycled(hashlib.sha256(password * len(password)).digest(), len(password))
    s = _cycled(hashlib.sha256(salt * (16 + current[0])).digest(), len(salt))
    for number in range(rounds):
        odd = number & 1
        text = p if odd else current
        if number % 3:
            text += s
        if number % 7:
            text += p
        current = hashlib.sha256(text + (current if odd else p)).digest()
    return _encoded(current)


def _cycled(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _encoded(digest: bytes) -> str:
    groups = [(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER]
    groups.append((digest[31] << 8 | digest[30], 3))
    return "".join(_ALPHABET[word >> 6 * place & 0x3F] for word, count in groups for place in range(count))
