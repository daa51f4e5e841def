"""Schemas of the core/v1 types that a Cluster passes on to its Pods and volumes.

Known fields are typed, so that a mistake is refused when the Cluster is applied and not when a Pod is created;
fields this release does not know pass through for newer API servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Node = Mapping[str, Any]

STRING: Final[Node] = {"type": "string"}
BOOLEAN: Final[Node] = {"type": "boolean"}
INT32: Final[Node] = {"type": "integer", "format": "int32"}
INT64: Final[Node] = {"type": "integer", "format": "int64"}
STRINGS: Final[Node] = {"type": "array", "items": STRING}
STRING_MAP: Final[Node] = {"type": "object", "additionalProperties": STRING}
DNS_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
OBJECT_NAME: Final[Node] = {
    "type": "string", "minLength": 1, "maxLength": 253, "pattern": rf"^{DNS_LABEL}(\.{DNS_LABEL})*$",
}  # fmt: skip
"""Of a Secret or ConfigMap. The API server takes any text for one in a Pod, which then waits for ever."""
_FILE: Final = r"([-_a-zA-Z0-9]|\.[-_a-zA-Z0-9])[-._a-zA-Z0-9]*"
"""A name that is neither `.` nor begins with two dots."""
DATA_KEY: Final[Node] = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": f"^{_FILE}$"}
"""A key of a Secret or ConfigMap."""
_DESCENDING_PATH: Final[Node] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 4096,
    "pattern": f"^{_FILE}(/{_FILE})*$",
}
OPEN: Final[Node] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
QUANTITY: Final[Node] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
    "maxLength": 64,
    "pattern": (
        r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
        r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
    ),
}
SIZE: Final[Node] = {"type": "string", "minLength": 1, "maxLength": 64}
"""A quantity that rules look into: a string with a bound, because the cost of a rule is judged by its type."""
QUANTITIES: Final[Node] = {"type": "object", "additionalProperties": QUANTITY}


def enum(*values: str) -> Node:
    return {"type": "string", "enum": list(values)}


def array(items: Node) -> Node:
    return {"type": "array", "items": items}


def open_object(required: tuple[str, ...] = (), **properties: Node) -> Node:
    """An object with these typed fields and any others."""
    node: dict[str, Any] = {**OPEN, "properties": properties}
    if required:
        node["required"] = list(required)
    return node


_SELECTOR_TERM: Final = open_object(("key", "operator"), key=STRING, operator=STRING, values=STRINGS)
LABEL_SELECTOR: Final = open_object(matchLabels=STRING_MAP, matchExpressions=array(_SELECTOR_TERM))

RESOURCES: Final = open_object(
    limits=QUANTITIES, requests=QUANTITIES, claims=array(open_object(("name",), name=STRING))
)

CLAIM_SPEC: Final = open_object(
    accessModes=array(enum("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")),
    dataSource=OPEN,
    dataSourceRef=OPEN,
    resources=open_object(limits=QUANTITIES, requests=open_object(storage=SIZE)),
    selector=LABEL_SELECTOR,
    storageClassName=STRING,
    volumeAttributesClassName=STRING,
    volumeMode=enum("Filesystem"),
    volumeName=STRING,
)

SPREAD: Final = open_object(
    ("maxSkew", "topologyKey", "whenUnsatisfiable"),
    maxSkew={**INT32, "minimum": 1},
    topologyKey=STRING,
    whenUnsatisfiable=enum("DoNotSchedule", "ScheduleAnyway"),
    labelSelector=LABEL_SELECTOR,
    matchLabelKeys=STRINGS,
    minDomains=INT32,
    nodeAffinityPolicy=enum("Honor", "Ignore"),
    nodeTaintsPolicy=enum("Honor", "Ignore"),
)

TOLERATION: Final = open_object(
    key=STRING,
    operator=STRING,
    value=STRING,
    effect=enum("", "NoSchedule", "PreferNoSchedule", "NoExecute"),
    tolerationSeconds=INT64,
)

_KEY_REF: Final = open_object(("key",), key=DATA_KEY, name=OBJECT_NAME, optional=BOOLEAN)
_SOURCE_REF: Final = open_object(name=OBJECT_NAME, optional=BOOLEAN)
ENV_VAR: Final = open_object(
    ("name",),
    name={"type": "string", "minLength": 1, "maxLength": 256},
    value=STRING,
    valueFrom=open_object(
        fieldRef=open_object(("fieldPath",), apiVersion=STRING, fieldPath=STRING),
        resourceFieldRef=open_object(("resource",), containerName=STRING, resource=STRING, divisor=QUANTITY),
        configMapKeyRef=_KEY_REF,
        secretKeyRef=_KEY_REF,
    ),
)
ENV_FROM: Final = open_object(prefix=STRING, configMapRef=_SOURCE_REF, secretRef=_SOURCE_REF)

_SECCOMP: Final = open_object(
    ("type",), type=enum("Unconfined", "RuntimeDefault", "Localhost"), localhostProfile=_DESCENDING_PATH
)
_SELINUX: Final = open_object(level=STRING, role=STRING, type=STRING, user=STRING)
POD_SECURITY: Final = open_object(
    fsGroup=INT64,
    fsGroupChangePolicy=enum("OnRootMismatch", "Always"),
    runAsUser=INT64,
    runAsGroup=INT64,
    runAsNonRoot=BOOLEAN,
    supplementalGroups=array(INT64),
    seccompProfile=_SECCOMP,
    seLinuxOptions=_SELINUX,
    sysctls=array(open_object(("name", "value"), name=STRING, value=STRING)),
)
CONTAINER_SECURITY: Final = open_object(
    allowPrivilegeEscalation=BOOLEAN,
    capabilities=open_object(add=STRINGS, drop=STRINGS),
    privileged=BOOLEAN,
    procMount=STRING,
    readOnlyRootFilesystem=BOOLEAN,
    runAsUser=INT64,
    runAsGroup=INT64,
    runAsNonRoot=BOOLEAN,
    seccompProfile=_SECCOMP,
    seLinuxOptions=_SELINUX,
)

_NODE_TERM: Final = open_object(matchExpressions=array(_SELECTOR_TERM), matchFields=array(_SELECTOR_TERM))
NODE_AFFINITY: Final = open_object(
    requiredDuringSchedulingIgnoredDuringExecution=open_object(
        ("nodeSelectorTerms",), nodeSelectorTerms=array(_NODE_TERM)
    ),
    preferredDuringSchedulingIgnoredDuringExecution=array(
        open_object(("weight", "preference"), weight=INT32, preference=_NODE_TERM)
    ),
)
_POD_TERM: Final = open_object(
    ("topologyKey",),
    labelSelector=LABEL_SELECTOR,
    namespaceSelector=LABEL_SELECTOR,
    namespaces=STRINGS,
    topologyKey=STRING,
    matchLabelKeys=STRINGS,
    mismatchLabelKeys=STRINGS,
)
POD_AFFINITY: Final = open_object(
    requiredDuringSchedulingIgnoredDuringExecution=array(_POD_TERM),
    preferredDuringSchedulingIgnoredDuringExecution=array(
        open_object(("weight", "podAffinityTerm"), weight=INT32, podAffinityTerm=_POD_TERM)
    ),
)
