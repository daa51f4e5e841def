"""The ValidatingAdmissionPolicies: what a spec may say, what an instance may write, where clients are sent, and who may
remove our kinds.

The API server decides these by itself; nothing of ours has to be up. An instance is recognised by the exact name of
its ServiceAccount, `<namespace>:<cluster>-<ordinal>-instance`; everybody else is left to RBAC.

Group replication has no fields in this version of the API: the rules that keep its state (bootstrapped stays true, the
group's name stays) come with them.
"""

from __future__ import annotations

from typing import Final

from cnmysql import names
from cnmysql.api import network, spec_policy
from cnmysql.api.policy import Check, Policy
from cnmysql.api.rules import cel_string

_ACCOUNT: Final = "^system:serviceaccount:[^:]+:[a-z]([-a-z0-9]*[a-z0-9])?-[1-9][0-9]*-instance$"
_IS_INSTANCE: Final = ("instance", f"request.userInfo.username.matches({cel_string(_ACCOUNT)})")
_LEASE_SUFFIX: Final = names.primary_lease("")
_OURS: Final = (
    "ours",
    "[object, oldObject].exists(o, o != null && ("
    f"{cel_string(names.LABEL_CLUSTER)} in o.metadata.?labels.orValue({{}})"
    f" || o.metadata.?name.orValue('').endsWith({cel_string(_LEASE_SUFFIX)})"
    f" || o.metadata.?name.orValue('') == {cel_string(names.OPERATOR_LEASE)}))",
)
"""Leases that are ours by label or by name. Others are left to RBAC, so that an account of somebody else that is
called like an instance's keeps its own; of those an instance's Role names none."""
_SUFFIX: Final = "-instance"
_WHO: Final = (
    ("account", "request.userInfo.username.split(':')"),
    ("instance", f"variables.account[3].substring(0, size(variables.account[3]) - {len(_SUFFIX)})"),
    ("cluster", "variables.instance.substring(0, variables.instance.lastIndexOf('-'))"),
    ("writes", "request.operation == 'UPDATE'"),
    ("object", "has(request.name) ? request.name : ''"),
)
_PRIMARY: Final = "currentPrimary"
_SINCE: Final = "currentPrimaryTimestamp"
_MINE: Final = f"['{_PRIMARY}', '{_SINCE}']"


def _changed(field: str) -> str:
    return f"variables.old.?{field}.orValue('') != variables.new.?{field}.orValue('')"


CLUSTER_SPEC: Final = Policy(
    name="cnmysql-cluster-spec",
    about="Rules about a Cluster's spec that its CRD cannot express.",
    group=names.GROUP,
    resources=("clusters",),
    operations=("CREATE", "UPDATE"),
    conditions=(
        ("spec-changed", "oldObject == null || object.spec != oldObject.spec"),
        ("not-deleted", "!has(object.metadata.deletionTimestamp)"),
    ),
    variables=spec_policy.VARIABLES,
    checks=tuple(
        Check(rule.cel, f"{rule.says} + {cel_string('; ' + rule.remedy)}", rule.field)
        for rule in (*spec_policy.RULES, *network.RULES)
    ),
    reason="Invalid",
)

INSTANCE_STATUS: Final = Policy(
    name="cnmysql-instance-status",
    about="An instance writes only that it became primary, in its own Cluster's status, and only when ordered to.",
    group=names.GROUP,
    resources=("clusters", "clusters/*"),
    operations=("CREATE", "UPDATE", "DELETE"),
    conditions=(_IS_INSTANCE,),
    variables=(
        *_WHO,
        ("status", "variables.writes && has(request.subResource) && request.subResource == 'status'"),
        ("old", "variables.status ? oldObject.?status.orValue({}) : {}"),
        ("new", "variables.status ? object.?status.orValue({}) : {}"),
        (
            "others",
            f"variables.new.filter(k, !(k in {_MINE}) && !(k in variables.old && variables.old[k] == variables.new[k]))"
            f" + variables.old.filter(k, !(k in {_MINE}) && !(k in variables.new))",
        ),
        ("touched", f"{_changed(_PRIMARY)} || {_changed(_SINCE)}"),
        ("to", "variables.old.?roleChange.?to.orValue('')"),
    ),
    checks=(
        Check(
            "variables.account[2] == request.namespace && variables.cluster == variables.object",
            "'instance ' + variables.instance + ' may not write Cluster ' + request.namespace + '/' + variables.object",
        ),
        Check(
            "variables.status",
            "'instance ' + variables.instance + ' may only update the status of its Cluster'",
        ),
        Check(
            "size(variables.others) == 0",
            "'instance ' + variables.instance + ' may not change status fields: ' + variables.others.join(', ')",
        ),
        Check(
            f"!variables.touched || variables.new.?{_PRIMARY}.orValue('') == variables.instance",
            f"'instance ' + variables.instance + ' may not write status.{_PRIMARY} '"
            f" + variables.new.?{_PRIMARY}.orValue('(none)')",
        ),
        Check(
            f"!({_changed(_PRIMARY)}) || {_changed(_SINCE)}",
            f"'status.{_PRIMARY} changes without status.{_SINCE}'",
        ),
        Check(
            f"!variables.touched || variables.new.?{_SINCE}.orValue('') != ''",
            f"'status.{_SINCE} must not be empty'",
        ),
        Check(
            "!variables.touched || variables.to == variables.instance",
            "'instance ' + variables.instance + ' is not ordered to open; status.roleChange.to is '"
            " + (variables.to == '' ? '(none)' : variables.to)",
        ),
    ),
)

