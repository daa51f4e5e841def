"""Who may be connected at once, and how often one address may try: bookkeeping without I/O.

A full crowd never refuses the newcomer. It dismisses the oldest member of its largest group, so whoever brings most
connections loses them first, and nobody shuts out the others by being many.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_REMEMBERED: Final = 4096


class Crowd(Generic[T]):
    """At most `total` members, at most `each` of one group."""

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._group_of: dict[T, str] = {}  # oldest first
        self._sizes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._group_of)

    def join(self, group: str, member: T) -> T | None:
        """Let it in. Returns the member that has to go for it, if one has."""
        leaver = self._leaver(group)
        if leaver is not None:
            self.leave(leaver)
        self._group_of[member] = group
        self._sizes[group] = self._sizes.get(group, 0) + 1
        return leaver

    def leave(self, member: T) -> None:
        """Forget a member; one that is not here is fine."""
        group = self._group_of.pop(member, None)
        if group is None:
            return
        self._sizes[group] -= 1
        if not self._sizes[group]:
            del self._sizes[group]

    def _leaver(self, group: str) -> T | None:
        if self._sizes.get(group, 0) >= self._each:
            return next(m for m, g in self._group_of.items() if g == group)
        if len(self._group_of) < self._total:
            return None
        largest = max(self._sizes.values())
        return next(m for m, g in self._group_of.items() if self._sizes[g] == largest)


class Allowance:
    """How often each address may do something: `burst` times at once, `rate` times a second for long."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, address: str, now: float) -> bool:
        """Use one up; False when none is left. `now` in seconds of any clock that only moves forward."""
        left = self._now(address, now)
        if left < 1:
            return False
        if len(self._left) >= _REMEMBERED:
            self._forget(now)
        self._left[address] = (left - 1, now)
        return True

    def give_back(self, address: str, now: float) -> None:
        """That one did not count after all."""
        if address in self._left:
            self._left[address] = (min(self._burst, self._now(address, now) + 1), now)

    def _now(self, address: str, now: float) -> float:
        left, at = self._left.get(address, (float(self._burst), now))
        return min(float(self._burst), left + (now - at) * self._rate)

    def _forget(self, now: float) -> None:
        """Drop those with a full allowance again, and when that is not enough those that were seen first."""
        self._left = {a: v for a, v in self._left.items() if self._now(a, now) < self._burst}
        while len(self._left) >= _REMEMBERED:
            del self._left[next(iter(self._left))]


def group_of(address: str) -> str:
    """What counts as one peer: an IPv4 address, or the /64 of an IPv6 address, which one machine has whole."""
    if ":" not in address:
        return address
    parsed = IPv6Address(address.partition("%")[0])
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
