"""Carries out a role plan: one method of an edge per action. Decides nothing; the first failure stops the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from cnmysql import log
from cnmysql.clock import Clock, rfc3339
from cnmysql.errors import CnmysqlError, Refused, Terminal
from cnmysql.kube.client import Client
from cnmysql.kube.resources import CLUSTERS
from instance.lease import Keeper
from instance.role import actions as a
from instance.role import timing
from instance.role.epoch import EpochFile
from instance.role.facts import cluster_facts, shows_in_place, shows_order
from instance.role.outcome import Plan
from instance.role.view import AccountsNeed, ClusterFacts, Me, PeerFacts, Unknown
from instance.server import LocalServer

_log = log.get("role")
CALL_SECONDS = 2.0
PEERS_SECONDS = 1.5
STORE_SECONDS = 2.0


class Peers(Protocol):
    """Asks other instances for their status."""

    async def ask(self, instance: str, *, timeout: float) -> PeerFacts | Unknown: ...


class Accounts(Protocol):
    """Keeps the server's accounts; `change` writes them while the server is not open."""

    @property
    def need(self) -> AccountsNeed: ...

    async def change(self) -> None: ...


class Leaving(Terminal):
    """The plan ends the manager; the text says why."""


@dataclass
class Edges:
    """Everything a plan can touch."""

    me: Me
    client: Client
    clock: Clock
    server: LocalServer
    keeper: Keeper
    epochs: EpochFile
    peers: Peers
    accounts: Accounts
    answered: Callable[[dict[str, PeerFacts | Unknown]], None]
    """Told what a question to the peers brought."""
    alive: Callable[[], None]
    """Told before each step: a role loop inside a bounded step is not stuck."""
    confirmed: str = field(default="", init=False)
    """Version of the Cluster that the last ConfirmOrder read."""


async def apply(plan: Plan, edges: Edges) -> bool:
    """Do the plan. False when an action failed; then `undo` was done, up to the first of its steps that failed too.

    A hold is never cleared, nor the watchdog disarmed, when the close before it failed. Raises Leaving when the plan
    says so.
    """
    try:
        for action in plan.actions:
            await _perform(action, edges)
    except Leaving:
        raise
    except CnmysqlError as error:
        _log.warning("a role step failed", step=type(action).__name__, rule=plan.rule, error=str(error))
        for step in plan.undo:
            try:
                await _perform(step, edges)
            except Leaving:
                raise
            except CnmysqlError as failure:
                _log.error("undoing failed", step=type(step).__name__, error=str(failure))
                break
        return False
    return True


async def _perform(action: a.Action, edges: Edges) -> None:
    edges.alive()
    await _PERFORM[type(action)](action, edges)


async def _store_epoch(action: a.StoreEpoch, edges: Edges) -> None:
    # A hung volume must not hold up the loop that has to close the server.
    try:
        async with asyncio.timeout(STORE_SECONDS):
            await asyncio.to_thread(edges.epochs.store, action.epoch)
    except (TimeoutError, OSError) as error:
        raise Refused(f"the epoch cannot be stored: {error}") from error


async def _confirm_order(action: a.ConfirmOrder, edges: Edges) -> None:
    edges.confirmed = ""
    facts = await read_cluster(edges)
    if not shows_order(facts, edges.me, action.epoch):
        raise Refused(f"the Cluster no longer orders this instance to open under epoch {action.epoch}")
    edges.confirmed = facts.resource_version


async def _confirm_in_place(action: a.ConfirmInPlace, edges: Edges) -> None:
    if not shows_in_place(await read_cluster(edges), edges.me, action.epoch):
        raise Refused("the Cluster no longer has this instance as its primary")


async def read_cluster(edges: Edges) -> ClusterFacts:
    """A consistent read. Raises Refused when its status cannot be understood."""
    raw = await edges.client.get(CLUSTERS, edges.me.namespace, edges.me.cluster, timeout=CALL_SECONDS)
    try:
        return cluster_facts(raw)
    except ValueError as error:
        raise Refused(f"the Cluster's status cannot be understood: {error}") from error


async def _write_primary(_: a.WritePrimary, edges: Edges) -> None:
    if not edges.confirmed:
        raise Refused("no confirmed order to write currentPrimary for")
    version, edges.confirmed = edges.confirmed, ""
    status = {"currentPrimary": edges.me.instance, "currentPrimaryTimestamp": rfc3339(edges.clock.now())}
    await edges.client.merge_patch(
        CLUSTERS,
        edges.me.namespace,
        edges.me.cluster,
        {"status": status},
        resource_version=version,
        subresource="status",
        timeout=CALL_SECONDS,
    )


async def _open(_: a.OpenServer, edges: Edges) -> None:
    def permitted() -> bool:
        facts = edges.keeper.facts
        fresh = facts.sent is not None and edges.clock.boottime() - facts.sent < timing.CLOSE_AFTER
        return facts.held and facts.armed and fresh

    if not permitted():
        raise Refused("the primary Lease is not held freshly enough to open")
    await edges.server.open(permitted)
    _log.info("opened", instance=edges.me.instance)


async def _ask(action: a.AskPeers, edges: Edges) -> None:
    answers = await asyncio.gather(*(edges.peers.ask(name, timeout=PEERS_SECONDS) for name in action.instances))
    edges.answered(dict(zip(action.instances, answers, strict=True)))


async def _leave(action: a.Leave, edges: Edges) -> None:
    raise Leaving(action.reason)


def _disarm(_: a.Disarm, edges: Edges) -> Awaitable[None]:
    edges.keeper.disarm()
    return _done()


def _rest(_: a.RestLease, edges: Edges) -> Awaitable[None]:
    edges.keeper.rest()
    return _done()


async def _done() -> None:
    return None


_PERFORM: dict[type, Callable[..., Awaitable[None]]] = {
    a.StoreEpoch: _store_epoch,
    a.AcquireLease: lambda _, e: e.keeper.acquire(),
    a.RenewLease: lambda _, e: e.keeper.renew(),
    a.ReleaseLease: lambda _, e: e.keeper.release(),
    a.RestLease: _rest,
    a.Disarm: _disarm,
    a.ConfirmOrder: _confirm_order,
    a.ConfirmInPlace: _confirm_in_place,
    a.WritePrimary: _write_primary,
    a.OpenServer: _open,
    a.CloseServer: lambda _, e: e.server.close(),
    a.KillServer: lambda _, e: e.server.kill(),
    a.Serve: lambda _, e: e.server.serve_readers(),
    a.AskPeers: _ask,
    a.Follow: lambda x, e: e.server.follow(x.host, first=x.first),
    a.StartReplication: lambda x, e: e.server.start_replication(receiver=x.receiver, applier=x.applier),
    a.StopReplication: lambda x, e: e.server.stop_replication(receiver=x.receiver, applier=x.applier),
    a.ForgetReplication: lambda _, e: e.server.forget_replication(),
    a.RestartReceiver: lambda _, e: e.server.restart_receiver(),
    a.ChangeAccounts: lambda _, e: e.accounts.change(),
    a.Leave: _leave,
}
