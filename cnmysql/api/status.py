"""What the product reports about a Cluster. Everything is optional: an object may be older than the operator.

The operator writes every field except `currentPrimary` and its timestamp, which the instance that opens writes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cnmysql.api.base import Limits, Model

Epoch = Annotated[int, Limits(format="int64")]
Timestamp = Annotated[str, Limits(format="date-time")]


class RoleChange(Model):
    """The only order instances obey. Absent at rest."""

    epoch: Epoch = Field(default=0, description="Epoch of this order.")
    kind: Literal["bootstrap", "reopen"] = Field(description="What is being done.")
    source: str = Field(default="", alias="from", description="Primary before the change.")
    to: str = Field(default="", description="Instance ordered to open; empty while nobody may.")
    required_gtids: str = Field(
        default="", alias="requiredGTIDs", description="Transactions that instance must have before it opens."
    )
    stage: str = Field(default="", description="How far the change is.")
    reason: str = Field(default="", description="Why it was ordered.")
    since: Timestamp | None = Field(default=None, description="When it was ordered.")


class Provisioning(Model):
    """Progress of an instance whose volume is being filled."""

    stage: str = Field(default="", description="What is being done.")
    bytes_done: Annotated[int, Limits(format="int64")] | None = Field(default=None, description="Bytes copied.")
    bytes_total: Annotated[int, Limits(format="int64")] | None = Field(default=None, description="Bytes to copy.")
    donor: str | None = Field(default=None, description="Instance copied from.")
    updated_at: Timestamp | None = Field(default=None, description="When these numbers were written.")


class CertificatesStatus(Model):
    """Certificates in use."""

    server_ca_secret: str | None = Field(
        default=None, alias="serverCASecret", description="CA that signs the server certificates."
    )
    server_tls_secret: str | None = Field(
        default=None, alias="serverTLSSecret", description="Server certificate shared by all instances, if any."
    )
    client_ca_secret: str | None = Field(
        default=None, alias="clientCASecret", description="CA that client certificates are checked against."
    )
    replication_tls_secret: str | None = Field(
        default=None, alias="replicationTLSSecret", description="Client certificate of replication."
    )
    operator_tls_secret: str | None = Field(
        default=None, alias="operatorTLSSecret", description="Client certificate of the operator."
    )
    server_alt_dns_names: list[str] = Field(
        default_factory=list, alias="serverAltDNSNames", description="Additional names in server certificates."
    )
    expirations: dict[str, str] = Field(default_factory=dict, description="Secret name to end of validity.")


class Condition(Model):
    """A standard condition."""

    type: Annotated[str, Limits(max_length=316)] = Field(description="Type of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Annotated[str, Limits(max_length=1024, min_length=1)] = Field(description="Why, in one word.")
    message: Annotated[str, Limits(max_length=32768)] = Field(default="", description="Why, for people.")
    observed_generation: Annotated[int, Limits(format="int64")] | None = Field(
        default=None, description="Generation of the spec that was judged."
    )
    last_transition_time: Timestamp = Field(description="When the status last changed.")


class ClusterStatus(Model):
    """The observed state of a MySQL cluster."""

    instances: int = Field(default=0, description="Instances that exist.")
    ready_instances: int = Field(default=0, description="Instances that are ready.")
    label_selector: str = Field(default="", description="Selector of the Pods, for the scale subresource.")
    instance_names: list[str] = Field(default_factory=list, description="Instance names in ordinal order.")
    current_primary: str = Field(default="", description="Acting primary, written by the instance that opens.")
    current_primary_timestamp: Timestamp | None = Field(default=None, description="When it took over.")
    epoch: Epoch = Field(default=0, description="Raised by one by every role change.")
    role_change: RoleChange | None = Field(default=None, description="The role change under way; absent at rest.")
    lease_holder: str = Field(default="", description="Instance and Pod uid that last opened.")
    primary_uuids: list[str] = Field(
        default_factory=list, alias="primaryUUIDs", description="Server UUIDs that ever were primary."
    )
    diverged_instances: list[str] = Field(
        default_factory=list, description="Instances with transactions the primary does not have."
    )
    failed_instances: list[str] = Field(default_factory=list, description="Instances whose Pod keeps failing.")
    replication_broken_instances: list[str] = Field(
        default_factory=list, description="Replicas whose replication stopped with an error."
    )
    resizing_pvc: list[str] = Field(
        default_factory=list, alias="resizingPVC", description="Volume claims that are being grown."
    )
    latest_generated_node: int = Field(default=0, description="Highest ordinal ever used.")
    established_at: Timestamp | None = Field(default=None, description="When all instances were ready first.")
    phase: str = Field(default="", description="Where the Cluster is in its life.")
    phase_reason: str = Field(default="", description="Why it is in this phase.")
    image: str = Field(default="", description="Image the instances run.")
    gtid_executed_by_instance: dict[str, str] = Field(
        default_factory=dict, description="Executed transactions of each instance, now and then."
    )
    gtid_executed_updated_at: Timestamp | None = Field(default=None, description="When they were written.")
    executable_hash_by_instance: dict[str, str] = Field(
        default_factory=dict, description="Digest of the runtime each instance manager runs."
    )
    operator_executable_hash: str = Field(default="", description="Digest of the operator's own runtime.")
    certificates: CertificatesStatus = Field(default_factory=CertificatesStatus, description="Certificates in use.")
    provisioning: dict[str, Provisioning] = Field(
        default_factory=dict, description="Progress of instances whose volume is being filled."
    )
    observed_generation: Annotated[int, Limits(format="int64")] | None = Field(
        default=None, description="Generation of the spec this status is about."
    )
    conditions: Annotated[list[Condition], Limits(list_type="map", map_key="type")] = Field(
        default_factory=list, description="Standard conditions."
    )
