"""The policies as objects; what they decide is tried on a real API server."""

from __future__ import annotations

import re

import pytest

from cnmysql import names
from cnmysql.api import admission
from cnmysql.api.admission import POLICIES
from cnmysql.api.policy import Policy, objects


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_policy_and_binding_belong_together(policy: Policy) -> None:
    found, binding = objects(policy)
    assert found["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"]["policyName"] == found["metadata"]["name"] == policy.name
    assert binding["spec"]["validationActions"] == ["Deny"]
    assert ("paramKind" in found["spec"]) == ("paramRef" in binding["spec"]) == policy.per_cluster
    if policy.per_cluster:
        assert binding["spec"]["paramRef"] == {"selector": {}, "parameterNotFoundAction": "Allow"}


def test_a_policy_that_needs_our_kinds_judges_only_our_objects() -> None:
    """Otherwise an absent kind would stop node heartbeats and leader elections of the whole cluster."""
    for policy in POLICIES:
        selector = objects(policy)[0]["spec"]["matchConstraints"]["objectSelector"]
        wanted = {"matchExpressions": [{"key": names.LABEL_CLUSTER, "operator": "Exists"}]}
        assert selector == (wanted if policy.per_cluster or policy.labelled else {})


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_it_stays_within_what_the_api_server_takes(policy: Policy) -> None:
    found, _ = objects(policy)
    for check in found["spec"]["validations"]:
        assert len(check["expression"]) < 16000
        assert len(check["messageExpression"]) < 16000
        assert "\n" not in check["message"]
    assert len(found["spec"].get("variables", ())) < 64


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_variables_are_defined_before_they_are_used(policy: Policy) -> None:
    known: set[str] = set()
    for name, cel in policy.variables:
        assert set(re.findall(r"variables\.(\w+)", cel)) <= known, name
        known.add(name)
    for check in policy.checks:
        assert set(re.findall(r"variables\.(\w+)", check.cel + check.says)) <= known


def test_the_spec_policy_leaves_alone_what_does_not_change_and_what_is_being_deleted() -> None:
    conditions = dict(admission.CLUSTER_SPEC.conditions)
    assert "object.spec != oldObject.spec" in conditions["spec-changed"]
    assert "deletionTimestamp" in conditions["not-deleted"]
    assert admission.CLUSTER_SPEC.resources == ("clusters",)


def test_a_lease_is_judged_by_who_writes_and_then_by_whose_it_is() -> None:
    """In that order: node heartbeats end at the first condition."""
    assert [name for name, _ in admission.INSTANCE_LEASE.conditions] == ["instance", "ours"]


def test_instances_are_recognised_by_the_exact_account() -> None:
    ((_, condition),) = admission.INSTANCE_STATUS.conditions
    quoted = re.search(r"matches\('(.*)'\)", condition)
    assert quoted is not None
    pattern = re.compile(quoted[1])
    for account in (names.service_account("db-1"), names.service_account("db-1-1"), names.service_account("a-b-12")):
        assert pattern.search(f"system:serviceaccount:ns:{account}"), account
    for account in ("db-instance", "db-0-instance", "db-01-instance", "db-1-instances", "x", "1-1-instance"):
        assert not pattern.search(f"system:serviceaccount:ns:{account}"), account
    assert not pattern.search("system:node:db-1-instance")
    assert not pattern.search("x:system:serviceaccount:ns:db-1-instance")
