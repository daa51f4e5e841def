"""Reading stored Clusters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmysql import names
from cnmysql.api.base import Model
from cnmysql.api.cluster import Cluster, ClusterSpec, parse, parse_spec
from cnmysql.api.crdgen import cluster_schema
from cnmysql.errors import Invalid

SMALLEST: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "b", "uid": "c"},
    "spec": {"storage": {"size": "1Gi"}},
}

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=6,
)


def test_the_smallest_cluster() -> None:
    cluster = parse(SMALLEST)
    assert (cluster.name, cluster.namespace, cluster.uid) == ("a", "b", "c")
    spec = cluster.spec
    assert (spec.instances, spec.image_name, spec.storage.when_deleted) == (1, names.DEFAULT_MYSQL_IMAGE, "Retain")
    assert (spec.bootstrap.initdb.database, spec.bootstrap.initdb.owner) == ("app", "app")
    assert spec.affinity.enable_pod_anti_affinity
    assert cluster.status.current_primary == ""


@pytest.mark.parametrize(
    ("bootstrap", "database", "owner"),
    [
        (None, "app", "app"),
        ({}, "app", "app"),
        ({"initdb": None}, "app", "app"),
        ({"initdb": {}}, "", ""),
        ({"initdb": {"database": "shop"}}, "shop", "app"),
        ({"initdb": {"database": "shop", "owner": ""}}, "shop", "app"),
        ({"initdb": {"database": "shop", "owner": "clerk"}}, "shop", "clerk"),
        ({"initdb": {"postInitSQL": ["SELECT 1"]}}, "", ""),
    ],
)
def test_application_database_and_owner(bootstrap: Any, database: str, owner: str) -> None:
    initdb = parse_spec({"spec": {"storage": {"size": "1Gi"}, "bootstrap": bootstrap}}).bootstrap.initdb
    assert (initdb.database, initdb.owner) == (database, owner)


@pytest.mark.parametrize(
    ("smart", "stop", "graceful"), [(180, 1800, 180), (0, 1800, 0), (1800, 1800, 900), (50, 11, 5), (10, 11, 10)]
)
def test_share_of_the_graceful_stop(smart: int, stop: int, graceful: int) -> None:
    spec = {"storage": {"size": "1Gi"}, "smartShutdownTimeout": smart, "maxStopDelay": stop}
    assert parse_spec({"spec": spec}).graceful_stop_seconds == graceful


def test_unknown_fields_and_nulls_do_not_matter() -> None:
    spec = {"storage": {"size": "1Gi", "later": 1}, "affinity": None, "later": {"x": 1}, "env": None}
    assert parse_spec({"spec": spec}) == parse_spec(SMALLEST)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec.storage"),
        ({"storage": {"size": 5}}, "spec.storage.size"),
        ({"storage": "x"}, "spec.storage"),
        ({"storage": {"size": "1Gi"}, "instances": "three"}, "spec.instances"),
        ({"storage": {"size": "1Gi"}, "logLevel": "loud"}, "spec.logLevel"),
        ({"storage": {"size": "1Gi"}, "mysql": {"parameters": {"a": 1}}}, "spec.mysql.parameters.a"),
        ({"storage": {"size": "1Gi"}, "imagePullSecrets": [{"name": "a"}, {}]}, "spec.imagePullSecrets.1.name"),
    ],
)
def test_a_malformed_spec_is_refused_with_the_field(spec: Any, said: str) -> None:
    for read in (parse, parse_spec):
        with pytest.raises(Invalid) as caught:
            read({"spec": spec})
        assert said + ":" in caught.value.message


def test_every_malformed_field_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        parse_spec({"spec": {"storage": {"size": 1}, "instances": "x", "logLevel": "x"}})
    for field in ("spec.storage.size", "spec.instances", "spec.logLevel"):
        assert field in caught.value.message


@given(_JSON)
def test_nothing_but_invalid_is_ever_raised(value: Any) -> None:
    for obj in ({"spec": value}, {"spec": {"storage": value, "env": value}}, {**SMALLEST, "status": value}):
        try:
            assert isinstance(parse(obj), Cluster)
        except Invalid as error:
            assert error.message


@given(st.sampled_from(sorted(cluster_schema()["properties"]["spec"]["properties"])), _JSON)
def test_any_value_in_any_field_is_read_or_refused(field: str, value: Any) -> None:
    try:
        assert isinstance(parse_spec({"spec": {**SMALLEST["spec"], field: value}}), ClusterSpec)
    except Invalid as error:
        assert f"spec.{field}" in error.message


def test_status_round_trip() -> None:
    change = {"epoch": 3, "kind": "reopen", "from": "a-1", "to": "a-1", "requiredGTIDs": "x:1-5", "stage": "ordered"}
    status = {
        "epoch": 3,
        "roleChange": change,
        "primaryUUIDs": ["u"],
        "currentPrimary": "a-1",
        "resizingPVC": ["a-2"],
        "certificates": {"serverCASecret": "a-ca", "serverAltDNSNames": ["x"]},
        "provisioning": {"a-2": {"stage": "clone", "bytesDone": 5, "bytesTotal": 9, "donor": "a-1"}},
    }
    read = parse({**SMALLEST, "status": status}).status
    assert read.role_change is not None
    assert (read.role_change.source, read.role_change.required_gtids) == ("a-1", "x:1-5")
    assert read.model_dump(by_alias=True, exclude_unset=True) == status


def _models(model: type[Model]) -> set[type[Model]]:
    return {model, *(sub for m in model.__subclasses__() for sub in _models(m))}


def test_every_field_says_what_it_means() -> None:
    for model in _models(Model) - {Model, Cluster}:
        assert model.__doc__, model
        for name, field in model.model_fields.items():
            assert field.description, (model, name)
            assert field.description.endswith("."), (model, name)
