"""Every rule about a Cluster, tried on a real API server: what it accepts, what it refuses and how it says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cnmysql.api import network, rules, spec_policy
from cnmysql.api.rules import Case, Rule
from tests.kube.api import Answer, Server, cluster, clusters

ALL = (*rules.RULES, *network.RULES, *spec_policy.RULES)


def _cases(accepted: bool) -> Iterator[object]:
    for number, rule in enumerate(ALL):
        for case in rule.accept if accepted else rule.reject:
            yield pytest.param(rule, case, id=f"{number}-{rule.field}-{case.shows or case.name}"[:60])


def _try(server: Server, namespace: str, case: Case) -> Answer:
    """Apply the case without keeping it; an update starts from a Cluster that already has data."""
    body = cluster(namespace, case.name, case.spec)
    if case.before is None:
        return server.admin.post(clusters(namespace), body, dryRun="All")
    stored = server.admin.post(clusters(namespace), cluster(namespace, case.name, case.before)).must()
    status = {"status": {"currentPrimary": f"{case.name}-1"}}
    stored = server.admin.patch(clusters(namespace, case.name, "status"), status).must()
    body["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
    return server.admin.put(clusters(namespace, case.name), body, dryRun="All")


@pytest.mark.parametrize(("rule", "case"), list(_cases(True)))
def test_accepts(server: Server, namespace: str, rule: Rule, case: Case) -> None:
    _try(server, namespace, case).must()


@pytest.mark.parametrize(("rule", "case"), list(_cases(False)))
def test_refuses_with_field_value_and_remedy(server: Server, namespace: str, rule: Rule, case: Case) -> None:
    answer = _try(server, namespace, case)
    assert answer.code == 422
    assert rule.field in answer.message
    assert case.shows in answer.message
    assert rule.remedy in answer.message


def test_every_rule_has_examples_of_both_kinds() -> None:
    for rule in ALL:
        assert rule.accept, rule.field
        assert rule.reject, rule.field
        assert all(case.shows for case in rule.reject), rule.field
        assert all(case.before is not None for case in rule.reject) or not rule.transition, rule.field
