"""GTID sets as values: what a server has executed, received or purged, and the algebra over it.

Text form ("GTID Format and Storage" in the manual): `uuid:interval(:interval|:tag:interval)*`, joined by commas,
white space anywhere. A tag (8.3 and later) holds for the intervals after it, up to the next tag. The canonical form
written here has no white space, UUIDs in lower case and sorted, intervals merged and ascending, untagged ones first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Interval = tuple[int, int]
"""First and last transaction number, both included."""
Key = tuple[str, str]
"""Server UUID and tag; the tag is empty for ordinary GTIDs."""

MAX_GNO = 2**63 - 2
_UUID = re.compile(r"^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$")
_TAG = re.compile(r"^[a-z_][a-z0-9_]{0,31}$")
_INTERVAL = re.compile(r"^([0-9]{1,19})(?:-([0-9]{1,19}))?$")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class GtidSet:
    """An immutable set of GTIDs. Build it with `parse` or by the operations; an empty one is `GtidSet()`."""

    _sets: Mapping[Key, tuple[Interval, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """The set a text names. Raises ValueError with the offending part when it is not a GTID set."""
        found: dict[Key, list[Interval]] = {}
        for part in _SPACE.sub("", text).lower().split(","):
            if part:
                _parse_part(part, found)
        return cls({key: _merge(intervals) for key, intervals in found.items()})

    def __str__(self) -> str:
        parts: list[str] = []
        previous = None
        for uuid, tag in sorted(self._sets):
            text = ":".join(f"{a}" if a == b else f"{a}-{b}" for a, b in self._sets[uuid, tag])
            label = f"{tag}:{text}" if tag else text
            if uuid == previous:
                parts[-1] += f":{label}"
            else:
                parts.append(f"{uuid}:{label}")
            previous = uuid
        return ",".join(parts)

    def __hash__(self) -> int:
        return hash(frozenset(self._sets.items()))

    def __bool__(self) -> bool:
        return bool(self._sets)

    def __iter__(self) -> Iterator[tuple[Key, tuple[Interval, ...]]]:
        return iter(sorted(self._sets.items()))

    @property
    def is_empty(self) -> bool:
        return not self._sets

    @property
    def uuids(self) -> frozenset[str]:
        """UUIDs of the servers the transactions come from."""
        return frozenset(uuid for uuid, _ in self._sets)

    @property
    def count(self) -> int:
        """Number of transactions."""
        return sum(b - a + 1 for intervals in self._sets.values() for a, b in intervals)

    def union(self, *others: GtidSet) -> GtidSet:
        merged: dict[Key, list[Interval]] = {}
        for one in (self, *others):
            for key, intervals in one._sets.items():
                merged.setdefault(key, []).extend(intervals)
        return GtidSet({key: _merge(intervals) for key, intervals in merged.items()})

    def subtract(self, other: GtidSet) -> GtidSet:
        """What this set has and the other lacks (GTID_SUBTRACT)."""
        rest = {key: _minus(intervals, other._sets.get(key, ())) for key, intervals in self._sets.items()}
        return GtidSet({key: intervals for key, intervals in rest.items() if intervals})

    def intersection(self, other: GtidSet) -> GtidSet:
        return self.subtract(self.subtract(other))

    def contains(self, other: GtidSet) -> bool:
        """True when every transaction of the other set is in this one (GTID_SUBSET(other, self))."""
        return other.subtract(self).is_empty

    def only(self, uuids: Collection[str]) -> GtidSet:
        """The transactions of these servers. UUIDs are compared in lower case."""
        wanted = {uuid.lower() for uuid in uuids}
        return GtidSet({key: intervals for key, intervals in self._sets.items() if key[0] in wanted})

    def without(self, uuids: Collection[str]) -> GtidSet:
        """The transactions of all other servers. UUIDs are compared in lower case."""
        unwanted = {uuid.lower() for uuid in uuids}
        return GtidSet({key: intervals for key, intervals in self._sets.items() if key[0] not in unwanted})

    __or__ = union
    __sub__ = subtract
    __and__ = intersection
    __ge__ = contains

    def __le__(self, other: GtidSet) -> bool:
        return other.contains(self)


def _parse_part(part: str, found: dict[Key, list[Interval]]) -> None:
    uuid, *tokens = part.split(":")
    if not _UUID.match(uuid):
        raise ValueError(f"{uuid!r} is not a server UUID")
    digits = uuid.replace("-", "")
    uuid = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    tag = ""
    pending = True  # a UUID or a tag must be followed by at least one interval
    for token in tokens:
        match = _INTERVAL.match(token)
        if match:
            first, last = int(match[1]), int(match[2] or match[1])
            if not 1 <= first <= last <= MAX_GNO:
                raise ValueError(f"{token!r} is not an interval of transaction numbers")
            found.setdefault((uuid, tag), []).append((first, last))
            pending = False
        elif _TAG.match(token) and not (pending and tag):
            tag, pending = token, True
        else:
            raise ValueError(f"{token!r} is neither an interval nor a tag")
    if pending:
        raise ValueError(f"{part!r} names no transaction number")


def _merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Ascending, disjoint and not adjacent."""
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _minus(left: tuple[Interval, ...], right: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """Both are merged; one walk over each."""
    rest: list[Interval] = []
    index = 0
    for first, last in left:
        start = first
        while index < len(right) and right[index][1] < start:
            index += 1
        at = index
        while at < len(right) and right[at][0] <= last:
            if right[at][0] > start:
                rest.append((start, right[at][0] - 1))
            start = right[at][1] + 1
            at += 1
        if start <= last:
            rest.append((start, last))
    return tuple(rest)
