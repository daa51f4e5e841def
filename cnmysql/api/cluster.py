"""The Cluster as people write it: the typed spec, and how a stored object is read.

The CRD and the reference are generated from these models (`python -m cnmysql.api.generate`). What a value may be
beyond its type is in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from cnmysql import names
from cnmysql.api import core
from cnmysql.api.base import Default, Json, Limits, Model, Schema
from cnmysql.api.network import NetworkPolicyConfiguration
from cnmysql.api.status import ClusterStatus
from cnmysql.errors import Invalid

_DNS_NAME = rf"^(\*\.)?{core.DNS_LABEL}(\.{core.DNS_LABEL})*$"

Name = Annotated[str, Limits(min_length=1, max_length=253, pattern=core.OBJECT_NAME["pattern"])]
StringMap = Annotated[dict[str, str], Limits(max_properties=256, item_max_length=262144)]
LabelMap = Annotated[dict[str, str], Limits(max_properties=64, item_max_length=63)]


class LocalObjectReference(Model):
    """An object of the Cluster's own namespace."""

    name: Name = Field(description="Name of the object.")


class Metadata(Model):
    """Labels and annotations to add. Keys of the operator's own win over these."""

    labels: LabelMap = Field(default_factory=dict, description="Labels to add.")
    annotations: StringMap = Field(default_factory=dict, description="Annotations to add.")


class ServiceAccountTemplate(Model):
    """What the ServiceAccounts of the instances carry besides their fixed names."""

    metadata: Metadata = Field(default_factory=Metadata, description="Labels and annotations of the ServiceAccounts.")


class StorageConfiguration(Model):
    """The data volume of an instance."""

    storage_class: Annotated[str, Limits(max_length=253)] | None = Field(
        default=None,
        description="StorageClass of new volumes; the cluster's default when absent. Volumes that exist keep theirs.",
    )
    size: Annotated[str, Limits(max_length=64)] | None = Field(
        default=None, description="Requested size, for example 10Gi. It may grow, never shrink."
    )
    pvc_template: Annotated[Json, Schema(core.CLAIM_SPEC)] | None = Field(
        default=None,
        description="Base of the volume claims, a PersistentVolumeClaimSpec; size and storageClass override it.",
    )
    when_deleted: Literal["Retain", "Delete"] = Field(
        default="Retain", description="What happens to the volumes when the Cluster is deleted."
    )


class Affinity(Model):
    """Where instances run."""

    enable_pod_anti_affinity: bool = Field(default=True, description="Keep instances of the Cluster apart.")
    topology_key: Annotated[str, Limits(min_length=1, max_length=317)] = Field(
        default="kubernetes.io/hostname", description="Node label whose values the instances are spread over."
    )
    pod_anti_affinity_type: Literal["preferred", "required"] = Field(
        default="preferred", description="required: an instance waits rather than share a node with another one."
    )
    node_selector: LabelMap = Field(default_factory=dict, description="Node labels the instances need.")
    node_affinity: Annotated[Json, Schema(core.NODE_AFFINITY)] | None = Field(
        default=None, description="Node affinity of the Pods, a core/v1 NodeAffinity."
    )
    tolerations: list[Annotated[Json, Schema(core.TOLERATION)]] = Field(
        default_factory=list, description="Tolerations of the Pods."
    )
    additional_pod_affinity: Annotated[Json, Schema(core.POD_AFFINITY)] | None = Field(
        default=None, description="Pod affinity of the Pods, a core/v1 PodAffinity."
    )
    additional_pod_anti_affinity: Annotated[Json, Schema(core.POD_AFFINITY)] | None = Field(
        default=None, description="Added to the generated anti-affinity, or instead of it when that is switched off."
    )


class MySQLConfiguration(Model):
    """Settings of mysqld."""

    parameters: Annotated[dict[str, str], Limits(max_properties=256, item_max_length=4096)] = Field(
        default_factory=dict,
        description="Settings of the [mysqld] section. Those the operator manages are refused.",
    )
    binlog_format: Literal["ROW", "STATEMENT", "MIXED"] = Field(default="ROW", description="Format of the binary log.")


