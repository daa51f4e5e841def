"""Kubernetes quantities as exact numbers (API conventions, "Quantity": decimal and binary suffixes, exponents)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

MAX_LENGTH: Final = 64
"""As the API has it. 64 digits and an exponent of two are far beyond what a quantity holds, 2^63-1."""
_FORM: Final = re.compile(
    r"^([+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++))(?:(m|k|[KMGTPE]i|[MGTPE]|n|u)|[eE]([+-]?[0-9]{1,2}))?$"
)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse_quantity(text: str) -> Decimal:
    """`10Gi` -> 10737418240. Raises ValueError for anything that is no quantity."""
    match = _FORM.match(text.strip()) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    number, suffix, exponent = Decimal(match[1]), match[2], match[3]
    if exponent is not None:
        return number.scaleb(int(exponent))
    if suffix in _BINARY:
        return number * Decimal(1024) ** _BINARY[suffix]
    return number.scaleb(_DECIMAL.get(suffix or "", 0))
