"""Who is dismissed for whom, and how often an address may try."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cnmysql.crowd import Allowance, Crowd, group_of


def test_a_group_over_its_share_loses_its_oldest() -> None:
    crowd = Crowd[int](total=10, each=2)
    assert [crowd.join("a", n) for n in range(4)] == [None, None, 0, 1]
    assert crowd.join("b", 9) is None
    assert len(crowd) == 3


def test_a_full_crowd_makes_room_at_the_cost_of_its_largest_group() -> None:
    crowd = Crowd[str](total=4, each=3)
    for member in ("a1", "b1", "a2", "a3"):
        crowd.join(member[0], member)
    assert crowd.join("c", "c1") == "a1"
    assert crowd.join("d", "d1") == "a2"
    crowd.leave("a3")
    crowd.leave("unknown")
    assert crowd.join("e", "e1") is None
    assert crowd.join("f", "f1") == "b1"


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans())))
def test_it_is_never_larger_than_allowed_and_never_refuses(steps: list[tuple[str, bool]]) -> None:
    crowd, inside = Crowd[int](total=5, each=2), dict[int, str]()
    for number, (group, leaves) in enumerate(steps):
        if leaves and inside:
            gone = next(iter(inside))
            crowd.leave(gone)
            del inside[gone]
            continue
        leaver = crowd.join(group, number)
        inside[number] = group
        if leaver is not None:
            assert leaver != number
            del inside[leaver]
        assert len(crowd) == len(inside) <= 5
        assert all(list(inside.values()).count(g) <= 2 for g in inside.values())


def test_an_allowance_refills_with_time_and_what_is_given_back_counts_for_nothing() -> None:
    tries = Allowance(rate=2, burst=3)
    assert [tries.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert tries.take("b", 0.0)
    assert [tries.take("a", 1.0) for _ in range(3)] == [True, True, False]
    tries.give_back("a", 1.0)
    assert [tries.take("a", 1.0) for _ in range(2)] == [True, False]
    assert [tries.take("a", 99.0) for _ in range(4)] == [True, True, True, False]
    tries.give_back("never seen", 0.0)


def test_an_allowance_remembers_a_bounded_number_of_addresses() -> None:
    tries = Allowance(rate=0, burst=1)
    for number in range(10_000):
        assert tries.take(str(number), 0.0)
    assert len(tries._left) <= 4096
    assert not tries.take("9999", 0.0)


def test_what_counts_as_one_address() -> None:
    assert group_of("10.1.2.3") == group_of("::ffff:10.1.2.3") == "10.1.2.3"
    assert group_of("2001:db8::1") == group_of("2001:db8::ffff:2%eth0")
    assert group_of("2001:db8::1") != group_of("2001:db8:0:1::1")