_POD_UID: Final = "authentication.kubernetes.io/pod-uid"

_HOLDERS: Final = (
    ("old", "variables.writes ? oldObject.spec.?holderIdentity.orValue('') : ''"),
    ("new", "variables.writes ? object.spec.?holderIdentity.orValue('') : ''"),
)

INSTANCE_LEASE: Final = Policy(
    name="cnmysql-instance-lease",
    about="An instance writes only its own Cluster's primary Lease, and there only itself, when it is free or its own.",
    group="coordination.k8s.io",
    resources=("leases",),
    operations=("CREATE", "UPDATE", "DELETE"),
    conditions=(_IS_INSTANCE, _OURS),
    variables=(
        *_WHO,
        ("pod", f"request.userInfo.?extra[?'{_POD_UID}'].orValue([]).join('')"),
        ("me", "variables.pod == '' ? '' : variables.instance + '/' + variables.pod"),
        *_HOLDERS,
    ),
    checks=(
        Check(
            "variables.account[2] == request.namespace && variables.object == variables.cluster + '-primary'",
            "'instance ' + variables.instance + ' may not write Lease ' + request.namespace + '/' + variables.object",
        ),
        Check("variables.writes", "'instance ' + variables.instance + ' may only update its Lease'"),
        Check(
            "variables.new == '' || (variables.me != '' && variables.new == variables.me)",
            "'holderIdentity ' + variables.new + ' is not the instance and Pod uid that write it'",
        ),
        Check(
            "variables.old == '' || (variables.me != '' && variables.old == variables.me)",
            "'the Lease is held by ' + variables.old + '; only its holder or the operator may clear that'",
        ),
        Check(
            "!variables.writes || "
            + " && ".join(
                f"object.metadata.?{field} == oldObject.metadata.?{field}"
                for field in ("ownerReferences", "labels", "finalizers")
            ),
            "'instance ' + variables.instance + ' may not change owner, labels or finalizers of the Lease'",
        ),
    ),
)

INSTANCE_ORDER: Final = Policy(
    name="cnmysql-instance-order",
    about="An instance takes a free primary Lease only when its Cluster's status orders it to open.",
    group="coordination.k8s.io",
    resources=("leases",),
    operations=("UPDATE",),
    conditions=(_IS_INSTANCE,),
    variables=(*_WHO, *_HOLDERS),
    checks=(
        Check(
            "variables.old != '' || variables.new == '' || params.metadata.name != variables.cluster"
            " || params.?status.?roleChange.?to.orValue('') == variables.instance",
            "'instance ' + variables.instance + ' is not ordered to open; the Lease may not be taken'",
        ),
    ),
    per_cluster=True,
)

_ROUTING: Final = (
    f"[{', '.join(cel_string(k) for k in (names.LABEL_INSTANCE, names.LABEL_ROLE, names.LABEL_ROUTABLE))}]"
)
_LABELS: Final = "object.metadata.?labels.orValue({})"
_FORMER: Final = "oldObject.?metadata.?labels.orValue({})"
_OF: Final = cel_string(names.LABEL_CLUSTER)

POD_LABELS: Final = Policy(
    name="cnmysql-pod-labels",
    about="The labels by which Services choose Pods are set by whoever decides the Cluster's roles, and nobody else.",
    group="",
    resources=("pods", "pods/status"),
    operations=("CREATE", "UPDATE"),
    conditions=(
        (
            "routing-changed",
            f"{_ROUTING}.exists(k, {_LABELS}[?k] != {_FORMER}[?k] || "
            f"(k in {_LABELS} && {_LABELS}[?{_OF}] != {_FORMER}[?{_OF}]))",
        ),
    ),
    variables=(
        ("to", f"{_LABELS}[?{_OF}].orValue('')"),
        ("from", f"{_FORMER}[?{_OF}].orValue('')"),
        ("named", "[variables.to, variables.from].filter(c, c != '')"),
    ),
    checks=(
        Check(
            "variables.named.all(c, "
            f"authorizer.group({cel_string(names.GROUP)}).resource('clusters').subresource('status')"
            ".namespace(request.namespace).name(c).check('patch').allowed())",
            f"'labels ' + {_ROUTING}.join(', ') + ' decide where clients of a Cluster are sent; to set them on a Pod'"
            " + ' takes the right to patch the status of Cluster ' + variables.named.join(', ')",
        ),
    ),
    labelled=True,
)

CRD_DELETION: Final = Policy(
    name="cnmysql-crd-deletion",
    about="Deleting one of our kinds deletes every database of it; that needs to be said.",
    group="apiextensions.k8s.io",
    resources=("customresourcedefinitions",),
    operations=("DELETE",),
    conditions=(("ours", f"oldObject.spec.group == {cel_string(names.GROUP)}"),),
    variables=(),
    checks=(
        Check(
            f"oldObject.metadata.?annotations[?{cel_string(names.ANN_ALLOW_DELETION)}].orValue('') == 'true'",
            "'CustomResourceDefinition ' + oldObject.metadata.name + ' stays: deleting it would delete every database."
            f" Annotate it with {names.ANN_ALLOW_DELETION}=true first if that is what you want, and do not try again"
            " if it is not: nothing refuses it once this policy is gone'",
        ),
    ),
)

POLICIES: Final = (CLUSTER_SPEC, INSTANCE_STATUS, INSTANCE_LEASE, INSTANCE_ORDER, POD_LABELS, CRD_DELETION)
