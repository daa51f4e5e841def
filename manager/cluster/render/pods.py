"""The database Pod: bare, restarted for ever by its kubelet, with our manager as process 1 of a stock MySQL image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cnmysql import names
from cnmysql.api.cluster import ClusterSpec
from cnmysql.protocol import endpoints
from manager.cluster.render import mounts
from manager.cluster.render.meta import Json, Owner, digest, metadata

_PROBE_TIMEOUT: Final = 5
_STARTUP_PERIOD: Final = 2

_POD_SECURITY: Final[Json] = {
    "runAsNonRoot": True,
    "runAsUser": names.RUN_AS_UID,
    "runAsGroup": names.RUN_AS_GID,
    "fsGroup": names.RUN_AS_GID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY: Final[Json] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class PodInput:
    """What a Pod is rendered from. `static_config` is the hash of settings that need a restart of mysqld."""

    owner: Owner
    spec: ClusterSpec
    instance: str
    operator_image: str
    image: str
    mysql_version: str
    static_config: str
    mounted_revision: str
    restart_token: str
    root_secret: str
    app_secret: str


def pod(given: PodInput, *, initialise: bool, adopt_from: str = "") -> Json:
    """`initialise`: create a new database; otherwise the instance is copied from a donor when its volume is empty.
    `adopt_from`: uids of former Clusters whose data on the volume becomes ours."""
    body = _template(given, initialise=initialise, adopt_from=adopt_from)
    body["metadata"] = metadata(
        given.owner,
        given.instance,
        instance=given.instance,
        role=names.ROLE_REPLICA,
        extra_labels={names.LABEL_ROUTABLE: "true"},
        extra_annotations={
            names.ANN_POD_TEMPLATE_HASH: template_hash(given),
            names.ANN_CONFIG_HASH: given.static_config,
            names.ANN_MOUNTED_REVISION: given.mounted_revision,
            **({names.ANN_BOOTSTRAP_HASH: bootstrap_hash(given)} if initialise else {}),
        },
    )
    return body


def bootstrap_hash(given: PodInput) -> str:
    """Changes with what a new database is made from: while none has been made, a correction must reach the Pod."""
    volume = mounts.bootstrap_credentials(given.root_secret, _owner_secret(given))
    return digest({"flags": _initdb_flags(given.spec), "credentials": volume})[:32]


def template_hash(given: PodInput) -> str:
    """Changes exactly when the Pod has to be replaced.

    How the volume is first filled and which operator image brought the runtime tree do not count: neither
    matters to a running instance.
    """
    template = _template(given, initialise=False)["spec"]
    template["initContainers"][0]["image"] = ""
    return digest({"spec": template, "config": given.static_config, "restart": given.restart_token})[:32]


def _template(given: PodInput, *, initialise: bool, adopt_from: str = "") -> Json:
    spec = given.spec
    accounts = initialise or bool(adopt_from)
    affinity = spec.affinity
    pod_spec: Json = {
        "restartPolicy": "Always",
        "serviceAccountName": names.service_account(given.instance),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.max_stop_delay,
        "securityContext": merge(_POD_SECURITY, spec.pod_security_context),
        "initContainers": [
            _tree(given),
            _bootstrap(given, "initdb" if initialise else "join", adopt_from, accounts=accounts),
        ],
        "containers": [_mysql(given)],
        "volumes": _volumes(given, accounts=accounts),
        "affinity": _affinity(given),
        "imagePullSecrets": [{"name": reference.name} for reference in spec.image_pull_secrets],
        "priorityClassName": spec.priority_class_name,
        "schedulerName": spec.scheduler_name,
        "topologySpreadConstraints": list(spec.topology_spread_constraints),
        "nodeSelector": dict(affinity.node_selector),
        "tolerations": list(affinity.tolerations),
    }
    return {"apiVersion": "v1", "kind": "Pod", "spec": {k: v for k, v in pod_spec.items() if v not in (None, [], {})}}


def merge(base: Mapping[str, Any], over: Mapping[str, Any] | None) -> Json:
    """Field by field: a user's value wins, what the user leaves out keeps the restricted default."""
    merged: Json = dict(base)
    for key, value in (over or {}).items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _container(given: PodInput, name: str, image: str) -> Json:
    spec = given.spec
    container: Json = {
        "name": name,
        "image": image,
        "securityContext": merge(_CONTAINER_SECURITY, spec.security_context),
    }
    if spec.resources:
        container["resources"] = spec.resources
    return container


def _tree(given: PodInput) -> Json:
    """Copies the runtime tree, so that the database image needs nothing of ours."""
    return {
        **_container(given, names.CONTAINER_TREE, given.operator_image),
        "args": ["bootstrap", names.CONTROLLER_DIR],
        "volumeMounts": [mounts.TREE_TARGET],
    }


def _common_flags(given: PodInput) -> list[str]:
    spec = given.spec
    return [
        f"--cluster={given.owner.name}",
        f"--namespace={given.owner.namespace}",
        f"--instance={given.instance}",
        f"--cluster-uid={given.owner.uid}",
        f"--log-level={spec.log_level}",
        f"--stop-delay={spec.max_stop_delay}",
        f"--smart-shutdown-timeout={spec.graceful_stop_seconds}",
    ]


