"""When the role loop lets accounts be written, and when it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cnmysql.mysql.gtid import GtidSet
from instance.role import idle
from instance.role.actions import ChangeAccounts, CloseServer, Disarm, KillServer
from instance.role.outcome import Plan
from instance.role.view import LeaseFacts, Me, MysqldFacts, ServerFacts, Unknown, View

SERVER = ServerFacts(
    generation=1, read_at=1.0, version="9.7.4", uuid="u", executed=GtidSet(), purged=GtidSet(),
    read_only=True, super_read_only=True, offline_mode=False, clients=0,
)  # fmt: skip
REST = Plan((), "replica of db-1")


def view(**changes: Any) -> View:
    found = View(
        now=1.0, me=Me("db", "ns", "db-2", "p"), mysqld=MysqldFacts("running", 1), server=SERVER, silent_since=1.0,
        cluster=Unknown("x"), lease=LeaseFacts(), stored_epoch=1, accounts="change",
    )  # fmt: skip
    return replace(found, **changes)


def test_a_pass_at_rest_writes_accounts() -> None:
    used = idle.used(view(), REST)
    assert used.actions == (ChangeAccounts(),) and used.state == REST.state and used.wake == 0.0
    assert idle.used(view(server=replace(SERVER, offline_mode=True)), REST).actions == (ChangeAccounts(),)


@pytest.mark.parametrize(
    "changes",
    [
        {"accounts": "nothing"},
        {"stopping": "draining"},
        {"stopping": "closing"},
        {"mysqld": MysqldFacts("down")},
        {"lease": LeaseFacts(sent=1.0)},
        {"lease": LeaseFacts(armed=True)},
        {"server": Unknown("silent")},
        {"server": replace(SERVER, super_read_only=False)},
        {"server": replace(SERVER, super_read_only=False, read_only=False)},
        {"accounts": "start"},
    ],
)
def test_and_at_no_other_time(changes: dict[str, Any]) -> None:
    assert idle.used(view(**changes), REST) == REST


def test_a_pass_that_does_something_is_left_alone() -> None:
    busy = Plan((CloseServer(),), "closing")
    assert idle.used(view(), busy) == busy


def test_a_server_that_refuses_us_and_never_opened_is_started_again() -> None:
    used = idle.used(view(accounts="start", server=Unknown("refused")), REST)
    assert used.actions == (KillServer(), Disarm())
    assert idle.used(view(accounts="start", server=Unknown("refused"), lease=LeaseFacts(armed=True)), REST) == REST
