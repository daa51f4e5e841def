"""Services, certificates, ConfigMaps, permissions, passwords, volumes and the Lease."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cnmysql import names
from cnmysql.api.cluster import StorageConfiguration
from manager.cluster.render import certificates, configmaps, lease, rbac, secrets, services, volumes
from manager.cluster.render.meta import Owner

OWNER = Owner("db", "shop", "u1")
PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def test_the_headless_service_reaches_an_instance_before_it_is_ready() -> None:
    body = services.headless(OWNER, "db-1", "primary")
    assert body["spec"]["clusterIP"] == "None"
    assert body["spec"]["publishNotReadyAddresses"] is True
    assert body["spec"]["selector"] == {names.LABEL_CLUSTER: "db", names.LABEL_INSTANCE: "db-1"}
    assert [p["port"] for p in body["spec"]["ports"]] == [3306, 8080]


def test_routing_services_reach_ready_and_routable_instances_only() -> None:
    found = {body["metadata"]["name"]: body["spec"] for body in services.routing(OWNER)}
    assert set(found) == {"db-rw", "db-ro", "db-r"}
    assert all(spec["publishNotReadyAddresses"] is False for spec in found.values())
    assert all(spec["selector"][names.LABEL_ROUTABLE] == "true" for spec in found.values())
    roles = {name: spec["selector"].get(names.LABEL_ROLE) for name, spec in found.items()}
    assert roles == {"db-rw": "primary", "db-ro": "replica", "db-r": None}


def test_the_authority_keeps_its_key_for_ten_years_and_leaves_do_not() -> None:
    spec = certificates.authority(OWNER)["spec"]
    assert (spec["isCA"], spec["duration"], spec["privateKey"]["rotationPolicy"]) == (True, "87600h0m0s", "Never")
    leaves = (
        certificates.client(OWNER, "db-ca"),
        certificates.server(OWNER, "db-ca", "db-1", ()),
        certificates.peer(OWNER, "db-ca", "db-1"),
    )
    for body in leaves:
        spec = body["spec"]
        assert (spec["duration"], spec["renewBefore"]) == ("2160h0m0s", "720h0m0s")
        assert spec["privateKey"]["rotationPolicy"] == "Always"
        assert spec["issuerRef"] == {"name": "db-ca", "kind": "Issuer", "group": "cert-manager.io"}


def test_each_identity_has_its_own_certificate_and_usage() -> None:
    client, replication = certificates.client(OWNER, "ca")["spec"], certificates.replication(OWNER, "ca")["spec"]
    peer = certificates.peer(OWNER, "ca", "db-1")["spec"]
    server = certificates.server(OWNER, "ca", "db-1", ("x", "db-1"))["spec"]
    assert (client["commonName"], client.get("subject")) == ("cnmysql-operator", None)
    assert (replication["commonName"], replication["subject"]) == ("db-replication", {"organizations": ["shop"]})
    assert (peer["subject"], peer["dnsNames"], peer.get("commonName")) == (
        {"organizations": ["cnmysql-peer"]},
        ["db-1.shop.svc"],
        None,
    )
    assert {"db-1.shop.svc", "db-rw", "x"} <= set(server["dnsNames"])
    assert len(server["dnsNames"]) == len(set(server["dnsNames"]))
    assert all("client auth" in c["usages"] and "server auth" not in c["usages"] for c in (client, replication, peer))
    assert server["usages"] == ["digital signature", "server auth"]
    assert len({c["secretName"] for c in (client, replication, peer, server)}) == 4


def test_common_names_stay_within_their_limit() -> None:
    long = Owner("a" * 50, "n" * 63, "u")
    for body in (certificates.authority(long), certificates.replication(long, "ca")):
        assert len(body["spec"]["commonName"]) <= 64


def test_the_secret_of_a_certificate_is_ours_from_the_start() -> None:
    body = certificates.empty_secret(OWNER, "db-1-server-tls", "db-1")
    assert body["type"] == "kubernetes.io/tls"
    assert body["data"] == {"tls.crt": "", "tls.key": ""}
    assert body["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert body["metadata"]["labels"][names.LABEL_INSTANCE] == "db-1"


def test_trust_keeps_both_sides_apart_and_says_how_replication_is_bound() -> None:
    one, two = PEM.format("one").strip(), PEM.format("two").strip()
    data = configmaps.trust(OWNER, (one,), (two, one), None)["data"]
    assert data == {"server-ca.crt": f"{one}\n", "client-ca.crt": f"{two}\n{one}\n"}
    bound = configmaps.trust(OWNER, (one,), (two,), {"subject": "/CN=a", "issuer": "/CN=b"})["data"]
    assert json.loads(bound["replication.json"]) == {"subject": "/CN=a", "issuer": "/CN=b"}


def test_statements_are_given_as_json() -> None:
    files = configmaps.Files("[mysqld]\n", "[mysqld]\n")
    body = configmaps.config(OWNER, "db-1", files, ("SELECT 'a\nb'",), "replica")
    assert json.loads(body["data"]["post-init.json"]) == ["SELECT 'a\nb'"]
    assert set(configmaps.config(OWNER, "db-1", files, (), "replica")["data"]) == {"my.cnf", "live.cnf"}


def test_an_instance_may_touch_its_own_cluster_and_lease_only() -> None:
    rules = rbac.role(OWNER)["rules"]
    assert all(rule["resourceNames"] in (["db"], ["db-primary"]) for rule in rules)
    writes = {(rule["resources"][0], verb) for rule in rules for verb in rule["verbs"]} - {
        (resource, verb) for resource in ("clusters", "clusters/status", "leases") for verb in ("get", "list", "watch")
    }
    assert writes == {("clusters/status", "patch"), ("leases", "update")}
    assert not any(rule["resources"] == ["secrets"] for rule in rules)


def test_the_binding_names_the_accounts_of_these_instances() -> None:
    body = rbac.role_binding(OWNER, ["db-1", "db-2"])
    assert [(x["name"], x["namespace"]) for x in body["subjects"]] == [
        ("db-1-instance", "shop"),
        ("db-2-instance", "shop"),
    ]


def test_metadata_of_accounts_comes_from_the_template_under_our_own() -> None:
    body = rbac.service_account(OWNER, "db-1", {"a": "b", names.LABEL_CLUSTER: "other"}, {"iam": "role"})
    assert body["metadata"]["labels"]["a"] == "b"
    assert body["metadata"]["labels"][names.LABEL_CLUSTER] == "db"
    assert body["metadata"]["annotations"] == {"iam": "role"}


def test_no_password_is_rendered() -> None:
    for body in secrets.accounts(OWNER, "app", root=True):
        assert set(body["stringData"]) == {"username"}
        assert "data" not in body


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ({"size": "1Gi"}, {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
        (
            {"size": "1Gi", "storageClass": ""},
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""},
        ),
        (
            {
                "size": "2Gi",
                "storageClass": "fast",
                "pvcTemplate": {
                    "accessModes": ["ReadWriteOncePod"],
                    "storageClassName": "slow",
                    "resources": {"requests": {"storage": "1Gi"}, "limits": {"storage": "9Gi"}},
                },
            },
            {
                "accessModes": ["ReadWriteOncePod"],
                "storageClassName": "fast",
                "resources": {"requests": {"storage": "2Gi"}, "limits": {"storage": "9Gi"}},
            },
        ),
        (
            {"pvcTemplate": {"resources": {"requests": {"storage": "1Gi"}}}},
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        ),
    ],
)
def test_volume_claims(storage: dict[str, Any], expected: dict[str, Any]) -> None:
    given = StorageConfiguration.model_validate(storage)
    before = given.model_dump()
    assert volumes.claim(OWNER, "db-1", given, "replica")["spec"] == expected
    assert given.model_dump() == before


def test_a_volume_ends_with_its_cluster_only_when_asked() -> None:
    keep = StorageConfiguration.model_validate({"size": "1Gi"})
    drop = StorageConfiguration.model_validate({"size": "1Gi", "whenDeleted": "Delete"})
    assert "ownerReferences" not in volumes.claim(OWNER, "db-1", keep, "replica")["metadata"]
    assert volumes.claim(OWNER, "db-1", drop, "replica")["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert volumes.claim(OWNER, "db-1", keep, "replica")["metadata"]["annotations"][names.ANN_CLUSTER_UID] == "u1"


def test_the_lease() -> None:
    assert lease.lease(OWNER, "db-1/x")["spec"] == {"holderIdentity": "db-1/x", "leaseDurationSeconds": 10}
    patch = lease.cleared("7", "why")
    assert patch["metadata"]["resourceVersion"] == "7"
    assert patch["spec"] == {"holderIdentity": ""}
