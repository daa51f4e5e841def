"""Every name the product gives to something: objects, labels, annotations, ports, paths, conditions, events.

Nothing else in the code spells these strings. Functions take the Cluster name `c` or the instance name `i`
(`<cluster>-<ordinal>`, ordinals from 1).
"""

from __future__ import annotations

import re
from typing import Final

GROUP: Final = "mysql.cloudnative-mysql.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
PREFIX: Final = f"{GROUP}/"

PRODUCT: Final = "cnmysql"
FIELD_MANAGER: Final = "cnmysql-controller-manager"
EVENT_SOURCE_CLUSTER: Final = "cluster-controller"

# Images. A manifest that names no image gets DEFAULT_MYSQL_IMAGE: the LTS series the tests run.
DEFAULT_MYSQL_IMAGE: Final = "docker.io/library/mysql:9.7"
DEFAULT_OPERATOR_IMAGE: Final = "ghcr.io/cloudnative-mysql/cnmysql:0.1.0"

# The operator's own installation.
OPERATOR_NAMESPACE: Final = "cnmysql-system"
OPERATOR_NAME: Final = "cnmysql-controller-manager"
OPERATOR_LEASE: Final = "cnmysql-operator"
OPERATOR_CN: Final = "cnmysql-operator"
METRICS_READER_CN: Final = "cnmysql-metrics-reader"
METRICS_CERTS_DIR: Final = "/etc/cnmysql/metrics"

# Labels.
LABEL_APP_NAME: Final = "app.kubernetes.io/name"
LABEL_APP_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_APP_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_CONTROL_PLANE: Final = "control-plane"
CONTROL_PLANE: Final = "controller-manager"
LABEL_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
COMPONENT: Final = "mysql"
LABEL_CLUSTER: Final = PREFIX + "cluster"
LABEL_INSTANCE: Final = PREFIX + "instance"
LABEL_ROLE: Final = PREFIX + "role"
LABEL_ROUTABLE: Final = PREFIX + "routable"
ROLE_PRIMARY: Final = "primary"
ROLE_REPLICA: Final = "replica"

# Annotations.
ANN_CLUSTER_UID: Final = PREFIX + "cluster-uid"
ANN_ADOPT_VOLUME: Final = PREFIX + "adopt-volume"
ANN_ADOPTED_FROM: Final = PREFIX + "adopted-from"
ANN_APPLIED: Final = PREFIX + "applied"
ANN_INHERITED: Final = PREFIX + "inherited"
ANN_DUMP_THREADS: Final = PREFIX + "dump-threads"
"""On the primary Lease: how many replicas its holder was sending to when it renewed; absent while that is not known."""
ANN_CLEARED: Final = PREFIX + "cleared"
"""On a claim that was taken over, until its data is ours: the uids of the Clusters it may have been made for."""
ANY_CLUSTER: Final = "unknown"
"""Stands there for the uid of a former Cluster where the claim named none, as one restored from a snapshot."""
ANN_MOUNTED_REVISION: Final = PREFIX + "mounted-revision"
ANN_POD_TEMPLATE_HASH: Final = PREFIX + "pod-template-hash"
ANN_BOOTSTRAP_HASH: Final = PREFIX + "bootstrap-hash"
ANN_CONFIG_HASH: Final = PREFIX + "config-hash"
ANN_RESTART: Final = PREFIX + "restart"
ANN_ALLOW_DELETION: Final = PREFIX + "allow-deletion"

# Ports.
PORT_MYSQL: Final = 3306
PORT_MYSQL_ADMIN: Final = 33062
PORT_CONTROL: Final = 8080
PORT_HEALTH: Final = 8081
PORT_METRICS: Final = 9187
PORT_OPERATOR_METRICS: Final = 8443
PORT_NAME_MYSQL: Final = "mysql"
PORT_NAME_CONTROL: Final = "control"
PORT_NAME_HEALTH: Final = "health"
ADMIN_ADDRESS: Final = "127.0.0.1"

# Containers of a database Pod.
CONTAINER_TREE: Final = "bootstrap-controller"
CONTAINER_BOOTSTRAP: Final = "bootstrap"
CONTAINER_MYSQL: Final = "mysql"
RUN_AS_UID: Final = 1001
RUN_AS_GID: Final = 1001

# Paths inside a database Pod.
CONTROLLER_DIR: Final = "/controller"
MANAGER_PATH: Final = "/controller/manager"
TREE_DIGEST_FILE: Final = "/controller/DIGEST"
VOLUME_DIR: Final = "/var/lib/mysql"
DATA_DIR: Final = "/var/lib/mysql/data"
RUN_DIR: Final = "/var/run/mysqld"
SOCKET: Final = "/var/run/mysqld/mysqld.sock"
PID_FILE: Final = "/var/run/mysqld/mysqld.pid"
TMP_DIR: Final = "/tmp"  # noqa: S108 - a mount of the Pod's own
CONFIG_DIR: Final = "/etc/cnmysql/config"
CONFIG_FILE: Final = "/etc/cnmysql/config/my.cnf"
CONFIG_KEY: Final = "my.cnf"
LIVE_CONFIG_KEY: Final = "live.cnf"
"""What the running server is brought to; `my.cnf` follows when it has taken that."""
POST_INIT_KEY: Final = "post-init.json"
TLS_SERVER_DIR: Final = "/etc/cnmysql/tls/server"
TLS_TRUST_DIR: Final = "/etc/cnmysql/tls/trust"
TLS_REPLICATION_DIR: Final = "/etc/cnmysql/tls/replication"
TLS_PEER_DIR: Final = "/etc/cnmysql/tls/peer"
TRUST_SERVER_CA_KEY: Final = "server-ca.crt"
TRUST_CLIENT_CA_KEY: Final = "client-ca.crt"
TRUST_REPLICATION_KEY: Final = "replication.json"
"""How the replication account is bound: {"require": "x509"}, or {"subject": ..., "issuer": ...} in one-line form."""
CREDENTIALS_DIR: Final = "/etc/cnmysql/credentials"
CREDENTIALS_BOOTSTRAP_SUFFIX: Final = "-bootstrap"
ROOT_CA_CONFIG_MAP: Final = "kube-root-ca.crt"
"""In every namespace: the authority of the API server, put there by Kubernetes."""
TOKEN_DIR: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, not a password

# Files the instance manager keeps beside and inside the data directory.
FILE_LOCK: Final = ".cnmysql-lock"
FILE_PROVISIONING: Final = ".cnmysql-provisioning"
FILE_BOOTSTRAPPED: Final = ".cnmysql-bootstrapped"
FILE_VERSION: Final = ".cnmysql-mysql-version"
FILE_EPOCH: Final = ".cnmysql-epoch"
FILE_ACCOUNTS: Final = ".cnmysql-accounts"

# MySQL accounts of ours. Everything with this prefix is reserved.
ACCOUNT_PREFIX: Final = "cnmysql_"
ACCOUNT_REPLICATION: Final = "cnmysql_repl"
ACCOUNT_CONTROL: Final = "cnmysql_control"
ACCOUNT_BACKUP: Final = "cnmysql_backup"
ACCOUNT_METRICS: Final = "cnmysql_metrics"
ACCOUNT_ROOT: Final = "root"
RESERVED_SCHEMAS: Final = frozenset({"mysql", "information_schema", "performance_schema", "sys"})
DEFAULT_DATABASE: Final = "app"
DEFAULT_OWNER: Final = "app"

# Condition types of a Cluster.
CONDITION_READY: Final = "Ready"
CONDITION_PROGRESSING: Final = "Progressing"
CONDITION_DEGRADED: Final = "Degraded"
CONDITION_CERTIFICATES: Final = "CertificatesValid"

# Reasons of Events and conditions about certificates.
REASON_INVALID_CERTIFICATE: Final = "InvalidUserCertificate"
REASON_CERTIFICATE_EXPIRING: Final = "CertificateExpiring"
CONDITION_ACCOUNTS: Final = "AccountsInOrder"

# Reasons of CONDITION_ACCOUNTS, and of the Warning Events that go with all but the first.
ACCOUNTS_IN_ORDER: Final = "InOrder"
ACCOUNTS_CHANGING: Final = "PasswordsChanging"
ACCOUNTS_PENDING: Final = "AccountsPending"
ACCOUNTS_BYPASS: Final = "AccountBypassesClosing"
ACCOUNTS_MISSING: Final = "SecretMissing"
ACCOUNTS_INCOMPLETE: Final = "SecretIncomplete"
CONDITION_PARAMETERS: Final = "ParametersApplied"

# Reasons of CONDITION_PARAMETERS; the last one is also that of a Warning Event.
PARAMETERS_APPLIED: Final = "Applied"
PARAMETERS_CHANGING: Final = "ParametersChanging"
PARAMETER_REJECTED: Final = "ParameterRejected"
CONDITION_STORAGE: Final = "StoragePressure"

# Reasons of CONDITION_STORAGE, and of the Events when it comes (Warning) and goes.
STORAGE_ABOVE: Final = "AboveThreshold"
STORAGE_BELOW: Final = "BelowThreshold"
EVENT_STORAGE_PRESSURE: Final = "StoragePressure"
EVENT_STORAGE_RESOLVED: Final = "StoragePressureResolved"

# Phases of a Cluster.
PHASE_PENDING: Final = "Pending"
PHASE_PROVISIONING: Final = "Provisioning"
PHASE_READY: Final = "Ready"
PHASE_DEGRADED: Final = "Degraded"
PHASE_BLOCKED: Final = "Blocked"
PHASE_UPGRADING: Final = "Upgrading"
PHASE_DISK_FULL: Final = "DiskFull"
WARNING_PHASES: Final = frozenset({PHASE_BLOCKED, PHASE_DEGRADED, PHASE_DISK_FULL})

