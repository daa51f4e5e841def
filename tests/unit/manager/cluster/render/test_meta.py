"""When an object has to be written again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.cluster.render.meta import Owner, differs, labels_for, metadata, stamp

OWNER = Owner("db", "shop", "u1", {"team": "a"}, {"note": "b"})
BODY: dict[str, Any] = {
    "kind": "Service",
    "metadata": metadata(OWNER, "db-rw"),
    "spec": {"ports": [{"port": 3306}], "selector": {"a": "b"}, "publish": False, "rules": [{"x": 1}]},
}


def live(**spec: Any) -> dict[str, Any]:
    body = copy.deepcopy(stamp(BODY))
    body["spec"].update(spec)
    return body


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, False),
        ({"clusterIP": "10.0.0.1"}, False),
        ({"ports": [{"port": 3306, "protocol": "TCP"}]}, False),
        ({"ports": [{"port": 3306}, {"port": 1}]}, False),
        ({"ports": [{"port": 1}]}, True),
        ({"rules": [{"x": 1}, {"x": 2}]}, True),
        ({"selector": {"a": "c"}}, True),
        ({"selector": {"a": "b", "theirs": "x"}}, False),
        ({"publish": None}, False),
        ({"publish": True}, True),
    ],
)
def test_differs(spec: dict[str, Any], expected: bool) -> None:
    assert differs(live(**spec), stamp(BODY)) == expected


def test_what_is_missing_differs_and_what_was_asked_for_before_too() -> None:
    assert differs(None, stamp(BODY))
    before = stamp({**BODY, "spec": {**BODY["spec"], "more": 1}})
    assert differs(before, stamp(BODY))


def test_a_second_owner_is_none_of_our_business() -> None:
    body = live()
    body["metadata"]["ownerReferences"].append({"uid": "theirs"})
    assert not differs(body, stamp(BODY))
    body["metadata"]["ownerReferences"].pop(0)
    assert differs(body, stamp(BODY))


JSON = st.recursive(
    st.integers(1) | st.text(min_size=1) | st.just(True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
)


@given(st.dictionaries(st.text(min_size=1), JSON, max_size=4))
def test_what_was_applied_never_differs(spec: dict[str, Any]) -> None:
    body = stamp({"metadata": metadata(OWNER, "x"), "spec": spec})
    assert not differs(copy.deepcopy(body), body)


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    turned = {**BODY, "spec": dict(reversed(BODY["spec"].items()))}
    assert stamp(BODY)["metadata"] == stamp(turned)["metadata"]


def test_labels_of_ours_win_over_inherited_ones() -> None:
    owner = Owner(
        "db", "shop", "u1", {"app.kubernetes.io/name": "x", "mysql.cloudnative-mysql.io/role": "primary", "a": "b"}
    )
    found = labels_for(owner, instance="db-1")
    assert found["app.kubernetes.io/name"] == "cnmysql"
    assert "mysql.cloudnative-mysql.io/role" not in found
    assert found["a"] == "b"
