"""Tables of an instance that is not primary: compared with the source, pointed at it, restarted with care, serving."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnmysql.mysql.gtid import GtidSet
from instance.role import timing
from instance.role.actions import (
    Action,
    AskPeers,
    CloseServer,
    Follow,
    RestartReceiver,
    Serve,
    StartReplication,
    StopReplication,
)
from instance.role.plan import plan
from instance.role.view import Memory, PeerFacts, Unknown, View
from tests.unit.instance.role.views import NOW, U2, asked, channel, cluster, gtids, peer, replica, server, view

HOST = "db-2.ns.svc"
TESTED = Memory(tested_source="db-2", tested_generation=1, tested_at=NOW - 1)
CLOSED = server(offline_mode=True)
STOPPED = channel(io_running=False, sql_running=False)
OTHER = channel(source_host="db-3.ns.svc")
SOURCE = PeerFacts(U2, executed=gtids("1:1-10,2:1-5"), received=gtids("1:1-10,2:1-5"), open=True)
PURGED = STOPPED.__class__(
    HOST, False, False, True, io_errno=13114, io_error="Got fatal error 1236 ... purged required binary logs"
)
AHEAD = replace(PURGED, io_error="Got fatal error 1236: 'Replica has more GTIDs than the source has'")
SAME_ID = replace(PURGED, io_errno=13117, io_error="equal MySQL server ids")
DUPLICATE = channel(sql_running=False, sql_errno=1062, sql_error="Duplicate entry '1'")
DEADLOCK = channel(sql_running=False, sql_errno=1213, sql_error="Deadlock found")
LOST = channel(io_running=False, io_errno=2003, io_error="Can't connect")

Row = tuple[str, View, str, tuple[Action, ...]]
TABLE: tuple[Row, ...] = (
    # Nobody to follow.
    ("no primary yet", view(cluster=cluster(current_primary="")), "no_primary", ()),
    # Compared first.
    ("a fresh boot asks first", replica(server=CLOSED, memory=Memory()), "untested", (AskPeers(("db-2",)),)),
    ("source does not answer", replica(
        server=CLOSED, memory=Memory(), peers=asked(db_2=Unknown("refused"))
    ), "untested", ()),
    ("source has its mysqld down", replica(
        server=CLOSED, memory=Memory(), peers=asked(db_2=replace(SOURCE, executed=Unknown("down")))
    ), "untested", ()),
    ("answer of somebody else", replica(
        server=CLOSED, memory=Memory(), peers=asked(db_3=peer())
    ), "untested", (AskPeers(("db-2",)),)),
    ("contained", replica(server=CLOSED, memory=Memory(), peers=asked(db_2=SOURCE)), "untested", ()),
    ("a new start of mysqld is compared anew", replica(
        server=replace(CLOSED, generation=2), peers=asked(db_2=SOURCE)
    ), "untested", (AskPeers(("db-2",)),)),
    ("the receiver leaves the former source first", replica(
        server=server(channel=OTHER, offline_mode=False), memory=Memory(tested_source="db-3", tested_generation=1)
    ), "untested", (StopReplication(applier=False),)),
    ("steady, compared again after 30 s", replica(
        memory=replace(TESTED, tested_at=NOW - 31)
    ), "untested", (AskPeers(("db-2",)),)),
    ("steady, source away: keeps replicating", replica(
        memory=replace(TESTED, tested_at=NOW - 31), peers=asked(db_2=Unknown("refused"))
    ), "steady", ()),
    # Diverged.
    ("diverged stops replication", replica(
        memory=replace(TESTED, errant=gtids("3:1"))
    ), "diverged", (StopReplication(),)),
    ("diverged leaves service", replica(
        server=server(offline_mode=False, channel=STOPPED), memory=replace(TESTED, errant=gtids("3:1"))
    ), "diverged", (CloseServer(),)),
    ("diverged stays closed", replica(
        server=server(channel=STOPPED), memory=replace(TESTED, errant=gtids("3:1"))
    ), "diverged", ()),
    # Pointed at the source.
    ("first time", replica(server=CLOSED, memory=TESTED), "repoint", (Follow(HOST, first=True),)),
    ("former primary without relay log", replica(
        server=server(channel=channel(source_host="db-3.ns.svc", io_running=False))
    ), "repoint", (Follow(HOST, first=True),)),
    ("unapplied transactions survive the change", replica(
        server=server(channel=channel(source_host="db-3.ns.svc", io_running=False, retrieved=gtids("2:1-3")))
    ), "repoint", (Follow(HOST, first=False),)),
    ("unapplied and the applier down: applier first", replica(
        server=server(channel=replace(STOPPED, source_host="db-3.ns.svc", retrieved=gtids("2:1-3")))
    ), "repoint", (StartReplication(receiver=False),)),
    ("unapplied and the applier broken: nothing is thrown away", replica(
        server=server(channel=replace(DUPLICATE, source_host="db-3.ns.svc", retrieved=gtids("2:1-3")))
    ), "repoint", ()),
    ("a channel found at boot, nothing to lose: set anew", replica(
        server=server(channel=STOPPED)
    ), "repoint", (Follow(HOST, first=True),)),
    # Broken for good.
    ("purged", replica(server=server(channel=PURGED)), "broken", ()),
    ("ahead of the source", replica(server=server(channel=AHEAD)), "broken", ()),
    ("equal server ids", replica(server=server(channel=SAME_ID)), "broken", ()),
    ("duplicate key", replica(server=server(channel=DUPLICATE)), "broken", ()),
    # Stopped for a passing reason.
    ("booted with unapplied transactions", replica(
        server=server(channel=replace(STOPPED, retrieved=gtids("2:1-3")))
    ), "stopped", (StartReplication(),)),
    ("stopped by hand", replica(
        server=server(channel=STOPPED), memory=replace(TESTED, configured=1)
    ), "stopped", (StartReplication(),)),
    ("receiver gave up", replica(server=server(channel=LOST)), "stopped", (StartReplication(applier=False),)),
    ("applier gave up on a deadlock", replica(
        server=server(channel=DEADLOCK)
    ), "stopped", (StartReplication(receiver=False),)),
    ("not again too soon", replica(
        server=server(channel=LOST), memory=replace(TESTED, restarts=3, restart_at=NOW + 2)
    ), "stopped", ()),
    # Serving.
    ("connecting is not stopped", replica(
        server=server(offline_mode=False, channel=channel(io_running=False, io_connecting=True))
    ), "steady", ()),
    ("renewed certificate", replica(credentials_changed=True), "renewed_credentials", (RestartReceiver(),)),
    ("takes readers", replica(server=server(channel=channel())), "serve", (Serve(),)),
    ("in service", replica(), "steady", ()),
)  # fmt: skip


@pytest.mark.parametrize(("seen", "rule", "actions"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_rule(seen: View, rule: str, actions: tuple[Action, ...]) -> None:
    decided = plan(seen)
    assert (decided.rule, decided.actions) == (rule, actions), decided.state


def test_every_rule_below_the_primary_s_has_a_row() -> None:
    assert {row[2] for row in TABLE} == {
        "no_primary", "untested", "diverged", "repoint", "broken", "stopped", "renewed_credentials", "serve", "steady",
    }  # fmt: skip


def compared(own: str, source: str) -> Memory:
    """What comparing these two executed sets leaves in memory."""
    facts = server(executed=gtids(own))
    answer = replace(SOURCE, executed=gtids(source))
    decided = plan(replica(server=facts, memory=Memory(), peers=asked(facts, db_2=answer)))
    assert decided.memory is not None
    return decided.memory


def test_contained_is_remembered_for_this_start() -> None:
    memory = compared("1:1-5,2:1-2", "1:1-10,2:1-5")
    assert (memory.tested_source, memory.tested_generation, memory.tested_at) == ("db-2", 1, NOW)
    assert not memory.errant and memory.problem is None


def test_foreign_transactions_are_divergence() -> None:
    memory = compared("1:1-12,3:1", "1:1-10,2:1-5")
    assert memory.errant == gtids("1:11-12,3:1")
    assert memory.problem is not None and memory.problem.reason == "Diverged"


def test_transactions_under_the_source_s_own_uuid_may_be_on_their_way() -> None:
    assert compared("2:1-7", "2:1-5").errant == GtidSet()


def test_divergence_looks_at_received_not_only_executed() -> None:
    own = server(channel=replace(STOPPED, retrieved=gtids("3:1-2")))
    decided = plan(replica(server=own, memory=Memory(), peers=asked(own, db_2=SOURCE)))
    assert decided.memory is not None and decided.memory.errant == gtids("3:1-2")


def test_the_comparison_uses_what_was_read_before_the_question() -> None:
    """Replication went on meanwhile: the newer local set must not be held against the older answer."""
    before, later = server(executed=gtids("1:1-10")), server(executed=gtids("1:1-20"))
    decided = plan(replica(server=later, memory=Memory(), peers=asked(before, db_2=SOURCE)))
    assert decided.memory is not None and not decided.memory.errant


def test_a_divergence_that_is_gone_is_forgotten() -> None:
    memory = replace(TESTED, errant=gtids("3:1"), tested_at=NOW - 31)
    decided = plan(replica(server=server(channel=STOPPED), memory=memory, peers=asked(db_2=SOURCE)))
    assert decided.memory is not None and not decided.memory.errant and decided.memory.problem is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (PURGED, "purged binary logs"),
        (AHEAD, "the source has lost"),
        (SAME_ID, "13117"),
        (DUPLICATE, "1062"),
    ],
)
def test_a_broken_channel_says_why_and_what_to_do(state: object, words: str) -> None:
    decided = plan(replica(server=server(channel=state)))
    assert decided.memory is not None and decided.memory.problem is not None
    assert decided.memory.problem.reason == "ReplicationBroken"
    assert words in decided.memory.problem.message


def test_restarts_wait_ever_longer_up_to_a_cap() -> None:
    memory, pauses = TESTED, []
    for _ in range(12):
        now = memory.restart_at or NOW
        seen = replica(server=server(channel=LOST), memory=replace(memory, tested_at=now), now=now, silent_since=now)
        decided = plan(seen)
        assert decided.actions == (StartReplication(applier=False),) and decided.memory is not None
        memory = decided.memory
        pauses.append(memory.restart_at - now)
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(pauses) == timing.RESTART_CAP == pauses[-1]


def test_a_channel_that_keeps_running_is_forgiven() -> None:
    memory = replace(TESTED, restarts=4, restart_at=NOW - 1)
    decided = plan(replica(memory=memory))
    assert decided.memory is not None and decided.memory.restarts == 0
    early = plan(replica(memory=replace(memory, restart_at=NOW + 1)))
    assert early.memory is not None and early.memory.restarts == 4