class BootstrapInitDB(Model):
    """A new, empty database server."""

    database: Annotated[str, Limits(max_length=64)] = Field(
        default="", description="Application database to create; none when absent."
    )
    owner: Annotated[str, Limits(max_length=32)] = Field(
        default="", description="Account with all rights on the application database; app when absent."
    )
    secret: LocalObjectReference | None = Field(
        default=None, description="Secret with username and password of the owner; generated when absent."
    )
    post_init_sql: Annotated[list[str], Limits(max_items=256, item_pattern=r"[^\s;]", item_max_length=65536)] = Field(
        default_factory=list, alias="postInitSQL", description="Statements run as root, in order, after initialisation."
    )
    character_set: Annotated[str, Limits(max_length=64)] = Field(
        default="", description="Character set of the application database."
    )
    collation: Annotated[str, Limits(max_length=64)] = Field(
        default="", description="Collation of the application database."
    )

    @model_validator(mode="before")
    @classmethod
    def _owner_of_database(cls, value: object) -> object:
        if isinstance(value, Mapping) and value.get("database") and not value.get("owner"):
            return {**value, "owner": names.DEFAULT_OWNER}
        return value


def _default_initdb() -> BootstrapInitDB:
    return BootstrapInitDB(database=names.DEFAULT_DATABASE, owner=names.DEFAULT_OWNER)


class Bootstrap(Model):
    """How the first instance gets its data. Read once, when the Cluster is new."""

    initdb: Annotated[BootstrapInitDB, Default({"database": names.DEFAULT_DATABASE, "owner": names.DEFAULT_OWNER})] = (
        Field(default_factory=_default_initdb, description="Start with a new, empty server.")
    )


class CertificatesConfiguration(Model):
    """TLS of the Cluster. Each Secret is optional; what is not named is generated by cert-manager."""

    server_ca_secret: Name | None = Field(
        default=None,
        alias="serverCASecret",
        description="Secret with the CA that server certificates are checked against (ca.crt); with tls.crt and "
        "tls.key it signs the generated ones.",
    )
    server_tls_secret: Name | None = Field(
        default=None,
        alias="serverTLSSecret",
        description="Secret of type kubernetes.io/tls with one server certificate for all instances; it must cover "
        "<instance>.<namespace>.svc of each.",
    )
    client_ca_secret: Name | None = Field(
        default=None,
        alias="clientCASecret",
        description="Secret with the CA that client certificates are checked against (ca.crt); with tls.crt and "
        "tls.key it signs the generated ones. The server CA when absent.",
    )
    replication_tls_secret: Name | None = Field(
        default=None,
        alias="replicationTLSSecret",
        description="Secret of type kubernetes.io/tls with the client certificate of replication.",
    )
    operator_tls_secret: Name | None = Field(
        default=None,
        alias="operatorTLSSecret",
        description="Secret of type kubernetes.io/tls with the operator's client certificate, whose common name is "
        "cnmysql-operator. It is never mounted in a database Pod.",
    )
    server_alt_dns_names: Annotated[list[str], Limits(max_items=64, item_pattern=_DNS_NAME, item_max_length=253)] = (
        Field(
            default_factory=list,
            alias="serverAltDNSNames",
            description="DNS names to add to the generated server certificates.",
        )
    )


