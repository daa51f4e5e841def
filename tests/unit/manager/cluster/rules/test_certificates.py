"""What is asked of cert-manager, what is copied, what is refused, and what goes on all the same."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from cnmysql import names
from manager.actions import Action, Apply, CopyPair, CreateOnce, Delete, PatchOwned
from manager.cluster.outcome import Continue, Hold, Stop
from manager.cluster.rules import certificates
from manager.cluster.snapshot import CertManager, Known, Snapshot, UserSecret
from tests.sim.issuing import authority, brought, ca_only, leaf
from tests.support.merge_patch import merge_patch
from tests.unit.manager.snapshots import new, objects, ready, spec

SERVER_CA, CLIENT_CA = authority("servers"), authority("clients")
HOSTS = tuple(f"db-{i}.shop.svc" for i in (1, 2, 3))
SERVER = leaf(SERVER_CA, dns=HOSTS, server=True)
FIELDS = ("serverCASecret", "serverTLSSecret", "clientCASecret", "replicationTLSSecret", "operatorTLSSecret")


def secrets(client: bool) -> dict[str, UserSecret]:
    """Good material: client leaves of the client CA where one is named, else of the server CA."""
    ca = CLIENT_CA if client else SERVER_CA
    return {
        "my-serverCASecret": brought(SERVER_CA),
        "my-serverTLSSecret": brought(SERVER, ca=SERVER_CA),
        "my-clientCASecret": brought(CLIENT_CA),
        "my-replicationTLSSecret": brought(leaf(ca, "repl", "shop", server=False), ca=ca),
        "my-operatorTLSSecret": brought(leaf(ca, names.OPERATOR_CN, server=False), ca=ca),
    }


def with_secrets(s: Snapshot, fields: tuple[str, ...], **changed: UserSecret) -> Snapshot:
    have = secrets("clientCASecret" in fields)
    found = {f"my-{f}": changed.get(f, have[f"my-{f}"]) for f in fields}
    return replace(spec(s, certificates={f: f"my-{f}" for f in fields}), user_secrets=found)


def made(actions: tuple[Action, ...]) -> list[str]:
    return [
        f"{a.target.resource.kind} {a.target.name}"
        for a in actions
        if isinstance(a, Apply | CreateOnce) and not a.target.name.startswith("db-trust")
    ]


def copied(actions: tuple[Action, ...]) -> dict[str, str]:
    return {a.target.name: a.source for a in actions if isinstance(a, CopyPair)}


def test_a_new_cluster_gets_everything_at_once_and_waits_for_the_certificates() -> None:
    outcome = certificates.decide(replace(new(), cert_manager=CertManager.PRESENT))
    assert isinstance(outcome, Continue)
    assert outcome.notice is not None
    assert outcome.notice.reason == "waiting for the certificate in Secret db-ca"
    assert set(made(outcome.actions)) == {
        *(f"Secret db-{n}" for n in ("ca", "client-tls", "replication-tls")),
        *(f"Secret db-{i}-{n}-tls" for i in (1, 2, 3) for n in ("server", "peer")),
        "Issuer db-selfsigned",
        "Issuer db-ca",
        *(f"Certificate db-{n}" for n in ("ca", "client", "replication")),
        *(f"Certificate db-{i}-{n}" for i in (1, 2, 3) for n in ("server", "peer")),
    }


def test_every_certificate_comes_after_the_secret_it_fills() -> None:
    outcome = certificates.decide(new())
    order = made(outcome.actions)
    for action in outcome.actions:
        if isinstance(action, Apply) and action.target.resource.kind == "Certificate":
            secret = action.body["spec"]["secretName"]
            assert order.index(f"Secret {secret}") < order.index(f"Certificate {action.target.name}")


def test_at_rest_nothing_is_written() -> None:
    assert certificates.decide(ready()) == Continue()


def test_a_secret_cert_manager_made_anew_is_owned_again() -> None:
    """Somebody deleted it while no operator was there to make it first."""
    live = ready().objects.secrets["db-ca"]["metadata"]
    s = objects(ready(), "secrets", db_ca={"metadata": {"ownerReferences": None}})
    outcome = certificates.decide(s)
    assert isinstance(outcome, Continue)
    (action,) = outcome.actions
    assert isinstance(action, PatchOwned)
    assert (action.target.name, action.uid) == ("db-ca", live["uid"])
    changed = {"resourceVersion": live["resourceVersion"], "ownerReferences": live["ownerReferences"]}
    assert action.patch == {"metadata": changed}


@pytest.mark.parametrize("note", ["cert-manager.io/certificate-name", names.ANN_CLUSTER_UID])
def test_a_secret_that_may_be_somebodys_own_gets_no_owner(note: str) -> None:
    s = objects(ready(), "secrets", db_ca={"metadata": {"ownerReferences": None, "annotations": {note: None}}})
    assert certificates.decide(s) == Continue()


def test_a_copy_of_a_secret_cert_manager_made_anew_gets_no_owner() -> None:
    ours = ready().objects.secrets["db-ca"]
    copied = merge_patch(ours, {"metadata": {"name": "my-copy", "ownerReferences": None}})
    assert certificates.decide(objects(ready(), "secrets", my_copy=copied)) == Continue()


def deleted(actions: tuple[Action, ...]) -> set[str]:
    return {f"{a.target.resource.kind} {a.target.name}" for a in actions if isinstance(a, Delete)}


@pytest.mark.parametrize("ours", [True, False])
def test_a_ca_that_is_not_needed_any_more_goes_only_if_it_is_ours(*, ours: bool) -> None:
    change: dict[str, Any] = {} if ours else {"metadata": {"ownerReferences": None, "annotations": None}}
    s = all_brought(new(), 1, 2, 3)
    for field, name in (("secrets", "db-ca"), ("certificates", "db-ca"), ("issuers", "db-selfsigned")):
        s = objects(s, field, **{name: merge_patch(getattr(ready().objects, field)[name], change)})
    expected = {"Secret db-ca", "Certificate db-ca", "Issuer db-selfsigned"} if ours else set()
    assert deleted(certificates.decide(s).actions) == expected


@pytest.mark.parametrize("running", [False, True])
def test_a_certificate_of_somebody_else_is_in_the_way_of_a_copy(*, running: bool) -> None:
    """cert-manager would overwrite the copy; the Certificate is not ours to delete."""
    theirs = {"metadata": {"name": "db-client", "ownerReferences": None}}
    fields = ("serverCASecret", "operatorTLSSecret")
    s = with_secrets(ready() if running else new(), fields)
    outcome = certificates.decide(objects(s, "certificates", db_client=theirs))
    assert isinstance(outcome, Continue if running else Hold)
    assert outcome.notice is not None
    assert outcome.notice.reason.startswith("NameTaken: Certificate db-client does not belong to this Cluster")
    assert "db-client-tls" not in copied(outcome.actions)
    assert "Certificate db-client" not in deleted(outcome.actions)


def test_every_certificate_says_whose_its_secret_is() -> None:
    s = ready()
    for certificate in s.objects.certificates.values():
        meta, template = certificate["metadata"], certificate["spec"]["secretTemplate"]
        assert template["annotations"] == {names.ANN_CLUSTER_UID: s.uid}
        ours = (names.LABEL_CLUSTER, names.LABEL_INSTANCE)
        assert {k: v for k, v in template["labels"].items() if k in ours} == {
            k: v for k, v in meta["labels"].items() if k in ours
        }


COMBINATIONS = [c for n in range(6) for c in itertools.combinations(FIELDS, n)]


@pytest.mark.parametrize("fields", COMBINATIONS, ids=["+".join(c) or "none" for c in COMBINATIONS])
def test_every_combination_works_or_is_blocked_with_the_way_out(fields: tuple[str, ...]) -> None:
    """A leaf works when the CA that signed it is named; everything that is not brought is asked of cert-manager."""
    outcome = certificates.decide(with_secrets(new(), fields))
    clients = "clientCASecret" in fields or "serverCASecret" in fields
    orphans: list[str] = [f for f in ("replicationTLSSecret", "operatorTLSSecret") if f in fields and not clients]
    if "serverTLSSecret" in fields and "serverCASecret" not in fields:
        orphans.insert(0, "serverTLSSecret")
    if orphans:
        assert isinstance(outcome, Hold)
        assert outcome.notice.phase == names.PHASE_BLOCKED
        assert outcome.notice.reason.startswith("InvalidUserCertificate: spec.certificates.")
        assert any(f"Secret my-{f} " in outcome.notice.reason for f in orphans)
        assert "name its own in spec.certificates." in outcome.notice.reason
        assert outcome.actions == ()
        return
    assert isinstance(outcome, Continue)
    asked = {name.removeprefix("Certificate db-") for name in made(outcome.actions) if name.startswith("Certificate")}
    peers = {f"{i}-peer" for i in (1, 2, 3)}
    servers = set() if "serverTLSSecret" in fields else {f"{i}-server" for i in (1, 2, 3)}
    shared = {
        n for n, f in (("client", "operatorTLSSecret"), ("replication", "replicationTLSSecret")) if f not in fields
    }
    assert asked == peers | servers | shared | (set() if "serverCASecret" in fields else {"ca"})
    wanted: dict[str, str] = {}
    if "serverTLSSecret" in fields:
        wanted |= {f"db-{i}-server-tls": "my-serverTLSSecret" for i in (1, 2, 3)}
    if "replicationTLSSecret" in fields:
        wanted["db-replication-tls"] = "my-replicationTLSSecret"
    if "operatorTLSSecret" in fields:
        wanted["db-client-tls"] = "my-operatorTLSSecret"
    assert copied(outcome.actions) == wanted
    assert signers(outcome.actions) == expected_signers(fields, asked - {"ca"})


def signers(actions: tuple[Action, ...]) -> dict[str, str]:
    """Secret of the CA by Certificate."""
    bodies = [a.body for a in actions if isinstance(a, Apply)]
    issuers = {b["metadata"]["name"]: b["spec"]["ca"]["secretName"] for b in bodies if "ca" in b.get("spec", {})}
    leaves = [b for b in bodies if b["kind"] == "Certificate" and not b["spec"].get("isCA")]
    return {b["metadata"]["name"].removeprefix("db-"): issuers[b["spec"]["issuerRef"]["name"]] for b in leaves}


def expected_signers(fields: tuple[str, ...], asked: set[str]) -> dict[str, str]:
    server = "my-serverCASecret" if "serverCASecret" in fields else "db-ca"
    client = "my-clientCASecret" if "clientCASecret" in fields else server
    return {name: server if name.endswith("-server") else client for name in asked}


def test_server_and_client_ca_are_never_mixed() -> None:
    outcome = certificates.decide(with_secrets(new(), ("serverCASecret", "clientCASecret")))
    (trust,) = [a for a in outcome.actions if isinstance(a, Apply) and a.target.name == "db-trust"]
    assert trust.body["data"][names.TRUST_SERVER_CA_KEY] == SERVER_CA.pem.decode()
    assert trust.body["data"][names.TRUST_CLIENT_CA_KEY] == CLIENT_CA.pem.decode()


@pytest.mark.parametrize(
    ("fields", "changed", "reason", "ways"),
    [
        (("serverCASecret",), "serverCASecret", "ServerCACannotSign", ("serverTLSSecret", "tls.crt and tls.key")),
        (("clientCASecret",), "clientCASecret", "ClientCACannotSign", ("operatorTLSSecret", "replicationTLSSecret")),
    ],
)
def test_a_ca_that_has_to_sign_needs_its_key(
    fields: tuple[str, ...], changed: str, reason: str, ways: tuple[str, ...]
) -> None:
    bare = ca_only(SERVER_CA if changed == "serverCASecret" else CLIENT_CA)
    outcome = certificates.decide(no_peers(with_secrets(new(), fields, **{changed: bare})))
    assert isinstance(outcome, Hold)
    where = f"spec.certificates.{changed}: Secret my-{changed}"
    assert outcome.notice.reason.startswith(f"{reason}: {where} has no tls.crt")
    assert all(way in outcome.notice.reason for way in ways)


def no_peers(s: Snapshot) -> Snapshot:
    missing = {f"db-{i}-peer-tls": UserSecret(Known.MISSING) for i in (1, 2, 3)}
    return replace(s, user_secrets={**s.user_secrets, **missing})


def all_brought(s: Snapshot, *peers: int) -> Snapshot:
    """Five Secrets, the CAs without keys, and a peer certificate for each of these instances."""
    s = with_secrets(s, FIELDS, serverCASecret=ca_only(SERVER_CA), clientCASecret=ca_only(CLIENT_CA))
    missing = UserSecret(Known.MISSING)
    found = {
        f"db-{i}-peer-tls": brought(leaf(CLIENT_CA, "", "cnmysql-peer", dns=(f"db-{i}.shop.svc",), server=False))
        if i in peers
        else missing
        for i in (1, 2, 3)
    }
    return replace(s, user_secrets={**s.user_secrets, **found})


@pytest.mark.parametrize("installed", [CertManager.PRESENT, CertManager.ABSENT, CertManager.UNKNOWN])
def test_with_everything_brought_nothing_is_asked_of_cert_manager(installed: CertManager) -> None:
    outcome = certificates.decide(replace(all_brought(new(), 1, 2, 3), cert_manager=installed))
    assert isinstance(outcome, Continue)
    assert not [name for name in made(outcome.actions) if name.startswith(("Certificate", "Issuer"))]
    assert len(copied(outcome.actions)) == 5
    assert not [name for name in copied(outcome.actions) if name.endswith("-peer-tls")]


def test_a_client_ca_without_key_needs_the_peers_too() -> None:
    outcome = certificates.decide(all_brought(new(), 1, 2))
    assert isinstance(outcome, Hold)
    assert outcome.notice.reason.startswith("ClientCACannotSign: ")
    assert "supply Secret db-3-peer-tls" in outcome.notice.reason


def without_cert_manager(s: Snapshot) -> Snapshot:
    return replace(s, cert_manager=CertManager.ABSENT)


def test_without_cert_manager_a_cluster_with_certificates_runs_on() -> None:
    assert certificates.decide(without_cert_manager(ready())) == Continue()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ((), ("serverCASecret", "serverTLSSecret", "clientCASecret", "replicationTLSSecret", "operatorTLSSecret")),
        (("serverCASecret", "clientCASecret"), ("serverTLSSecret", "db-1-peer-tls")),
    ],
)
def test_without_cert_manager_both_ways_out_are_said(fields: tuple[str, ...], named: tuple[str, ...]) -> None:
    outcome = certificates.decide(no_peers(with_secrets(without_cert_manager(new()), fields)))
    assert isinstance(outcome, Hold)
    assert outcome.notice.phase == names.PHASE_BLOCKED
    assert "Either install cert-manager, or supply " in outcome.notice.reason
    assert all(name in outcome.notice.reason for name in named)


def test_while_cert_manager_is_unknown_nothing_is_said_about_it() -> None:
    outcome = certificates.decide(replace(new(), cert_manager=CertManager.UNKNOWN))
    assert isinstance(outcome, Stop)
    assert outcome.notice.phase == ""
    assert outcome.notice.wake_after is not None


@pytest.mark.parametrize("installed", [CertManager.ABSENT, CertManager.UNKNOWN])
def test_what_cannot_be_had_for_one_instance_holds_up_no_other_of_a_running_cluster(installed: CertManager) -> None:
    s = replace(spec(ready(), instances=4), cert_manager=installed)
    outcome = certificates.decide(s)
    assert isinstance(outcome, Continue)
    assert outcome.notice is not None
    assert outcome.notice.wake_after is not None, "an API that appears wakes nobody"
    blocked = installed is CertManager.ABSENT
    assert outcome.notice.phase == (names.PHASE_BLOCKED if blocked else "")
    assert outcome.notice.reason.startswith("CertManagerMissing: " if blocked else "finding out whether")
    assert [certificates.mountable(s, f"db-{i}") for i in (1, 2, 3, 4)] == [True, True, True, False]


def test_without_cert_manager_a_lost_ca_changes_no_trust() -> None:
    outcome = certificates.decide(without_cert_manager(objects(ready(), "secrets", db_ca=None)))
    assert isinstance(outcome, Continue)
    assert outcome.actions == ()


def test_nothing_is_decided_before_the_users_secrets_were_read() -> None:
    unread = UserSecret(Known.UNKNOWN)
    assert isinstance(certificates.decide(with_secrets(new(), ("clientCASecret",), clientCASecret=unread)), Hold)
    running = with_secrets(ready(), ("clientCASecret",), clientCASecret=unread)
    assert certificates.decide(running) == Continue()


@pytest.mark.parametrize("state", [Known.MISSING, Known.UNKNOWN])
@pytest.mark.parametrize("field", FIELDS)
def test_what_runs_is_left_alone_when_material_goes_away(field: str, state: Known) -> None:
    outcome = certificates.decide(with_secrets(ready(), (field,), **{field: UserSecret(state)}))
    assert isinstance(outcome, Continue)
    assert not [a for a in outcome.actions if isinstance(a, Delete | CopyPair) or a_trust(a)]


def a_trust(action: Action) -> bool:
    return isinstance(action, Apply) and action.target.name == "db-trust"


def test_a_growing_cluster_goes_on_while_new_certificates_are_made() -> None:
    outcome = certificates.decide(spec(ready(), instances=4))
    assert isinstance(outcome, Continue)
    assert outcome.notice is not None
    assert outcome.notice.reason == "waiting for the certificate in Secret db-4-server-tls"


def test_a_new_ca_is_first_only_trusted() -> None:
    fresh = authority("db.ca.cnmysql", 7)
    data: dict[str, Any] = {"ca.crt": fresh.pem.decode(), "tls.crt": fresh.pem.decode(), "tls.key": "other"}
    former = ready().objects.config_maps["db-trust"]["data"]["server-ca.crt"]
    outcome = certificates.decide(objects(ready(), "secrets", db_ca={"data": data}))
    (trust,) = outcome.actions
    assert isinstance(trust, Apply)
    assert trust.body["data"]["server-ca.crt"] == trust.body["data"]["client-ca.crt"] == fresh.pem.decode() + former
