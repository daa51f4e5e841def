from __future__ import annotations

import copy
import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cnmysql.kube.shared import LONGEST, Sharing
from cnmysql.kube.wire import Json, decode, encode

LEAVES = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, "a", "b", "x" * (LONGEST + 1)])
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("abc"), v))
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES)


def exactly(value: Any) -> bytes:
    return encode(value)  # tells True from 1 and 1.0, which == does not, and keeps the order of keys


@given(st.lists(OBJECTS, max_size=20), st.integers(0, 30))
def test_objects_are_what_they_were(objects: list[Json], limit: int) -> None:
    sharing = Sharing(limit)
    before = [exactly(o) for o in objects]
    shared = [sharing.share(copy.deepcopy(o)) for o in objects]
    assert [exactly(o) for o in shared] == before


def test_equal_parts_are_one_and_objects_are_their_own() -> None:
    sharing = Sharing()
    one, two = (sharing.share({"metadata": {"name": n, "labels": {"a": "b"}}}) for n in "xy")
    assert one["metadata"]["labels"] is two["metadata"]["labels"]
    assert one["metadata"] is not two["metadata"]
    assert sharing.share({"a": {}}) is not sharing.share({"a": {}})


def test_long_strings_and_what_holds_them_are_not_remembered() -> None:
    sharing = Sharing()
    sharing.share({"data": {"password": "s" * (LONGEST + 1)}, "list": ["l" * (LONGEST + 1)]})
    assert sharing._parts == {}


def test_alike_objects_take_a_fraction_of_the_memory() -> None:
    def pod(number: int) -> Json:
        mounts = [{"name": f"v{n}", "mountPath": f"/etc/v{n}", "readOnly": True} for n in range(20)]
        return decode(encode({"metadata": {"name": f"p{number}"}, "spec": {"containers": [{"mounts": mounts}]}}))

    def size(of: Any) -> int:
        tracemalloc.start()
        kept = [of(pod(n)) for n in range(300)]
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept) == 300
        return used

    assert size(Sharing().share) < size(lambda o: o) / 4
