from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cnmysql.kube.store import Store
from cnmysql.kube.wire import Json


def obj(*values: str) -> Json:
    return {"values": list(values)}


CHANGES = st.tuples(st.sampled_from("abc"), st.none() | st.lists(st.sampled_from("xyz")))


@given(st.lists(CHANGES))
def test_indexes_say_what_the_objects_say(changes: list[tuple[str, list[str] | None]]) -> None:
    store = Store({"value": lambda o: o["values"]})
    truth: dict[str, Json] = {}
    for key, values in changes:
        if values is None:
            assert store.remove(key) == truth.pop(key, None)
        else:
            assert store.put(key, obj(*values)) == truth.get(key)
            truth[key] = obj(*values)
    for value in "xyz":
        assert store.by_index("value", value) == [truth[k] for k in sorted(truth) if value in truth[k]["values"]]
    assert sorted(map(str, store.list())) == sorted(map(str, truth.values()))
    assert len(store) == len(truth)


def test_missing_from_names_what_a_list_did_not_show() -> None:
    store = Store({})
    store.put("a", obj())
    store.put("b", obj())
    assert store.missing_from({"b", "c"}) == ["a"]
