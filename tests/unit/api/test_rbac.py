"""The table of permissions against what the code asks for."""

from __future__ import annotations

from cnmysql import names
from cnmysql.api import rbac
from cnmysql.kube import resources
from manager.cluster.kinds import OWNED
from manager.cluster.render import rbac as rendered
from manager.cluster.render.meta import Owner


def _held(*, namespaced: bool = False) -> set[tuple[str, str, str]]:
    role, _ = rbac.operator_role(namespaced=namespaced)
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_operator_holds_what_it_hands_out() -> None:
    """Otherwise the API server refuses to let it make the Role."""
    role = rendered.role(Owner("sample", "default", "u"))
    for namespaced in (False, True):
        held = _held(namespaced=namespaced)
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    assert {(group, resource, verb) for verb in rule["verbs"]} <= held


def test_what_is_handed_out_and_not_used_is_marked() -> None:
    handed_out = {
        (group, resource, verb)
        for rule in rendered.role(Owner("sample", "default", "u"))["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    marked = {(g.group, g.resource, verb) for g in rbac.GRANTS for verb in g.delegated}
    assert marked - handed_out == {(names.GROUP, "clusters/finalizers", "update")}


def test_every_kind_of_a_cluster_can_be_followed_and_made() -> None:
    held = _held(namespaced=True)
    for resource in OWNED.values():
        for verb in ("get", "list", "watch", "create", "patch", "delete"):
            assert (resource.group, resource.plural, verb) in held, (resource.plural, verb)
    for verb in ("list", "watch"):
        assert (names.GROUP, resources.CLUSTERS.plural, verb) in held


def test_nothing_is_granted_by_wildcard_or_twice() -> None:
    held = [(g.group, g.resource) for g in rbac.GRANTS]
    assert len(held) == len(set(held))
    for grant in rbac.GRANTS:
        assert "*" not in (grant.group, grant.resource, *grant.verbs, *grant.delegated)
        assert not set(grant.verbs) & set(grant.delegated)
        assert grant.why


def test_the_namespaced_role_leaves_out_what_is_not_about_a_namespace() -> None:
    role, binding = rbac.operator_role(namespaced=True)
    assert (role["kind"], binding["kind"], binding["roleRef"]["kind"]) == ("Role", "RoleBinding", "Role")
    assert {(g, r) for g, r, _ in _held()} - {(g, r) for g, r, _ in _held(namespaced=True)} == {
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
