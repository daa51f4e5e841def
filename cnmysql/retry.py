"""How long to wait before the next try."""

from __future__ import annotations


def pause(waited: int, *, first: float, last: float) -> float:
    """Seconds, when one has waited so many times already: `first`, then twice as long each time, at most `last`."""
    # The exponent is bounded: a float ends at 2**1024.
    return float(min(last, first * 2.0 ** min(waited, 32)))
