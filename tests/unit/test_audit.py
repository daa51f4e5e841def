"""Reading the audit log: whose request it was, which rights it used, and which refusals are nobody's fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cnmysql import names
from tests.support import audit
from tests.support.kube import ATTACKER

OPERATOR = f"system:serviceaccount:{names.OPERATOR_NAMESPACE}:{names.OPERATOR_NAME}"
INSTANCE = "system:serviceaccount:shop:db-1-instance"
RBAC = "rbac.authorization.k8s.io"


def event(second: int, user: str, verb: str, resource: str, **more: Any) -> dict[str, Any]:
    group, _, plural = resource.rpartition("/") if resource.count("/") else ("", "", resource)
    return {
        "auditID": f"{second}",
        "requestReceivedTimestamp": f"2026-01-01T00:00:{second:02}.000000Z",
        "user": {"username": user},
        "userAgent": more.get("agent", "cnmysql"),
        "verb": verb,
        "objectRef": {
            "apiGroup": group,
            "resource": plural,
            "namespace": more.get("namespace", "shop"),
            "name": more.get("name", "x"),
        },
        "responseStatus": {"code": more.get("code", 200), "message": more.get("message", "")},
    }


def read(tmp_path: Path, *events: dict[str, Any]) -> list[audit.Request]:
    log = tmp_path / "audit.log"
    log.write_text("".join(json.dumps(e, separators=(",", ":")) + "\n" for e in events))
    return audit.read(log, "2026-01-01T00:00:00")


def test_whose_request_it_was(tmp_path: Path) -> None:
    by = [OPERATOR, INSTANCE, "system:serviceaccount:shop:my-instance", "admin"]
    found = read(tmp_path, *(event(n, user, "get", "pods") for n, user in enumerate(by)))
    assert [(r.by_operator, r.instance) for r in found] == [(True, ""), (False, "db-1"), (False, ""), (False, "")]


def test_an_apply_that_makes_an_object_needs_two_rights(tmp_path: Path) -> None:
    made, changed = read(
        tmp_path, event(1, OPERATOR, "patch", "services", code=201), event(2, OPERATOR, "patch", "services")
    )
    assert set(made.uses) == {("", "services", "patch"), ("", "services", "create")}
    assert set(changed.uses) == {("", "services", "patch")}


def test_rotated_files_are_read_and_former_runs_are_not(tmp_path: Path) -> None:
    line = json.dumps(event(1, OPERATOR, "get", "pods"), separators=(",", ":"))
    (tmp_path / "audit-2026-01-01T00-00-02.000.log").write_text(line + "\n")
    former = {**event(2, OPERATOR, "get", "secrets"), "requestReceivedTimestamp": "2025-12-31T23:59:59.000000Z"}
    found = read(tmp_path, former, event(3, OPERATOR, "list", "pods"))
    assert [r.verb for r in found] == ["get", "list"]


def test_of_one_namespace_when_an_object_was_first_written(tmp_path: Path) -> None:
    elsewhere = event(1, OPERATOR, "patch", "secrets", namespace="shop-2")
    read_only, failed = event(2, "admin", "get", "secrets"), event(3, "admin", "patch", "secrets", code=409)
    first, second = event(4, "admin", "patch", "secrets"), event(5, "admin", "update", "secrets")
    log = tmp_path / "audit.log"
    events = (elsewhere, read_only, failed, first, second)
    log.write_text("".join(json.dumps(e, separators=(",", ":")) + "\n" for e in events))
    found = audit.read(log, "2026-01-01T00:00:00", "shop")
    assert [r.verb for r in found] == ["get", "patch", "patch", "update"]
    assert audit.written(found, "secrets", "x") == found[2].moment


def test_a_refusal_counts(tmp_path: Path) -> None:
    found = read(tmp_path, event(1, OPERATOR, "list", "nodes", code=403), event(2, INSTANCE, "get", "pods", code=403))
    assert audit.refusals(found) == found


def test_a_refusal_of_an_attacker_or_of_anybody_else_does_not(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        event(1, INSTANCE, "get", "secrets", code=403, agent=ATTACKER),
        event(2, "system:serviceaccount:shop:other", "get", "secrets", code=403),
    )
    assert audit.refusals(found) == []


def test_rights_go_with_the_cluster_and_only_with_that_one(tmp_path: Path) -> None:
    refused = event(5, INSTANCE, "update", "leases", code=403)
    for deletion, counts in (
        (event(1, "admin", "delete", "clusters", name="db"), False),
        (event(1, "admin", "delete", "clusters", name="db", code=404), True),
        (event(1, "admin", "delete", "clusters", name="db-1"), True),
        (event(1, "admin", "delete", "clusters", name="db", namespace="other"), True),
        (event(1, "admin", "delete", "namespaces", name="shop"), False),
        (event(9, "admin", "delete", "clusters", name="db"), True),
    ):
        assert bool(audit.refusals(read(tmp_path, deletion, refused))) == counts


def test_rights_go_with_the_installation_and_come_back_with_it(tmp_path: Path) -> None:
    role = f"{names.PRODUCT}-manager-role"
    gone = event(1, "admin", "delete", f"{RBAC}/clusterroles", name=role, namespace="")
    back = event(2, "admin", "create", f"{RBAC}/clusterroles", name=role, namespace="")
    refused = event(3, OPERATOR, "list", "pods", code=403)
    assert audit.refusals(read(tmp_path, gone, refused)) == []
    assert audit.refusals(read(tmp_path, gone, back, refused))


def test_a_namespace_that_came_back_excuses_nothing(tmp_path: Path) -> None:
    gone = event(1, "admin", "delete", "namespaces", name=names.OPERATOR_NAMESPACE)
    back = event(2, "admin", "create", "namespaces", name=names.OPERATOR_NAMESPACE)
    refused = event(3, OPERATOR, "get", "leases", namespace=names.OPERATOR_NAMESPACE, code=403)
    assert audit.refusals(read(tmp_path, gone, refused)) == []
    assert audit.refusals(read(tmp_path, gone, back, refused))


def test_nothing_is_made_in_a_namespace_that_ends(tmp_path: Path) -> None:
    said = "unable to create new content in namespace shop because it is being terminated"
    assert audit.refusals(read(tmp_path, event(1, OPERATOR, "create", "pods", code=403, message=said))) == []


def test_an_order_that_ended_while_it_was_obeyed_excuses_its_refusal_for_a_moment(tmp_path: Path) -> None:
    said = "instance db-1 is not ordered to open; the Lease may not be taken"
    told = event(1, OPERATOR, "patch", "clusters", name="db")
    told["objectRef"]["subresource"] = "status"
    for at, message, counts in ((3, said, False), (8, said, True), (3, "no", True)):
        refused = event(at, INSTANCE, "update", "leases", code=403, message=message)
        assert bool(audit.refusals(read(tmp_path, told, refused))) == counts
        assert audit.refusals(read(tmp_path, refused))


def test_what_an_api_server_that_starts_refuses_is_excused_and_nothing_later(tmp_path: Path) -> None:
    start = event(10, "system:apiserver", "list", f"{RBAC}/clusterroles")
    refused = [event(n, OPERATOR, "watch", "pods", code=403) for n in (4, 9, 14, 16)]
    found = audit.refusals(read(tmp_path, start, *refused))
    assert [r.at[17:19] for r in found] == ["04", "16"]
    somebody = event(10, "admin", "list", f"{RBAC}/clusterroles")
    assert len(audit.refusals(read(tmp_path, somebody, *refused))) == 4
