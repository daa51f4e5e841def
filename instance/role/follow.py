"""Rules of an instance that is not the primary: be tested against the source, follow it, serve readers.

They are rows of `plan.RULES` and run below every rule that closes; here the server is known to be read-only.
"""

from __future__ import annotations

from dataclasses import replace

from cnmysql.mysql.gtid import GtidSet
from instance.role import replication, timing
from instance.role.actions import (
    AskPeers,
    CloseServer,
    Follow,
    RestartReceiver,
    Serve,
    StartReplication,
    StopReplication,
)
from instance.role.outcome import Plan
from instance.role.view import Channel, ClusterFacts, PeerFacts, PeerRound, ServerFacts, Unknown, View


def fresh_round(view: View, names: tuple[str, ...]) -> PeerRound | None:
    """The last question to exactly these instances, when its answers and our own facts in it still hold."""
    peers, server = view.peers, view.server
    if peers is None or set(peers.answers) != set(names) or view.now - peers.at > timing.PEERS_FRESH:
        return None
    if isinstance(server, Unknown) or peers.own.generation != server.generation:
        return None
    return peers


def no_primary(view: View) -> Plan | None:
    cluster, _, _ = _facts(view)
    if cluster.current_primary and cluster.current_primary != view.me.instance:
        return None
    return Plan((), "closed: the Cluster has no primary to follow")


def untested(view: View) -> Plan | None:
    """Before the first transaction of a source is applied, and now and then: do we have what it has not?"""
    cluster, server, channel = _facts(view)
    source = cluster.current_primary
    tested = view.memory.tested_source == source and view.memory.tested_generation == server.generation
    if tested and view.now - view.memory.tested_at < timing.RETEST_EVERY:
        return None
    asked = fresh_round(view, (source,))
    if asked is None:
        if not tested and channel is not None and channel.source_host != view.me.host(source) and channel.receiving:
            return Plan((StopReplication(applier=False),), f"leaving the former source for {source}", wake=0.0)
        state = _steady_state(source) if tested else f"asking {source} for its transactions"
        return Plan((AskPeers((source,)),), state, wake=0.0)
    answer = asked.answers[source]
    if isinstance(answer, Unknown) or isinstance(answer.executed, Unknown):
        if tested:
            return None
        why = answer.why if isinstance(answer, Unknown) else "its server is down"
        return Plan((), f"waiting for {source}: {why}")
    return _compared(view, asked.own, answer, answer.executed, source)


def _compared(view: View, own: ServerFacts, answer: PeerFacts, executed: GtidSet, source: str) -> Plan | None:
    extra = replication.errant(own.received, executed, answer.uuid)
    problem = replication.diverged(extra, source) if extra else None
    memory = replace(
        view.memory,
        tested_source=source,
        tested_generation=own.generation,
        tested_at=view.now,
        errant=extra,
        problem=problem,
    )
    state = f"diverged from {source}" if extra else _steady_state(source)
    return Plan((), state, memory=memory, wake=0.0)


def _steady_state(source: str) -> str:
    """Also while it is compared again: a look every 30 s is no news."""
    return f"replica of {source}"


def diverged(view: View) -> Plan | None:
    _, server, channel = _facts(view)
    if not view.memory.errant:
        return None
    if channel is not None and channel.any_running:
        return Plan((StopReplication(),), "diverged: stopping replication", wake=0.0)
    if not server.closed:
        return Plan((CloseServer(),), "diverged: leaving service", wake=0.0)
    return Plan((), "closed: diverged from the primary")


def repoint(view: View) -> Plan | None:
    cluster, server, channel = _facts(view)
    host = view.me.host(cluster.current_primary)
    if channel is not None and channel.source_host == host and not _unset(view, server, channel):
        return None
    memory = replace(view.memory, restarts=0, restart_at=0.0, configured=server.generation)
    state = f"following {cluster.current_primary}"
    if channel is None or server.executed.contains(server.received):
        return Plan((Follow(host, first=True),), state, memory=memory, wake=0.0)
    if channel.sql_running:
        return Plan((Follow(host, first=False),), state, memory=memory, wake=0.0)
    problem = replication.broken(channel)
    if problem is not None:
        return Plan((), "replication is broken", memory=replace(view.memory, problem=problem))
    # Setting the source with both threads stopped would delete what was received and not applied.
    return start(view, channel, StartReplication(receiver=False), "applying what the former source sent")


def _unset(view: View, server: ServerFacts, channel: Channel) -> bool:
    """A channel this start of mysqld found in its data and that holds nothing to lose.

    It may be the donor's, copied by a clone without its relay logs, or of an earlier release: set it anew.
    """
    untouched = view.memory.configured != server.generation and not channel.any_running
    return untouched and server.executed.contains(server.received)


def broken(view: View) -> Plan | None:
    _, _, channel = _facts(view)
    problem = replication.broken(channel) if channel is not None else None
    if problem is None:
        return None
    return Plan((), "replication is broken", memory=replace(view.memory, problem=problem))


def stopped(view: View) -> Plan | None:
    _, _, channel = _facts(view)
    if channel is None or channel.running:
        return None
    threads = StartReplication(receiver=not channel.receiving, applier=not channel.sql_running)
    return start(view, channel, threads, "starting replication")


def start(view: View, channel: Channel, threads: StartReplication, state: str) -> Plan:
    """Start these threads, ever more slowly while they do not stay up."""
    memory = view.memory
    if view.now < memory.restart_at:
        why = channel.io_error or channel.sql_error or "its threads stopped"
        return Plan((), f"replication stopped, trying again soon: {why}")
    memory = replace(
        memory,
        restarts=memory.restarts + 1,
        restart_at=view.now + timing.restart_pause(memory.restarts),
        problem=None,
    )
    return Plan((threads,), state, memory=memory, wake=0.2)


def renewed_credentials(view: View) -> Plan | None:
    if not view.credentials_changed:
        return None
    return Plan((RestartReceiver(),), "connecting to the source with the renewed certificate", wake=0.2)


def serve(view: View) -> Plan | None:
    _, server, _ = _facts(view)
    return Plan((Serve(),), "taking readers", wake=0.0) if server.offline_mode else None


def steady(view: View) -> Plan | None:
    cluster, server, channel = _facts(view)
    memory = view.memory
    healthy = channel is not None and channel.io_running
    if healthy and memory.connected != server.generation:
        memory = replace(memory, connected=server.generation)
    if healthy and (memory.restarts or memory.problem) and view.now >= memory.restart_at:
        memory = replace(memory, restarts=0, problem=None)
    return Plan((), _steady_state(cluster.current_primary), memory=memory)


def _facts(view: View) -> tuple[ClusterFacts, ServerFacts, Channel | None]:
    assert isinstance(view.cluster, ClusterFacts)
    assert isinstance(view.server, ServerFacts)
    return view.cluster, view.server, view.server.channel