_INSTANCE = re.compile(r"(?P<cluster>[a-z]([-a-z0-9]*[a-z0-9])?)-(?P<ordinal>[1-9][0-9]*)")


def instance(c: str, ordinal: int) -> str:
    """Name of the instance with this ordinal (1-based): Pod, PVC and headless Service carry it."""
    return f"{c}-{ordinal}"


def ordinal(i: str) -> int:
    """Ordinal of an instance name. Raises ValueError when `i` is not `<cluster>-<positive number>`."""
    match = _INSTANCE.fullmatch(i)
    if match is None:
        raise ValueError(f"{i!r} is not an instance name")
    return int(match["ordinal"])


def is_instance_of(i: str, c: str) -> bool:
    """True when `i` names an instance of exactly this Cluster (`db-1-1` belongs to `db-1`, never to `db`)."""
    match = _INSTANCE.fullmatch(i)
    return match is not None and match["cluster"] == c


def service_rw(c: str) -> str:
    """Service that reaches the open primary only."""
    return f"{c}-rw"


def service_ro(c: str) -> str:
    """Service that reaches ready replicas only."""
    return f"{c}-ro"


def service_r(c: str) -> str:
    """Service that reaches every ready instance."""
    return f"{c}-r"


def config_map(i: str) -> str:
    """ConfigMap with the instance's my.cnf."""
    return f"{i}-config"


def trust_config_map(c: str) -> str:
    """ConfigMap with the CA bundles; Pods mount this and never a CA Secret, which holds a signing key."""
    return f"{c}-trust"


def service_account(i: str) -> str:
    """ServiceAccount of one instance."""
    return f"{i}-instance"


def instance_role(c: str) -> str:
    """Role and RoleBinding shared by the instances of one Cluster."""
    return f"{c}-instance"


def primary_lease(c: str) -> str:
    """Lease that the open primary holds."""
    return f"{c}-primary"


def network_policy(c: str) -> str:
    """NetworkPolicy of the instances, when the spec asks for one."""
    return f"{c}-mysql"


def holder_identity(i: str, pod_uid: str) -> str:
    """Identity on the primary Lease: instance and Pod uid, so a recreated Pod of the same name is a stranger."""
    return f"{i}/{pod_uid}"


def secret_root(c: str) -> str:
    return f"{c}-root"


def secret_app(c: str) -> str:
    return f"{c}-app"


def secret_backup(c: str) -> str:
    return f"{c}-backup"


def secret_control(c: str) -> str:
    return f"{c}-control"


def secret_ca(c: str) -> str:
    """CA that signs server and client leaves; holds the signing key."""
    return f"{c}-ca"


def secret_server_tls(i: str) -> str:
    return f"{i}-server-tls"


def secret_peer_tls(i: str) -> str:
    return f"{i}-peer-tls"


def secret_client_tls(c: str) -> str:
    """The operator's own identity towards instance managers; never mounted in a database Pod."""
    return f"{c}-client-tls"


def secret_replication_tls(c: str) -> str:
    return f"{c}-replication-tls"


def issuer_selfsigned(c: str) -> str:
    return f"{c}-selfsigned"


def issuer_ca(c: str) -> str:
    return f"{c}-ca"


def issuer_client_ca(c: str) -> str:
    """Issuer of client certificates where they have a CA of their own. It does not end like another issuer's name: the
    Cluster `<c>-client` has an issuer `<c>-client-ca`."""
    return f"{c}-ca-client"


def certificate_ca(c: str) -> str:
    return f"{c}-ca"


def certificate_server(i: str) -> str:
    return f"{i}-server"


def certificate_peer(i: str) -> str:
    return f"{i}-peer"


def certificate_client(c: str) -> str:
    return f"{c}-client"


def certificate_replication(c: str) -> str:
    return f"{c}-replication"


def replication_cn(c: str) -> str:
    """Common name of the replication client certificate."""
    return f"{c}-replication"


def instance_host(i: str, ns: str) -> str:
    """DNS name of one instance, covered by its server certificate and used for every connection to it."""
    return f"{i}.{ns}.svc"


def server_alt_names(c: str, i: str, ns: str) -> tuple[str, ...]:
    """DNS names of an instance's server certificate: itself and the routing Services, short to fully qualified."""
    return tuple(
        f"{name}{suffix}"
        for name in (i, service_rw(c), service_ro(c), service_r(c))
        for suffix in ("", f".{ns}", f".{ns}.svc", f".{ns}.svc.cluster.local")
    )


def operator_labels() -> dict[str, str]:
    """Labels by which the operator's own Pods are selected, as in deploy/."""
    return {LABEL_APP_NAME: PRODUCT, LABEL_CONTROL_PLANE: CONTROL_PLANE}


def labels(c: str) -> dict[str, str]:
    """Labels on every object of a Cluster."""
    return {
        LABEL_APP_NAME: PRODUCT,
        LABEL_APP_INSTANCE: c,
        LABEL_APP_COMPONENT: COMPONENT,
        LABEL_CLUSTER: c,
    }