def _bootstrap(given: PodInput, verb: str, adopt_from: str, *, accounts: bool) -> Json:
    """`accounts`: it sets the passwords of root and of the application's owner, which nothing else sees."""
    mounted = mounts.always()
    flags = _common_flags(given)
    if verb == "join":
        mounted.append(mounts.API_TOKEN)  # it asks who the donor is; initdb asks nothing
    if adopt_from:
        flags.append(f"--adopt-from={adopt_from}")
    if accounts:
        mounted.append(mounts.BOOTSTRAP_CREDENTIALS)
        flags += _initdb_flags(given.spec)
    return {
        **_container(given, names.CONTAINER_BOOTSTRAP, given.image),
        **_pull(given.spec),
        "command": _literally(names.MANAGER_PATH, "instance", verb, *flags),
        "env": _own_env(given),
        "ports": [_port(names.PORT_NAME_CONTROL, names.PORT_CONTROL)],
        "volumeMounts": mounted,
    }


def _literally(*words: str) -> list[str]:
    """The kubelet puts the value of a variable where it reads $(NAME): a name from a spec is no place for that."""
    return [word.replace("$", "$$") for word in words]


def _initdb_flags(spec: ClusterSpec) -> list[str]:
    initdb = spec.bootstrap.initdb
    flags = [f"--database={initdb.database}", f"--owner={initdb.owner}"]
    if initdb.character_set:
        flags.append(f"--character-set={initdb.character_set}")
    if initdb.collation:
        flags.append(f"--collation={initdb.collation}")
    return [*flags, "--enable-superuser-access"] if spec.enable_superuser_access else flags


def _mysql(given: PodInput) -> Json:
    spec = given.spec
    container: Json = {
        **_container(given, names.CONTAINER_MYSQL, given.image),
        **_pull(spec),
        "command": _literally(names.MANAGER_PATH, "instance", "run", *_common_flags(given)),
        "env": [*_own_env(given), *spec.env],
        "ports": [
            _port(names.PORT_NAME_MYSQL, names.PORT_MYSQL),
            _port(names.PORT_NAME_CONTROL, names.PORT_CONTROL),
            _port(names.PORT_NAME_HEALTH, names.PORT_HEALTH),
        ],
        "startupProbe": _probe(endpoints.PROBE_STARTUP, _STARTUP_PERIOD, -(-spec.max_start_delay // _STARTUP_PERIOD)),
        "readinessProbe": _probe(endpoints.PROBE_READY, 2, 3),
        "livenessProbe": _probe(endpoints.PROBE_LIVE, 10, 6),
        "volumeMounts": [*mounts.always(), mounts.API_TOKEN],
    }
    if spec.env_from:
        container["envFrom"] = list(spec.env_from)
    return container


def _pull(spec: ClusterSpec) -> Json:
    return {"imagePullPolicy": spec.image_pull_policy} if spec.image_pull_policy else {}


def _own_env(given: PodInput) -> list[Json]:
    """No password is ever passed by the environment."""
    fields = (("POD_NAME", "metadata.name"), ("POD_NAMESPACE", "metadata.namespace"), ("POD_UID", "metadata.uid"))
    return [
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields),
        {"name": "MYSQL_VERSION", "value": given.mysql_version},
        {"name": "USER", "value": "mysql"},
    ]


def _port(name: str, port: int) -> Json:
    return {"name": name, "containerPort": port, "protocol": "TCP"}


def _probe(path: str, period: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": names.PORT_NAME_HEALTH},
        "periodSeconds": period,
        "timeoutSeconds": _PROBE_TIMEOUT,
        "failureThreshold": failures,
    }


def _volumes(given: PodInput, *, accounts: bool) -> list[Json]:
    volumes = mounts.volumes(given.owner.name, given.instance)
    if accounts:
        volumes.append(mounts.bootstrap_credentials(given.root_secret, _owner_secret(given)))
    return volumes


def _owner_secret(given: PodInput) -> str | None:
    return given.app_secret if given.spec.bootstrap.initdb.owner else None


def _affinity(given: PodInput) -> Json:
    wanted = given.spec.affinity
    anti: dict[str, list[Any]] = {"required": [], "preferred": []}
    if wanted.enable_pod_anti_affinity:
        term = {
            "labelSelector": {"matchLabels": {names.LABEL_CLUSTER: given.owner.name}},
            "topologyKey": wanted.topology_key,
        }
        required = wanted.pod_anti_affinity_type == "required"
        anti["required" if required else "preferred"].append(
            term if required else {"weight": 100, "podAffinityTerm": term}
        )
    more = wanted.additional_pod_anti_affinity or {}
    anti["required"] += more.get("requiredDuringSchedulingIgnoredDuringExecution") or []
    anti["preferred"] += more.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    terms = {f"{k}DuringSchedulingIgnoredDuringExecution": v for k, v in anti.items() if v}
    affinity = {
        "nodeAffinity": wanted.node_affinity,
        "podAffinity": wanted.additional_pod_affinity,
        "podAntiAffinity": terms,
    }
    return {k: v for k, v in affinity.items() if v}
