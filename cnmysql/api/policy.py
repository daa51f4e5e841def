"""What a ValidatingAdmissionPolicy of ours is made of, and the objects it becomes. Which there are: `admission`."""

from __future__ import annotations

from dataclasses import dataclass

from cnmysql import names
from cnmysql.api.base import Json


@dataclass(frozen=True)
class Check:
    """One thing that has to hold; `says` is a CEL string, why it was refused."""

    cel: str
    says: str
    name: str = ""


@dataclass(frozen=True)
class Policy:
    """A policy and the request it is about. `per_cluster`: evaluated once for each Cluster of the namespace."""

    name: str
    about: str
    group: str
    resources: tuple[str, ...]
    operations: tuple[str, ...]
    conditions: tuple[tuple[str, str], ...]
    variables: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    per_cluster: bool = False
    labelled: bool = False
    """Only objects with the label of a Cluster are judged."""
    reason: str = "Forbidden"
    """How a refusal is answered: Forbidden (403), or Invalid (422) for what can be corrected."""


def objects(policy: Policy) -> tuple[Json, Json]:
    """The policy and its binding."""
    metadata = {"name": policy.name, "labels": {names.LABEL_APP_NAME: names.PRODUCT}}
    spec: Json = {"failurePolicy": "Fail"}
    binding: Json = {"policyName": policy.name, "validationActions": ["Deny"]}
    if policy.per_cluster:
        spec["paramKind"] = {"apiVersion": names.API_VERSION, "kind": "Cluster"}
        # Not "Deny": renewals of an instance whose Cluster was orphaned go on, and nobody else is held up.
        binding["paramRef"] = {"selector": {}, "parameterNotFoundAction": "Allow"}
    # Written out in full: what the server fills in would show as a change each time this is applied.
    spec["matchConstraints"] = {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": _selector(policy),
        "resourceRules": [
            {
                "apiGroups": [policy.group],
                "apiVersions": ["*"],
                "operations": list(policy.operations),
                "resources": list(policy.resources),
                "scope": "*",
            }
        ],
    }
    spec["matchConditions"] = [{"name": name, "expression": cel} for name, cel in policy.conditions]
    if policy.variables:
        spec["variables"] = [{"name": name, "expression": cel} for name, cel in policy.variables]
    spec["validations"] = [_validation(policy, check) for check in policy.checks]
    api = "admissionregistration.k8s.io/v1"
    return (
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec},
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata, "spec": binding},
    )


def _selector(policy: Policy) -> Json:
    """Which objects are judged.

    Parameters are looked up before conditions are, and an absent kind refuses every request that matches. By the
    label only our own Leases match: node heartbeats and leader elections never depend on our kinds.
    """
    if not (policy.per_cluster or policy.labelled):
        return {}
    return {"matchExpressions": [{"key": names.LABEL_CLUSTER, "operator": "Exists"}]}


def _validation(policy: Policy, check: Check) -> Json:
    fallback = f"{check.name} is not acceptable" if check.name else policy.about
    return {"expression": check.cel, "messageExpression": check.says, "message": fallback, "reason": policy.reason}
