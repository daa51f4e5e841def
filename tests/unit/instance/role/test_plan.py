"""One table for each safety rule: what is seen, which rule answers, what is done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnmysql.protocol.report import Problem
from instance.role.actions import (
    AcquireLease,
    Action,
    AskPeers,
    CloseServer,
    ConfirmInPlace,
    ConfirmOrder,
    Disarm,
    ForgetReplication,
    KillServer,
    Leave,
    OpenServer,
    ReleaseLease,
    RenewLease,
    RestLease,
    StartReplication,
    StopReplication,
    StoreEpoch,
    WritePrimary,
)
from instance.role.outcome import remembered
from instance.role.plan import RULES, plan
from instance.role.view import LeaseFacts, Memory, MysqldFacts, Unknown, View
from tests.unit.instance.role.views import (
    NOW,
    U1,
    U2,
    asked,
    channel,
    cluster,
    gtids,
    opened,
    order,
    peer,
    primary,
    replica,
    server,
    view,
)

SHUT = (CloseServer(), Disarm())
SHUT_AND_RELEASE = (*SHUT, ReleaseLease())
HELD = LeaseFacts(NOW - 1, "", True)
GONE = "another Pod of this instance has taken over its volume"
DEAD = "the watchdog process died"
OPENING = (AcquireLease(), ConfirmOrder(3), WritePrimary(), OpenServer())
CLEAR = (Disarm(), ReleaseLease())
DOWN = view(mysqld=MysqldFacts("down", 1), server=Unknown(""), lease=LeaseFacts(NOW - 1))
IN_PLACE = (RenewLease(), ConfirmInPlace(3), OpenServer())
ELSEWHERE = cluster(current_primary="db-2")
ALONE = cluster(instances=("db-1",))
BOOTSTRAP = cluster(current_primary="", order=order(kind="bootstrap", source=""), lease_holder="")

Row = tuple[str, View, str, tuple[Action, ...]]

TABLE: tuple[Row, ...] = (
    # Leaving.
    ("replaced while open", primary(pod_replaced=True), "replaced", (*SHUT_AND_RELEASE, Leave(GONE))),
    ("replaced while closed", view(pod_replaced=True), "replaced", (Disarm(), ReleaseLease(), Leave(GONE))),
    ("watchdog dead while open", primary(watchdog_alive=False), "unguarded", (*SHUT_AND_RELEASE, Leave(DEAD))),
    ("watchdog dead on a replica", replica(watchdog_alive=False), "unguarded", (Disarm(), ReleaseLease(), Leave(DEAD))),
    # The process.
    ("undead", primary(mysqld=MysqldFacts("running", 1, undead=True)), "undead", (RestLease(),)),
    ("dead while armed", primary(mysqld=MysqldFacts("down", 1), server=Unknown("")), "dead", (Disarm(),)),
    ("down, disarmed", DOWN, "down", ()),
    (
        "down, ordered away, epoch not stored",
        replace(DOWN, cluster=cluster(order=order("db-2", epoch=4), epoch=4)),
        "new_epoch",
        (StoreEpoch(4),),
    ),
    ("down, ordered to nobody yet", replace(DOWN, cluster=cluster(order=order(""))), "clear", CLEAR),
    ("down at shutdown", replace(DOWN, stopping="closing"), "shutdown", (ReleaseLease(),)),
    ("down, called closed", replace(DOWN, close_epoch=3), "called", (ReleaseLease(),)),
    # The Lease.
    ("lost to another holder", primary(lease=LeaseFacts(None, "held by db-2/x", True)), "lease_lost", SHUT),
    ("lost, server silent", primary(
        lease=LeaseFacts(None, "held by db-2/x", True), server=Unknown("")
    ), "lease_lost", SHUT),
    ("lost while closed", view(lease=LeaseFacts(None, "it does not exist")), "in_place", (AskPeers(("db-2", "db-3")),)),
    ("late by 6 s", primary(lease=LeaseFacts(NOW - 6, "", True)), "lease_late", SHUT),
    ("late, server silent", primary(lease=LeaseFacts(NOW - 6, "", True), server=Unknown("")), "lease_late", SHUT),
    ("not late at 5.9 s", primary(lease=LeaseFacts(NOW - 5.9, "", True)), "is_open", ()),
    ("open without any hold", view(server=opened()), "lease_late", SHUT),
    ("half open without any hold", view(server=server(super_read_only=False)), "lease_late", SHUT),
    ("a replica opened by hand", replica(server=opened(channel=channel())), "lease_late", SHUT),
    ("late without knowing the Cluster", primary(
        lease=LeaseFacts(NOW - 7, "", True), cluster=Unknown("")
    ), "lease_late", SHUT),
    # Shutdown.
    ("shutdown of the primary", primary(stopping="closing"), "shutdown", SHUT_AND_RELEASE),
    ("shutdown of a replica", replica(stopping="closing"), "shutdown", (*SHUT, StopReplication())),
    ("shutdown, closed already", view(stopping="closing"), "shutdown", ()),
    ("draining keeps the primary open", primary(stopping="draining"), "draining", ()),
    ("draining opens nothing", view(stopping="draining", cluster=BOOTSTRAP), "draining", ()),
    ("draining still obeys the Lease", primary(
        stopping="draining", lease=LeaseFacts(NOW - 6, "", True)
    ), "lease_late", SHUT),
    # The call to close.
    ("called while open", primary(close_epoch=4), "called", SHUT_AND_RELEASE),
    ("called, closed, hold left", view(close_epoch=4, lease=LeaseFacts(NOW - 1)), "called", (ReleaseLease(),)),
    ("called, stays closed", view(close_epoch=3), "called", ()),
    ("called, an older order does not lift it", view(
        close_epoch=4, cluster=cluster(order=order(), epoch=3)
    ), "called", ()),
    ("called, an order of that epoch lifts it", view(
        close_epoch=3, cluster=cluster(order=order(), instances=("db-1",))
    ), "ordered", OPENING),
    ("called, somebody else is primary now", replica(close_epoch=3), "steady", ()),
    # The server.
    ("silent for 10 s", view(server=Unknown("hangs"), silent_since=NOW - 10), "hung", (KillServer(), Disarm())),
    ("silent for 9 s", view(server=Unknown("hangs"), silent_since=NOW - 9), "silent", ()),
    ("has never answered", view(server=Unknown("in recovery")), "silent", ()),
    # The Cluster.
    ("Cluster not seen", view(cluster=Unknown("")), "unseen", ()),
    ("Cluster not seen, open stays open", primary(cluster=Unknown("")), "unseen", ()),
    ("status rolled back", view(stored_epoch=4), "rolled_back", ()),
    ("status rolled back, an order in it is not obeyed", view(
        stored_epoch=4, cluster=cluster(order=order())
    ), "rolled_back", ()),
    ("status rolled back, open stays open", primary(stored_epoch=4), "rolled_back", ()),
    # Somebody else.
    ("ordered away while open", primary(cluster=cluster(order=order("db-2"))), "away", SHUT),
    (
        "ordered away before the epoch is stored",
        primary(cluster=cluster(order=order("db-2", epoch=4), epoch=4)),
        "away",
        SHUT,
    ),
    ("ordered to nobody yet while open", primary(cluster=cluster(order=order(""))), "away", SHUT),
    ("ordered away, server silent but armed", primary(
        cluster=cluster(order=order("")), server=Unknown("")
    ), "away", SHUT),
    ("ordered away, hold left", view(
        cluster=cluster(order=order("db-2")), lease=LeaseFacts(NOW - 1)
    ), "clear", CLEAR),
    ("ordered away, epoch first, hold then", view(
        cluster=cluster(order=order("db-2", epoch=4), epoch=4), lease=LeaseFacts(NOW - 1)
    ), "new_epoch", (StoreEpoch(4),)),
    ("ordered away, closed, stays so", view(cluster=cluster(order=order("db-2"))), "stays_away", ()),
    ("another primary while open", primary(cluster=ELSEWHERE), "away", SHUT),
    ("another primary, hold left", replica(lease=LeaseFacts(NOW - 1)), "clear", CLEAR),
    # The epoch.
    ("new epoch is stored before the order", view(
        cluster=cluster(order=order(epoch=4), epoch=4)
    ), "new_epoch", (StoreEpoch(4),)),
    ("new epoch on a replica", replica(stored_epoch=1), "new_epoch", (StoreEpoch(3),)),
    # Open.
    ("open and well", primary(), "is_open", ()),
    ("open, the order still stands", primary(cluster=cluster(order=order())), "is_open", ()),
    # Ordered.
    ("bootstrap", view(cluster=BOOTSTRAP), "ordered", OPENING),
    ("bootstrap with a former channel", view(
        cluster=BOOTSTRAP, server=server(channel=channel(io_running=False, sql_running=False))
    ), "ordered", (ForgetReplication(), *OPENING)),
    ("foreign data", view(cluster=replace(BOOTSTRAP, primary_uuids=frozenset({"other"}))), "ordered", ()),
    ("required transactions missing", view(
        cluster=replace(BOOTSTRAP, order=order(required=gtids("1:1-11")))
    ), "ordered", ()),
    ("required transactions there", view(
        cluster=replace(BOOTSTRAP, order=order(required=gtids("1:1-10")))
    ), "ordered", OPENING),
    ("received but not applied", view(
        cluster=BOOTSTRAP, server=server(channel=channel(retrieved=gtids("2:1")))
    ), "ordered", ()),
    ("order of another epoch than the Cluster's", view(cluster=cluster(order=order(epoch=2))), "ordered", ()),
    ("reopen asks for the tail first", view(
        cluster=cluster(order=order())
    ), "ordered", (AskPeers(("db-2", "db-3")),)),
    ("reopen with a lost tail", view(
        cluster=cluster(order=order()),
        peers=asked(db_2=peer(received=gtids("1:1-11")), db_3=Unknown("down")),
    ), "ordered", ()),
    # In place.
    ("alone", view(cluster=ALONE), "in_place", IN_PLACE),
    ("asks first", view(), "in_place", (AskPeers(("db-2", "db-3")),)),
    ("answers too old", view(
        peers=asked(at=NOW - 4, db_2=peer(), db_3=peer())
    ), "in_place", (AskPeers(("db-2", "db-3")),)),
    ("answers about an earlier start", view(
        server=server(generation=2), peers=asked(db_2=peer(), db_3=peer())
    ), "in_place", (AskPeers(("db-2", "db-3")),)),
    ("nothing lost", view(peers=asked(db_2=peer(), db_3=peer())), "in_place", IN_PLACE),
    ("one cannot be reached", view(peers=asked(db_2=peer(), db_3=Unknown("down"))), "in_place", IN_PLACE),
    ("one has its mysqld down", view(
        peers=asked(db_2=peer(received=Unknown("down")), db_3=peer())
    ), "in_place", IN_PLACE),
    ("lost tail under the own UUID", view(
        peers=asked(db_2=peer(), db_3=peer(received=gtids("1:1-11")))
    ), "in_place", ()),
    ("not again too soon after a failure", view(cluster=ALONE, memory=Memory(open_at=NOW + 1)), "in_place", ()),
    ("an order not again too soon", view(cluster=BOOTSTRAP, memory=Memory(open_at=NOW + 1)), "ordered", ()),
    ("another Pod opened last", view(cluster=cluster(lease_holder="db-1/uid-0")), "in_place", ()),
    ("unknown data", view(cluster=cluster(primary_uuids=frozenset({"other"}))), "in_place", ()),
    ("half open after a failed step", primary(
        server=server(super_read_only=False), cluster=ALONE
    ), "in_place", IN_PLACE),
)  # fmt: skip


@pytest.mark.parametrize(("seen", "rule", "actions"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_rule(seen: View, rule: str, actions: tuple[Action, ...]) -> None:
    decided = plan(seen)
    assert (decided.rule, decided.actions) == (rule, actions), decided.state


def test_every_rule_has_a_row_and_a_reason() -> None:
    covered = {row[2] for row in TABLE}
    below = {"no_primary", "untested", "diverged", "repoint", "broken", "stopped", "renewed_credentials", "serve"}
    assert {rule.decide.__name__.lstrip("_") for rule in RULES} == covered | below | {"steady"}
    assert all(rule.why for rule in RULES)


def test_a_failed_opening_is_undone() -> None:
    assert plan(view(cluster=BOOTSTRAP)).undo == (CloseServer(), Disarm(), ReleaseLease())


def test_a_failed_opening_in_place_keeps_the_hold() -> None:
    """Its clearing would be an answer to nobody; the next pass tries again or a later order says otherwise."""
    assert plan(view(cluster=ALONE)).undo == (CloseServer(), Disarm())


def test_leaving_does_not_depend_on_the_api_server() -> None:
    assert plan(primary(pod_replaced=True)).undo == (Leave(GONE),)


def test_lost_tail_is_reported_with_the_transactions() -> None:
    decided = plan(view(peers=asked(db_2=peer(received=gtids("1:1-12")), db_3=peer())))
    assert decided.memory is not None and decided.memory.problem is not None
    assert decided.memory.problem.reason == "LostTail"
    assert f"{U1}:11-12" in decided.memory.problem.message and "db-2" in decided.memory.problem.message


def test_what_an_ordered_instance_had_received_is_applied_first() -> None:
    """A volume of a former replica: nobody but the order's own rule would start its applier."""
    idle = channel(io_running=False, sql_running=False, retrieved=gtids("2:1-5"))
    decided = plan(view(cluster=BOOTSTRAP, server=server(channel=idle)))
    assert decided.actions == (StartReplication(receiver=False),)
    assert plan(view(cluster=BOOTSTRAP, server=server(channel=replace(idle, sql_running=True)))).actions == ()
    assert plan(view(cluster=BOOTSTRAP, server=server(uuid=U2, channel=idle))).actions == ()
    broken = plan(view(cluster=BOOTSTRAP, server=server(channel=replace(idle, sql_errno=1062, sql_error="twice"))))
    assert broken.memory is not None and broken.memory.problem is not None
    done = server(executed=gtids("1:1-10,2:1-5"), channel=idle)
    assert plan(view(cluster=BOOTSTRAP, server=done)).actions == (ForgetReplication(), *OPENING)


