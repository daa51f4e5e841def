"""Every step of the role in force, and every reason not to take one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from cnmysql.protocol.report import MysqldReport, Problem
from manager.actions import ClearHold, Commit, CreateOnce
from manager.cluster.outcome import Continue, Decide, Outcome
from manager.cluster.rules import roles
from manager.cluster.snapshot import Departed, Report, Snapshot
from tests.unit.manager.snapshots import lease, pod, pod_uid, ready, says, silent, status

RUNNING = MysqldReport(state="running", since="now")
STOPPED = MysqldReport(state="exited", since="now")
UUID = str(ready(3).status["primaryUUIDs"][0])
TERMINATED = {"terminated": {"exitCode": 137, "reason": "Error"}}


def commit(outcome: Outcome) -> Commit:
    assert isinstance(outcome, Decide)
    found = outcome.actions[0]
    assert isinstance(found, Commit)
    return found


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, Continue)
    assert outcome.actions == ()
    return f"{outcome.notice.phase}|{outcome.notice.reason}" if outcome.notice else ""


def before_bootstrap() -> Snapshot:
    s = status(ready(1), currentPrimary=None, primaryUUIDs=None, leaseHolder=None, epoch=0)
    return says(lease(s, ""), "db-1", open=False, closed=True, epoch=0)


def closed_primary() -> Snapshot:
    """db-1 is the recorded primary, closed, and has cleared its hold."""
    return says(lease(ready(3), ""), "db-1", open=False, closed=True, is_ready=False)


def test_at_rest_nothing_is_decided() -> None:
    assert reason(roles.decide(ready(3))) == ""


def test_bootstrap_names_instance_1_under_a_new_epoch() -> None:
    s = before_bootstrap()
    found = commit(roles.decide(s))
    change = found.patch["roleChange"]
    assert (change["kind"], change["from"], change["to"], change["epoch"]) == ("bootstrap", "", "db-1", 1)
    assert found.patch["epoch"] == 1
    assert found.patch["primaryUUIDs"] == ready(1).status["primaryUUIDs"]
    assert found.resource_version == s.resource_version


WAITING = MysqldReport(state="waiting", since="now")
PROVISIONING = MysqldReport(state="provisioning", since="now")


def last_word(text: str, *, ready: bool = False) -> dict[str, Any]:
    ended = {"exitCode": 1, "message": text}
    container = {"name": "bootstrap", "ready": ready, "state": {}, "lastState": {"terminated": ended}}
    return {"status": {"initContainerStatuses": [container]}}


@pytest.mark.parametrize("problem", ["ForeignData", "DataMissing", "UpgradeRefused"])
def test_a_primary_that_cannot_serve_blocks_and_says_why(problem: Any) -> None:
    s = says(ready(3), "db-1", open=False, mysqld=WAITING, problem=Problem(reason=problem, message="see there"))
    assert reason(roles.decide(lease(s, ""))) == f"Blocked|db-1 stays closed: {problem}: see there"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: says(s, "db-1", closed=False), ""),
        (lambda s: says(s, "db-1", mysqld=STOPPED), ""),
        (lambda s: says(s, "db-1", server_uuid=None), ""),
        (lambda s: silent(s, "db-1"), ""),
        (lambda s: replace(s, clock=s.clock + 5.1), ""),
        (lambda s: says(s, "db-1", pod_uid="another"), ""),
        (lambda s: replace(s, leader_fresh=False), "|leadership is being confirmed"),
        (lambda s: status(s, primaryUUIDs=[UUID]), "Blocked|NoPrimary"),
        (lambda s: says(s, "db-1", epoch=4), "Blocked|StatusRolledBack: db-1 has stored epoch 4, the status says 0"),
        (
            lambda s: says(s, "db-1", mysqld=WAITING, problem=Problem(reason="ForeignData", message="not ours")),
            "Blocked|db-1 cannot open: ForeignData: not ours",
        ),
        (
            lambda s: says(s, "db-1", mysqld=PROVISIONING, problem=Problem(reason="BootstrapFailed", message="no")),
            "Blocked|db-1 cannot open: BootstrapFailed: no",
        ),
        # Its manager lingers for a moment only; the kubelet keeps its last word.
        (
            lambda s: silent(pod(s, "db-1", last_word("BootstrapFailed: no")), "db-1"),
            "Blocked|db-1 cannot open: BootstrapFailed: no",
        ),
        (
            lambda s: pod(
                says(s, "db-1", mysqld=WAITING, problem=Problem(reason="ForeignData", message="x")),
                "db-1",
                {"metadata": {"deletionTimestamp": "now"}},
            ),
            "",
        ),
        (lambda s: silent(pod(s, "db-1", last_word("BootstrapFailed: no", ready=True)), "db-1"), ""),
        (lambda s: silent(pod(s, "db-1", last_word("NoDonor: no")), "db-1"), ""),
        (
            lambda s: says(s, "db-1", problem=Problem(reason="DiskFull", message="no room")),
            "Blocked|DiskFull: no room",
        ),
    ],
)
def test_no_bootstrap(change: Callable[[Snapshot], Snapshot], expected: str) -> None:
    assert reason(roles.decide(change(before_bootstrap()))).startswith(expected)
    if not expected:
        assert reason(roles.decide(change(before_bootstrap()))) == ""


def test_a_missing_lease_is_made_with_the_last_known_holder() -> None:
    s = ready(3)
    bare = replace(s, objects=replace(s.objects, leases={}))
    outcome = roles.decide(bare)
    assert isinstance(outcome, Continue)
    (create,) = outcome.actions
    assert isinstance(create, CreateOnce)
    assert create.body["spec"]["holderIdentity"] == f"db-1/{pod_uid(s, 'db-1')}"


def ordered(s: Snapshot) -> Snapshot:
    change = {"epoch": 2, "kind": "reopen", "from": "db-1", "to": "db-1", "stage": "ordered"}
    return status(s, epoch=2, roleChange=change)


def test_an_order_is_done_when_open_recorded_and_held() -> None:
    s = says(ordered(ready(3)), "db-1", epoch=2)
    found = commit(roles.decide(s))
    assert found.patch == {"roleChange": None, "leaseHolder": f"db-1/{pod_uid(s, 'db-1')}"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: says(s, "db-1", epoch=1), "|waiting for db-1 to open"),
        (lambda s: says(s, "db-1", open=False), "|waiting for db-1 to open"),
        (lambda s: silent(s, "db-1"), "|waiting for db-1 to open"),
        (lambda s: lease(s, ""), "|waiting for db-1 to open"),
        (lambda s: status(s, currentPrimary="db-2"), "|waiting for db-1 to open"),
        (
            lambda s: says(s, "db-1", open=False, problem=Problem(reason="LostTail", message="lost 3")),
            "Blocked|db-1 cannot open: LostTail: lost 3",
        ),
        (lambda s: says(lease(s, "db-1/old"), "db-1", open=False), "Blocked|LeaseHeld"),
    ],
)
def test_an_order_is_not_done(change: Callable[[Snapshot], Snapshot], expected: str) -> None:
    s = says(ordered(ready(3)), "db-1", epoch=2)
    assert reason(roles.decide(change(s))).startswith(expected)


def test_a_closed_primary_with_everything_is_ordered_to_open_again() -> None:
    found = commit(roles.decide(closed_primary()))
    change = found.patch["roleChange"]
    assert (change["kind"], change["from"], change["to"], change["epoch"]) == ("reopen", "db-1", "db-1", 2)
    assert change["requiredGTIDs"].startswith(UUID)
    assert "primaryUUIDs" not in found.patch


GROWN = f"{UUID}:1-999999"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: says(s, "db-2", received=GROWN), "Blocked|LostTail: db-1 lacks transactions that db-2 has"),
        (lambda s: says(s, "db-2", received=None), "|waiting for the received set of db-2"),
        (lambda s: says(s, "db-1", gtid_executed=None), "|waiting for the GTID set of db-1"),
        (
            lambda s: says(s, "db-1", server_uuid="00000000-0000-0000-0000-00000000ffff"),
            "Blocked|DataMissing: db-1 runs on data of server",
        ),
        (lambda s: says(s, "db-1", mysqld=STOPPED), ""),
        (lambda s: silent(s, "db-1"), ""),
        (lambda s: pod(s, "db-1", {"metadata": {"deletionTimestamp": "now"}}), ""),
        (
            lambda s: says(s, "db-1", problem=Problem(reason="LostTail", message="lost")),
            "Blocked|db-1 stays closed: LostTail",
        ),
        (lambda s: lease(s, f"db-1/{pod_uid(s, 'db-1')}"), "|db-1 is about to open again by itself"),
        (lambda s: lease(s, "db-1/former"), "Blocked|LeaseHeld: the primary Lease is held by db-1 (Pod uid former)"),
        (lambda s: lease(s, "somebody"), "Blocked|LeaseHeld"),
    ],
)
def test_no_reopening(change: Callable[[Snapshot], Snapshot], expected: str) -> None:
    found = reason(roles.decide(change(closed_primary())))
    assert found.startswith(expected) if expected else found == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda s: silent(s, "db-2"),
        lambda s: says(s, "db-2", received=GROWN, mysqld=STOPPED),
        lambda s: pod(s, "db-2", None),
    ],
)
def test_members_that_are_not_back_are_not_waited_for(change: Callable[[Snapshot], Snapshot]) -> None:
    assert commit(roles.decide(change(closed_primary()))).patch["epoch"] == 2


def former(state: Mapping[str, object], **more: object) -> Departed:
    body = {
        "metadata": {"name": "db-1", "uid": "former", "deletionTimestamp": "now"},
        "status": {"containerStatuses": [{"name": "mysql", "state": state}], **more},
    }
    return Departed(body, at=0.0)


def test_a_hold_is_cleared_with_the_kubelets_word_on_the_record_it_was_judged_by() -> None:
    s = replace(lease(closed_primary(), "db-1/former"), departed={"former": former(TERMINATED)})
    outcome = roles.decide(s)
    assert isinstance(outcome, Decide)
    clear = outcome.actions[0]
    assert isinstance(clear, ClearHold)
    assert clear.resource_version == s.objects.leases["db-primary"]["metadata"]["resourceVersion"]
    assert clear.holder == "db-1/former"
    assert "kubelet" in clear.proof


@pytest.mark.parametrize(
    "departed",
    [
        former({"running": {}}),
        former({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}),
        former({}),
        Departed({**former(TERMINATED).pod, "metadata": {"name": "db-1", "uid": "former"}}, at=0.0),
    ],
)
def test_what_is_no_proof(departed: Departed) -> None:
    s = replace(lease(closed_primary(), "db-1/former"), departed={"former": departed})
    assert reason(roles.decide(s)).startswith("Blocked|LeaseHeld")


def test_a_forced_deletion_gives_the_manager_time_to_close() -> None:
    s = lease(closed_primary(), "db-1/former")
    s = replace(s, departed={"former": Departed(former({"running": {}}).pod, at=s.clock - 3)})
    assert reason(roles.decide(s)) == "|waiting for db-1 (Pod uid former) to close"


def gone(s: Snapshot, key: str, **changes: object) -> Snapshot:
    """db-1's Pod was deleted by force 3 s ago, its hold is still there, its manager says this."""
    observation = s.observations["db-1"]
    assert isinstance(observation, Report)
    report = observation.status.model_copy(update={"pod_uid": "former", **changes})
    others = {i: o for i, o in s.observations.items() if i != "db-1"}
    s = replace(s, observations={**others, key: replace(observation, status=report)})
    return replace(lease(s, "db-1/former"), departed={"former": replace(former({"running": {}}), at=s.clock - 3)})


