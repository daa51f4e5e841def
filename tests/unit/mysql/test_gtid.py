"""The GTID algebra against sets of single transactions."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given

from cnmysql.mysql.gtid import MAX_GNO, GtidSet
from tests.support.cost import cpu_seconds
from tests.unit.mysql.gtids import UUIDS, texts

A, B, C = UUIDS


def members(gtids: GtidSet) -> set[tuple[str, str, int]]:
    return {(u, t, n) for (u, t), intervals in gtids for a, b in intervals for n in range(a, b + 1)}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        (" ,\n", ""),
        (f"{A}:1-5", f"{A}:1-5"),
        (f"{A.upper()}:7:1-3:4", f"{A}:1-4:7"),
        (f"{B}:1,\n{A}:2-2", f"{A}:2,{B}:1"),
        (f"{A}:1-5:tagone:1-2:4", f"{A}:1-5:tagone:1-2:4"),
        (f"{A}:TagOne:1,{A}:3", f"{A}:3:tagone:1"),
        (f"{A} : 1 - 5", f"{A}:1-5"),
        (f"{A.replace('-', '')}:1", f"{A}:1"),
        (f"{A}:1-{MAX_GNO}", f"{A}:1-{MAX_GNO}"),
    ],
)
def test_parse_and_print(text: str, canonical: str) -> None:
    assert str(GtidSet.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        A,
        f"{A}:",
        f"{A}:0",
        f"{A}:5-3",
        f"{A}:1-{MAX_GNO + 1}",
        f"{A}:tag",
        f"{A}:tag:other:1",
        f"{A}:1:tag",
        f"{A}:1-2-3",
        f"{A}:-1",
        f"{A}:9tag:1",
        f"{A}:{'t' * 33}:1",
        "not-a-uuid:1",
        f"{A[:-1]}:1",
        f"{A}:١",
    ],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"is n|names no"):
        GtidSet.parse(text)


@given(texts())
def test_printing_is_canonical(text: str) -> None:
    parsed = GtidSet.parse(text)
    again = GtidSet.parse(str(parsed))
    assert again == parsed
    assert hash(again) == hash(parsed)
    assert str(again) == str(parsed)


@given(texts(), texts())
def test_algebra_is_that_of_sets(left: str, right: str) -> None:
    a, b = GtidSet.parse(left), GtidSet.parse(right)
    x, y = members(a), members(b)
    assert members(a | b) == x | y
    assert members(a - b) == x - y
    assert members(a & b) == x & y
    assert a.contains(b) is (x >= y)
    assert (a >= b) is (x >= y)
    assert (a <= b) is (x <= y)
    assert (a == b) is (x == y)
    assert a.count == len(x)
    assert a.is_empty is (not x) is (not a)


@given(texts())
def test_filters_by_server(text: str) -> None:
    gtids = GtidSet.parse(text)
    mine, others = gtids.only({A.upper()}), gtids.without({A.upper()})
    assert mine.uuids <= {A}
    assert A not in others.uuids
    assert mine | others == gtids
    assert (mine & others).is_empty


def test_union_of_many() -> None:
    one = [GtidSet.parse(f"{A}:{n}") for n in range(1, 6)]
    assert str(one[0].union(*one[1:])) == f"{A}:1-5"


EVEN = A + "".join(f":{n}" for n in range(2, 22_000, 2))
ODD = A + "".join(f":{n}" for n in range(1, 22_000, 2))
TAGS = A + "".join(f":t{n:x}:{n}" for n in range(1, 6_000))
WIDE = f"{A}:1-{MAX_GNO}"


@pytest.mark.parametrize("left", [EVEN, TAGS, WIDE, A + ":1" * 30_000, "," * 64_000, f"{A}:1," * 1_600])
@pytest.mark.parametrize("right", [ODD, TAGS, WIDE])
def test_sets_as_large_as_an_instance_may_send_cost_little(left: str, right: str) -> None:
    """Measured at 0.07 s; what grows with the square of the intervals would take seconds."""

    def work() -> None:
        one, other = GtidSet.parse(left), GtidSet.parse(right)
        one.contains(other)
        str(one.union(other).subtract(one.intersection(other)))

    assert cpu_seconds(work) < 1.4


@pytest.mark.parametrize(
    "text", ["a" * 64_000, "0" * 64_000, f"{A}:" + "1" * 64_000, f"{A}:" + "a" * 64_000, " " * 64_000]
)
def test_what_is_no_set_is_refused_at_once(text: str) -> None:
    def work() -> None:
        with contextlib.suppress(ValueError):
            GtidSet.parse(text)

    assert cpu_seconds(work) < 0.05