def test_a_problem_from_before_the_order_does_not_outlive_the_opening() -> None:
    """An open primary that still reported it would be taken out of service."""
    lost = Problem(reason="LostTail", message="db-2 has more")
    decided = plan(view(cluster=BOOTSTRAP, memory=Memory(problem=lost)))
    assert decided.actions == OPENING
    assert decided.memory is not None and decided.memory.problem is None


def test_an_open_primary_comes_round_in_time_to_close() -> None:
    assert plan(primary(lease=LeaseFacts(NOW - 5.5, "", True))).wake == pytest.approx(0.5)


def test_shutdown_is_settled_only_when_nothing_is_left() -> None:
    assert not plan(primary(stopping="closing")).settled
    assert plan(view(stopping="closing")).settled
    assert plan(replace(DOWN, stopping="closing", lease=LeaseFacts())).settled


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_opening_always_comes_with_the_lease_and_a_confirmation(row: Row) -> None:
    actions = plan(row[1]).actions
    if OpenServer() in actions:
        at = actions.index(OpenServer())
        before = actions[:at]
        assert AcquireLease() in before or RenewLease() in before
        assert any(isinstance(action, ConfirmOrder | ConfirmInPlace) for action in before)
        assert actions[at + 1 :] == ()


def test_openings_that_fail_are_tried_ever_more_slowly_and_success_forgets() -> None:
    memory, now, pauses = Memory(), NOW, []
    for _ in range(6):
        opening = plan(view(cluster=ALONE, memory=memory, now=now, silent_since=now))
        memory = remembered(opening, memory, now, done=False)
        pauses.append(memory.open_at - now)
        now = memory.open_at
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert remembered(opening, memory, now, done=True) == Memory()
    assert remembered(plan(primary()), memory, NOW, done=False) == memory