@pytest.mark.parametrize("key", ["former", "db-1"], ids=["after", "before"])
def test_the_own_word_of_a_pod_deleted_by_force_counts(key: str) -> None:
    """Heard after or before its Pod went: without a Pod its token is refused and it cannot clear the Lease."""
    outcome = roles.decide(gone(ready(3), key, open=False, closed=True, epoch=1))
    assert isinstance(outcome, Decide)
    clear = outcome.actions[0]
    assert isinstance(clear, ClearHold)
    assert clear.holder == "db-1/former" and "own word" in clear.proof


@pytest.mark.parametrize(
    "changes", [{"closed": False}, {"closed": True, "epoch": 0}, {"closed": True, "pod_uid": "another"}]
)
def test_what_a_pod_deleted_by_force_must_say(changes: Mapping[str, object]) -> None:
    s = gone(ready(3), "former", **{"open": False, "epoch": 1, **changes})
    assert reason(roles.decide(s)) == "|waiting for db-1 (Pod uid former) to close"


def test_an_ended_container_loses_its_hold_while_its_order_is_open_too() -> None:
    """Its Pod, and the proof with it, is deleted next."""
    state = {"phase": "Failed", "containerStatuses": [{"name": "mysql", "state": TERMINATED}]}
    s = pod(silent(ordered(ready(3)), "db-1"), "db-1", {"status": state})
    outcome = roles.decide(s)
    assert isinstance(outcome, Decide)
    clear = outcome.actions[0]
    assert isinstance(clear, ClearHold)
    assert clear.holder == f"db-1/{pod_uid(s, 'db-1')}" and "kubelet" in clear.proof


@pytest.mark.parametrize(("epoch", "proven"), [(0, False), (1, True)])
def test_the_own_word_of_a_pod_that_is_going_counts_under_this_epoch_only(epoch: int, proven: bool) -> None:
    s = says(ready(3), "db-1", open=False, closed=True, epoch=epoch)
    s = pod(s, "db-1", {"metadata": {"deletionTimestamp": "now"}})
    outcome = roles.decide(s)
    assert isinstance(outcome, Decide) == proven


def test_a_primary_we_cannot_hear_is_left_alone() -> None:
    assert reason(roles.decide(silent(ready(3), "db-1"))) == ""


def test_an_order_to_one_that_cannot_serve_is_blocked_between_its_attempts_too() -> None:
    s = silent(pod(ordered(ready(3)), "db-1", last_word("BootstrapFailed: no")), "db-1")
    assert reason(roles.decide(s)) == "Blocked|db-1 cannot open: BootstrapFailed: no"