class ClusterSpec(Model):
    """The wanted state of a MySQL cluster."""

    description: Annotated[str, Limits(max_length=4096)] = Field(
        default="", description="Free text for people; it changes nothing."
    )
    inherited_metadata: Metadata = Field(
        default_factory=Metadata, description="Labels and annotations copied to every object made for the Cluster."
    )
    image_name: Annotated[str, Limits(min_length=1, max_length=512)] = Field(
        default=names.DEFAULT_MYSQL_IMAGE,
        description="MySQL image of the instances. Moving to another release series is refused.",
    )
    image_pull_policy: Literal["Always", "Never", "IfNotPresent"] | None = Field(
        default=None, description="Pull policy of the containers that run the MySQL image."
    )
    image_pull_secrets: Annotated[list[LocalObjectReference], Limits(max_items=32)] = Field(
        default_factory=list, description="Secrets with which images are pulled."
    )
    instances: Annotated[int, Limits(format="int32")] = Field(
        default=1, ge=1, le=100, description="Number of instances: one primary, the others replicas."
    )
    storage: StorageConfiguration = Field(description="Data volume of each instance.")
    root_password_secret: LocalObjectReference | None = Field(
        default=None, description="Secret whose key password is the root password; generated when absent."
    )
    enable_superuser_access: bool = Field(
        default=False, description="Let root log in over the network, with rights that cannot break replication."
    )
    resources: Annotated[Json, Schema(core.RESOURCES)] = Field(
        default_factory=dict, description="Requests and limits of the mysql container and its init containers."
    )
    priority_class_name: Annotated[str, Limits(max_length=253)] | None = Field(
        default=None, description="PriorityClass of the Pods."
    )
    scheduler_name: Annotated[str, Limits(max_length=253)] | None = Field(
        default=None, description="Scheduler of the Pods."
    )
    topology_spread_constraints: list[Annotated[Json, Schema(core.SPREAD)]] = Field(
        default_factory=list, description="Topology spread constraints of the Pods."
    )
    affinity: Affinity = Field(default_factory=Affinity, description="Where instances run.")
    env: Annotated[list[Annotated[Json, Schema(core.ENV_VAR)]], Limits(max_items=256)] = Field(
        default_factory=list, description="More environment variables of the mysql container."
    )
    env_from: Annotated[list[Annotated[Json, Schema(core.ENV_FROM)]], Limits(max_items=64)] = Field(
        default_factory=list, description="More sources of environment variables of the mysql container."
    )
    pod_security_context: Annotated[Json, Schema(core.POD_SECURITY)] | None = Field(
        default=None, description="Merged field by field over the restricted default of the Pods."
    )
    security_context: Annotated[Json, Schema(core.CONTAINER_SECURITY)] | None = Field(
        default=None, description="Merged field by field over the restricted default of every container."
    )
    service_account_template: ServiceAccountTemplate = Field(
        default_factory=ServiceAccountTemplate, description="Metadata of the instances' ServiceAccounts."
    )
    log_level: Literal["error", "warning", "info", "debug", "trace"] = Field(
        default="info", description="What the instance managers log."
    )
    max_start_delay: Annotated[int, Limits(format="int32")] = Field(
        default=3600,
        ge=1,
        description="Seconds from the start of its container until mysqld must answer, crash recovery included. If "
        "it does not, the container is killed and recovery begins anew: allow for the longest.",
    )
    max_stop_delay: Annotated[int, Limits(format="int32")] = Field(
        default=1800, ge=1, description="Seconds an instance may take to stop before it is killed."
    )
    smart_shutdown_timeout: Annotated[int, Limits(format="int32")] = Field(
        default=180,
        ge=0,
        description="Seconds of maxStopDelay given to a graceful stop; half of maxStopDelay when not smaller than it.",
    )
    mysql: MySQLConfiguration = Field(default_factory=MySQLConfiguration, description="Settings of mysqld.")
    bootstrap: Annotated[Bootstrap, Default({})] = Field(
        default_factory=Bootstrap, description="How the first instance gets its data."
    )
    certificates: CertificatesConfiguration = Field(
        default_factory=CertificatesConfiguration, description="TLS of the Cluster."
    )
    network_policy: NetworkPolicyConfiguration = Field(
        default_factory=NetworkPolicyConfiguration, description="Who may connect to the instances."
    )

    @property
    def graceful_stop_seconds(self) -> int:
        """The share of maxStopDelay that a graceful stop gets."""
        if self.smart_shutdown_timeout >= self.max_stop_delay:
            return self.max_stop_delay // 2
        return self.smart_shutdown_timeout


class Cluster(Model):
    """A MySQL cluster: one primary and its replicas."""

    metadata: Json = Field(default_factory=dict)
    spec: ClusterSpec
    status: ClusterStatus = Field(default_factory=ClusterStatus)

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        return str(self.metadata["namespace"])

    @property
    def uid(self) -> str:
        return str(self.metadata["uid"])


def parse(obj: Mapping[str, Any]) -> Cluster:
    """A stored Cluster as a model. Raises Invalid naming every malformed field; retry when the object changed."""
    try:
        return Cluster.model_validate(obj)
    except ValidationError as error:
        raise Invalid(_describe(error, ())) from error


def parse_spec(obj: Mapping[str, Any]) -> ClusterSpec:
    """Only the spec of a stored Cluster: a malformed status does not matter. Raises Invalid as `parse`."""
    try:
        return ClusterSpec.model_validate(obj.get("spec"))
    except ValidationError as error:
        raise Invalid(_describe(error, ("spec",))) from error


def _describe(error: ValidationError, prefix: tuple[str, ...]) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in (*prefix, *problem['loc']))}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )
