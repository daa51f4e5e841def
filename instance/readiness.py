"""The three probe questions, answered from a snapshot. Pure.

Liveness has one reason to fail: the manager should have closed or killed mysqld and could not. An API server that is
away, a mysqld that is down, a long crash recovery never fail it.
"""

from __future__ import annotations

from dataclasses import dataclass

from instance.role.view import ServerFacts, Unknown


@dataclass(frozen=True)
class Condition:
    """What the probes are judged on.

    `silent`: seconds since the server answered. `primary`: the Cluster names us. `problem`: why we keep out of service.
    """

    server: ServerFacts | Unknown
    primary: bool
    undead: bool = False
    silent: float = 0.0
    problem: str = ""
    connected: bool = True
    """The receiver has been connected since mysqld started: a replica that lost its source keeps serving reads, one
    that never had it would serve data of unknown age."""


SILENCE_LIMIT = 3.0
"""A server that is slow to answer for less than this stays in service."""


def not_live(condition: Condition) -> str:
    """Why /livez fails; empty when it passes."""
    return "mysqld was killed and does not die" if condition.undead else ""


def not_started(condition: Condition) -> str:
    """Why /startupz fails; empty when mysqld has answered. The first start in a container has `maxStartDelay` for it,
    its crash recovery included; a later one in the same container is not bounded by any probe."""
    return condition.server.why if isinstance(condition.server, Unknown) else ""


def not_ready(condition: Condition) -> str:
    """Why /readyz fails; empty when clients may be routed here."""
    server = condition.server
    if isinstance(server, Unknown):
        return server.why
    if condition.silent > SILENCE_LIMIT:
        return f"mysqld has not answered for {condition.silent:.0f} s"
    if not server.tls_enabled:
        return "mysqld serves without TLS: its certificate cannot be used"
    if condition.problem:
        return condition.problem
    if server.offline_mode:
        return "closed"
    if condition.primary:
        return "" if server.open else "the primary is not open"
    channel = server.channel
    if channel is None:
        return "no source to follow"
    if not channel.receiving:
        return f"the receiver is stopped: {channel.io_error or 'not started'}"
    if not channel.io_running and not condition.connected:
        return f"connecting to the source: {channel.io_error or 'not connected yet'}"
    if not channel.sql_running:
        return f"the applier is stopped: {channel.sql_error or 'not started'}"
    return ""
