"""From what others say (API server, mysqld, peers) to the facts of a View. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmysql.mysql.gtid import GtidSet
from cnmysql.mysql.read import NotConfigured, ReplicationState, ServerState
from cnmysql.mysql.read_threads import Thread, clients
from cnmysql.protocol.report import InstanceStatus
from instance.role.view import Channel, ClusterFacts, Me, Order, PeerFacts, ServerFacts, Unknown


def cluster_facts(cluster: Mapping[str, Any]) -> ClusterFacts:
    """Our own Cluster, raw. Raises ValueError when the status holds a GTID set that is none."""
    status = cluster.get("status") or {}
    meta = cluster["metadata"]
    return ClusterFacts(
        epoch=int(status.get("epoch") or 0),
        current_primary=status.get("currentPrimary") or "",
        order=_order(status.get("roleChange")),
        instances=tuple(status.get("instanceNames") or ()),
        primary_uuids=frozenset(uuid.lower() for uuid in status.get("primaryUUIDs") or ()),
        lease_holder=status.get("leaseHolder") or "",
        resource_version=meta["resourceVersion"],
    )


def _order(change: Mapping[str, Any] | None) -> Order | None:
    if not change:
        return None
    return Order(
        epoch=int(change.get("epoch") or 0),
        kind=change.get("kind") or "",
        source=change.get("from") or "",
        to=change.get("to") or "",
        required=GtidSet.parse(change.get("requiredGTIDs") or ""),
    )


def shows_order(cluster: ClusterFacts, me: Me, epoch: int) -> bool:
    """Whether this read of the Cluster still orders us to open under exactly this epoch."""
    order = cluster.order
    return order is not None and order.to == me.instance and order.epoch == epoch == cluster.epoch


def shows_in_place(cluster: ClusterFacts, me: Me, epoch: int) -> bool:
    """Whether this read of the Cluster still has us as its primary, with nothing newer than we know."""
    return (
        cluster.order is None
        and cluster.current_primary == me.instance
        and cluster.epoch == epoch
        and cluster.lease_holder in ("", me.identity)
    )


def server_facts(
    generation: int,
    read_at: float,
    state: ServerState,
    replication: ReplicationState | NotConfigured,
    threads: tuple[Thread, ...],
) -> ServerFacts:
    """One read of the local server."""
    return ServerFacts(
        generation=generation,
        read_at=read_at,
        version=state.version_text,
        uuid=state.server_uuid,
        executed=state.gtid_executed,
        purged=state.gtid_purged,
        read_only=state.read_only,
        super_read_only=state.super_read_only,
        offline_mode=state.offline_mode,
        clients=sum(1 for thread in clients(threads) if not thread.killed),
        channel=None if isinstance(replication, NotConfigured) else _channel(replication),
        dump_threads=sum(1 for thread in threads if thread.dumping),
        uptime=state.uptime_seconds,
        tls_enabled=state.tls_enabled,
        tls_not_after=state.tls_not_after,
    )


def _channel(state: ReplicationState) -> Channel:
    return Channel(
        source_host=state.source_host,
        io_running=state.io_running,
        io_connecting=state.io_connecting,
        sql_running=state.sql_running,
        io_errno=state.io_errno,
        io_error=state.io_error,
        sql_errno=state.sql_errno,
        sql_error=state.sql_error,
        seconds_behind=state.lag_seconds,
        retrieved=state.retrieved,
    )


def peer_facts(status: InstanceStatus) -> PeerFacts | Unknown:
    """A peer's answer. Sets it did not read just now are unknown: an old answer must not prove anything."""
    if status.server_uuid is None:
        return Unknown("its mysqld does not answer")
    fresh = status.status_age_seconds <= PEER_AGE_LIMIT
    return PeerFacts(
        uuid=status.server_uuid.lower(),
        executed=_set(status.gtid_executed, fresh),
        received=_set(status.received, fresh),
        open=status.open,
    )


PEER_AGE_LIMIT = 0.5
"""`GET /status` reads mysqld for each question; an answer older than this came from before a failed read."""


def _set(text: str | None, fresh: bool) -> GtidSet | Unknown:
    if text is None or not fresh:
        return Unknown("its mysqld did not answer in time")
    return GtidSet.parse(text)
