"""What a pass that changes nothing about the role is good for: writing accounts on a server that is not open.

The role owns the server's flags, so this never happens between two steps of a change, only when a rule has come to
the end of what it wanted. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from instance.role.actions import Action, ChangeAccounts, Disarm, KillServer
from instance.role.outcome import Plan
from instance.role.view import ServerFacts, Unknown, View


def used(view: View, decided: Plan) -> Plan:
    """The plan itself, or with the accounts taken care of."""
    if view.accounts == "nothing" or decided.actions or not _at_rest(view):
        return decided
    if view.accounts == "start" and isinstance(view.server, Unknown):
        # It has booted closed and never let us in: nobody is served, and its next start sets our account.
        return _with(decided, (KillServer(), Disarm()), "starting mysqld again: it refuses our login")
    server = view.server
    if view.accounts == "change" and isinstance(server, ServerFacts) and server.super_read_only:
        return _with(decided, (ChangeAccounts(),), decided.state)
    return decided


def _at_rest(view: View) -> bool:
    """Running, not on its way down, and without a permission to write that somebody would have to watch over."""
    return view.mysqld.state == "running" and view.stopping == "no" and not view.lease.armed and not view.lease.held


def _with(decided: Plan, actions: tuple[Action, ...], state: str) -> Plan:
    return replace(decided, actions=actions, state=state, wake=0.0)
