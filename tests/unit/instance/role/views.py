"""Views for tables: a healthy starting point of each kind, changed by keyword."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cnmysql.mysql.gtid import GtidSet
from instance.role.view import (
    Channel,
    ClusterFacts,
    LeaseFacts,
    Me,
    Memory,
    MysqldFacts,
    Order,
    PeerFacts,
    PeerRound,
    ServerFacts,
    Unknown,
    View,
)

ME = Me(cluster="db", namespace="ns", instance="db-1", pod_uid="uid-1")
U1 = "11111111-1111-1111-1111-111111111111"
U2 = "22222222-2222-2222-2222-222222222222"
U3 = "33333333-3333-3333-3333-333333333333"
NOW = 1000.0


def gtids(text: str) -> GtidSet:
    """`1:1-5,2:7` with the servers' numbers for their UUIDs."""
    parts = [part.split(":", 1) for part in text.split(",") if part]
    return GtidSet.parse(",".join(f"{ {'1': U1, '2': U2, '3': U3}[server] }:{rest}" for server, rest in parts))


def server(**changes: Any) -> ServerFacts:
    """Booted: closed, nothing configured."""
    facts = ServerFacts(
        generation=1,
        read_at=NOW,
        version="9.7.4",
        uuid=U1,
        executed=gtids("1:1-10"),
        purged=GtidSet(),
        read_only=True,
        super_read_only=True,
        offline_mode=True,
        clients=0,
    )
    return replace(facts, **changes)


def opened(**changes: Any) -> ServerFacts:
    return server(**{"read_only": False, "super_read_only": False, "offline_mode": False, **changes})


def channel(**changes: Any) -> Channel:
    """Running, from db-2."""
    return replace(Channel("db-2.ns.svc", io_running=True, io_connecting=False, sql_running=True), **changes)


def cluster(**changes: Any) -> ClusterFacts:
    """db-1 is primary of three at epoch 3, nothing is changing."""
    facts = ClusterFacts(
        epoch=3,
        current_primary="db-1",
        order=None,
        instances=("db-1", "db-2", "db-3"),
        primary_uuids=frozenset({U1}),
        lease_holder=ME.identity,
        resource_version="100",
    )
    return replace(facts, **changes)


def order(to: str = "db-1", **changes: Any) -> Order:
    return replace(Order(epoch=3, kind="reopen", source="db-1", to=to), **changes)


def peer(**changes: Any) -> PeerFacts:
    return replace(PeerFacts(U2, executed=gtids("1:1-10"), received=gtids("1:1-10"), open=False), **changes)


def asked(own: ServerFacts | None = None, at: float = NOW, **answers: PeerFacts | Unknown) -> PeerRound:
    """Answers by instance, `db_2=...`."""
    return PeerRound(at, own or server(), {name.replace("_", "-"): answer for name, answer in answers.items()})


def view(**changes: Any) -> View:
    """The manager of db-1 right after a restart in place: closed, Lease not renewed by this process yet."""
    facts = View(
        now=NOW,
        me=ME,
        mysqld=MysqldFacts("running", 1),
        server=server(),
        silent_since=NOW,
        cluster=cluster(),
        lease=LeaseFacts(),
        stored_epoch=3,
    )
    return replace(facts, **changes)


def primary(**changes: Any) -> View:
    """The open primary with a fresh Lease."""
    return view(**{"server": opened(), "lease": LeaseFacts(NOW - 1, "", True), **changes})


def replica(**changes: Any) -> View:
    """A replica of db-2 in service."""
    facts: dict[str, Any] = {
        "cluster": cluster(current_primary="db-2", lease_holder="db-2/uid-2", primary_uuids=frozenset({U2})),
        "server": server(offline_mode=False, channel=channel()),
        "memory": Memory(tested_source="db-2", tested_generation=1, tested_at=NOW - 1),
    }
    return view(**{**facts, **changes})
