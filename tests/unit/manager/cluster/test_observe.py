"""What goes into a snapshot, and what is never kept."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cnmysql import names
from manager.cluster.facts import owned
from manager.cluster.observe import Departures, Observer, by_cluster, of_former, read_spec, shorten_secret
from manager.cluster.snapshot import Malformed, record
from tests.unit.manager.virtual import LoopClock, virtual


def secret(kind: str, **data: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "s"},
        "type": kind,
        "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()},
    }


def test_no_password_and_no_private_key_is_kept() -> None:
    kept = shorten_secret(secret("Opaque", username="root", password="hunter2"))
    assert "hunter2" not in json.dumps(kept)
    assert base64.b64encode(b"hunter2").decode() not in json.dumps(kept)
    kept = shorten_secret(secret("kubernetes.io/tls", **{"tls.crt": "CERT", "tls.key": "KEY", "ca.crt": "CA"}))
    assert (kept["data"]["tls.crt"], kept["data"]["ca.crt"]) == ("CERT", "CA")
    assert "KEY" not in json.dumps(kept)


def test_a_change_of_what_is_not_kept_still_shows() -> None:
    one, two = (shorten_secret(secret("Opaque", password=p))["data"] for p in ("a", "b"))
    assert one != two


def test_empty_values_stay_empty() -> None:
    assert shorten_secret({"metadata": {}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": None}})[
        "data"
    ] == {
        "tls.crt": "",
        "tls.key": "",
    }
    assert shorten_secret({"metadata": {}, "type": "Opaque"})["data"] == {}


def test_objects_are_found_by_namespace_and_label() -> None:
    assert by_cluster({"metadata": {"namespace": "shop", "labels": {names.LABEL_CLUSTER: "db"}}}) == ["shop/db"]
    assert by_cluster({"metadata": {"namespace": "shop"}}) == []


@pytest.mark.parametrize(
    ("owners", "former", "ours"),
    [
        ([], False, False),
        ([{"kind": "Cluster", "uid": "mine"}], False, True),
        ([{"kind": "Cluster", "uid": "other"}], True, False),
        ([{"kind": "Cluster", "uid": "other"}, {"kind": "Cluster", "uid": "mine"}], False, True),
        ([{"kind": "Certificate", "uid": "other"}], False, False),
    ],
)
def test_leftovers_and_strangers_are_known_by_their_owner(
    owners: list[dict[str, str]], former: bool, ours: bool
) -> None:
    found = {"metadata": {"name": "db-ca", "ownerReferences": owners}}
    assert (of_former(found, "mine"), owned(found, "mine")) == (former, ours)


REFILLED = {"cert-manager.io/certificate-name": "db-ca", names.ANN_CLUSTER_UID: "other"}


@pytest.mark.parametrize(
    ("annotations", "owners", "former"),
    [
        (REFILLED, [], True),
        (REFILLED | {names.ANN_CLUSTER_UID: "mine"}, [], False),
        (REFILLED, [{"kind": "Cluster", "uid": "mine"}], False),
        (REFILLED, [{"kind": "Deployment", "uid": "theirs"}], False),
        # A kept volume has no owner either, and is nobody's to delete.
        ({names.ANN_CLUSTER_UID: "other"}, [], False),
        # A user's own Certificate.
        ({"cert-manager.io/certificate-name": "db-ca"}, [], False),
    ],
)
def test_a_secret_cert_manager_made_for_a_former_cluster_is_left_over(
    annotations: dict[str, str], owners: list[dict[str, str]], former: bool
) -> None:
    meta = {"name": "db-ca", "labels": names.labels("db"), "annotations": annotations, "ownerReferences": owners}
    assert of_former({"metadata": meta}, "mine") is former


@pytest.mark.parametrize(
    ("certificate", "secret", "instance", "former"),
    [
        ("db-client", "db-client-tls", "", True),
        ("db-2-server", "db-2-server-tls", "db-2", True),
        ("db-2-peer", "db-2-peer-tls", "db-2", True),
        ("db-ca", "db-ca-copy", "", False),
        ("db-client", "db-ca", "", False),
        ("db-2-server", "my-copy", "db-2", False),
        ("other-1-server", "other-1-server-tls", "other-1", False),
    ],
)
def test_a_copy_of_such_a_secret_under_another_name_is_nobodys(
    certificate: str, secret: str, instance: str, *, former: bool
) -> None:
    notes = REFILLED | {"cert-manager.io/certificate-name": certificate}
    labels = names.labels("db") | ({names.LABEL_INSTANCE: instance} if instance else {})
    assert of_former({"metadata": {"name": secret, "labels": labels, "annotations": notes}}, "mine") is former


class Store:
    def __init__(self, *found: dict[str, Any]) -> None:
        self.found = found

    def by_index(self, _: str, key: str) -> list[dict[str, Any]]:
        assert key == "shop/db"
        return list(self.found)


@pytest.mark.parametrize(("certificates", "left"), [((), 1), (({"metadata": {"name": "db-ca"}},), 0)])
def test_what_remains_of_a_cluster_is_known_when_its_certificates_are_gone(
    certificates: tuple[dict[str, Any], ...], left: int
) -> None:
    refilled = {"metadata": {"name": "db-ca", "labels": names.labels("db"), "annotations": REFILLED}}
    copied = {"metadata": {**refilled["metadata"], "name": "my-copy"}}
    secrets = Store(refilled, copied, {"metadata": {"name": "db-app", "annotations": {}}})
    informers: Any = {"certificates": Store(*certificates), "secrets": secrets}
    nothing: Any = None
    observer = Observer(
        clock=nothing, clusters=nothing, informers=informers, reports=nothing, references=nothing, departed=nothing,
        leader_fresh=bool, operator_image="", operator_namespace="", tree_digest="",
    )  # fmt: skip
    assert observer.remains("shop/db") == [refilled][:left]


def test_a_spec_that_cannot_be_read_names_its_fields() -> None:
    found = read_spec({"spec": {"instances": "three", "storage": {"size": "1Gi"}}})
    assert isinstance(found, Malformed)
    assert found.message.startswith("spec.instances: ")
    assert isinstance(read_spec({}), Malformed)


@pytest.mark.parametrize("status", [{}, {"roleChange": None, "primaryUUIDs": None, "epoch": None}])
def test_an_empty_record(status: dict[str, Any]) -> None:
    found = record(status)
    assert (found.epoch, found.change, found.has_history) == (0, None, False)


def test_a_full_record() -> None:
    change = {"epoch": 3, "kind": "reopen", "from": "db-1", "to": "db-2", "stage": "ordered"}
    found = record({"epoch": 3, "roleChange": change, "primaryUUIDs": ["u"], "currentPrimary": "db-1"})
    assert found.change is not None
    assert (found.change.epoch, found.change.source, found.change.to) == (3, "db-1", "db-2")
    assert found.has_history


@virtual
async def test_departed_pods_are_remembered_for_ten_minutes() -> None:
    clock = LoopClock()
    departures = Departures(clock)

    def pod(uid: str) -> dict[str, Any]:
        return {"metadata": {"uid": uid, "namespace": "shop", "labels": {names.LABEL_CLUSTER: "db"}}}

    departures.add(pod("one"))
    await clock.sleep(599)
    departures.add(pod("two"))
    assert set(departures.of("shop/db")) == {"one", "two"}
    assert departures.of("shop/other") == {}
    await clock.sleep(2)
    departures.add(pod("three"))
    assert set(departures.of("shop/db")) == {"two", "three"}
