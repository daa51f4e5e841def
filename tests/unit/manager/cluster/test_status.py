"""Phase, reason, conditions and the one status patch of a pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cnmysql import names
from cnmysql.api.status import ClusterStatus
from cnmysql.protocol.report import Problem, ProvisioningReport
from manager.actions import Emit, PatchStatus
from manager.cluster import status as rule
from manager.cluster.outcome import Notice
from manager.cluster.snapshot import Malformed, Snapshot
from tests.support.merge_patch import merge_patch
from tests.unit.manager.snapshots import new, objects, pod, ready, says, silent, spec, status

NOT_READY = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}


def written(s: Snapshot, *notices: Notice) -> dict[str, Any]:
    """The stored status after this pass."""
    verdict = rule.decide(s, notices, held=False)
    patches = [a for a in verdict.actions if isinstance(a, PatchStatus)]
    assert len(patches) <= 1
    assert all(p.resource_version == s.resource_version for p in patches)
    result: dict[str, Any] = merge_patch(s.status, dict(patches[0].patch)) if patches else dict(s.status)
    return result


def test_at_rest_nothing_is_written() -> None:
    assert rule.decide(ready(), (), held=False).actions == ()


def test_what_is_written_is_read_back_by_the_api_model() -> None:
    stored = written(silent(ready(), "db-2"), Notice("why"))
    model = ClusterStatus.model_validate(stored)
    again = model.model_dump(by_alias=True, exclude_unset=True, mode="json")
    assert {k: v for k, v in again.items() if k in stored} == stored


@pytest.mark.parametrize(
    ("change", "phase", "reason"),
    [
        (lambda s: s, "Ready", ""),
        (lambda s: pod(s, "db-2", NOT_READY), "Degraded", "db-2 is not ready: its readiness probe has not passed yet"),
        (lambda s: pod(s, "db-2", None), "Degraded", "db-2 has no Pod"),
        (lambda s: silent(s, "db-2"), "Degraded", "db-2 is not ready: no word from its instance manager"),
        (lambda s: says(s, "db-1", open=False), "Degraded", ""),
        (
            lambda s: says(s, "db-2", is_ready=False, problem=Problem(reason="Diverged", message="m")),
            "Degraded",
            "db-2 is not ready: Diverged: m",
        ),
        (lambda s: status(s, divergedInstances=["db-2"]), "Ready", ""),
        (
            lambda s: says(s, "db-1", is_ready=False, problem=Problem(reason="DiskFull", message="full")),
            "DiskFull",
            "db-1 is not ready: DiskFull: full",
        ),
        (lambda s: silent(status(s, divergedInstances=["db-2"]), "db-2"), "Degraded", "db-2 is not ready"),
        (lambda s: spec(s, instances=2), "Ready", ""),
        (lambda s: spec(s, instances=4), "Provisioning", "db-4 has no Pod"),
        (lambda s: pod(spec(s, instances=3), "db-3", None), "Provisioning", "db-3 has no Pod"),
        (lambda s: pod(status(s, phase="Provisioning"), "db-3", NOT_READY), "Provisioning", "db-3 is not ready"),
        (lambda s: pod(status(s, phase="Degraded"), "db-3", NOT_READY), "Degraded", "db-3 is not ready"),
        (lambda s: says(spec(s, instances=4), "db-1", open=False), "Degraded", ""),
        (
            lambda s: pod(spec(s, instances=4), "db-2", {"metadata": {"deletionTimestamp": "x"}}),
            "Degraded",
            "db-2 is not ready",
        ),
        (
            lambda s: pod(status(s, establishedAt=None), "db-2", NOT_READY),
            "Provisioning",
            "db-2 is not ready: its readiness probe",
        ),
        (
            lambda s: says(status(s, establishedAt=None), "db-1", open=False, is_ready=False),
            "Provisioning",
            "db-1 is not ready: mysqld is running",
        ),
        (lambda s: silent(status(s, establishedAt=None), "db-1", "db-2", "db-3"), "Pending", "db-1 is not ready"),
        (lambda s: status(s, roleChange={"epoch": 2, "kind": "reopen", "to": "db-1"}), "Degraded", ""),
    ],
)
def test_observed_phase(change: Callable[[Snapshot], Snapshot], phase: str, reason: str) -> None:
    verdict = rule.decide(change(ready()), (), held=False)
    assert verdict.phase == phase
    assert verdict.reason.startswith(reason) if reason else True


def test_the_first_notice_with_a_phase_decides_and_otherwise_explains() -> None:
    notices = (Notice("first"), Notice("second", names.PHASE_BLOCKED), Notice("third", names.PHASE_UPGRADING))
    verdict = rule.decide(ready(), notices, held=False)
    assert (verdict.phase, verdict.reason) == ("Blocked", "second")
    verdict = rule.decide(silent(ready(), "db-2"), (Notice("first"), Notice("second")), held=False)
    assert (verdict.phase, verdict.reason) == ("Degraded", "first")


@pytest.mark.parametrize(
    ("phase", "established", "conditions"),
    [
        ("Ready", True, {"Ready": "True", "Progressing": "False", "Degraded": "False"}),
        ("Upgrading", True, {"Ready": "False", "Progressing": "True", "Degraded": "False"}),
        ("Blocked", True, {"Ready": "False", "Progressing": "False", "Degraded": "True"}),
        ("Blocked", False, {"Ready": "False", "Progressing": "False", "Degraded": "False"}),
        ("Degraded", True, {"Ready": "False", "Progressing": "True", "Degraded": "True"}),
    ],
)
def test_conditions(phase: str, established: bool, conditions: dict[str, str]) -> None:
    s = ready() if established else status(ready(), establishedAt=None)
    found = {c["type"]: c for c in written(s, Notice("why", phase))["conditions"]}
    assert [found.pop(c)["status"] for c in ("CertificatesValid", "ParametersApplied")] == ["True", "True"]
    assert {k: c["status"] for k, c in found.items()} == conditions
    assert {c["reason"] for c in found.values()} == {phase}
    assert {c["observedGeneration"] for c in found.values()} == {s.generation}


def test_a_condition_keeps_its_time_while_its_status_does() -> None:
    before = {c["type"]: c["lastTransitionTime"] for c in ready().status["conditions"]}
    later = replace(ready(), now=ready().now + timedelta(hours=1))
    after = {c["type"]: c["lastTransitionTime"] for c in written(later, Notice("x", "Upgrading"))["conditions"]}
    assert after["Degraded"] == before["Degraded"]
    assert after["Ready"] != before["Ready"]


def test_conditions_of_others_are_kept() -> None:
    theirs = {"type": "Theirs", "status": "True", "reason": "X", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    s = status(ready(), conditions=[*ready().status["conditions"], theirs])
    assert rule.decide(s, (), held=False).actions == ()
    assert theirs in written(s, Notice("x", "Upgrading"))["conditions"]


@pytest.mark.parametrize(("phase", "warning"), [("Blocked", True), ("Degraded", True), ("Upgrading", False)])
def test_a_phase_is_told_when_it_begins(phase: str, warning: bool) -> None:
    event = rule.decide(ready(), (Notice("why", phase),), held=False).actions[-1]
    assert event == Emit(phase, "why", warning=warning)
    same = status(ready(), phase=phase, phaseReason="before")
    assert [a for a in rule.decide(same, (Notice("why", phase),), held=False).actions if isinstance(a, Emit)] == []


def test_established_is_written_once_and_stays() -> None:
    assert written(ready())["establishedAt"] == ready().status["establishedAt"]
    assert written(silent(ready(), "db-2"))["establishedAt"] == ready().status["establishedAt"]


def test_lists_are_carried_over_while_an_instance_is_silent_and_end_when_it_says_otherwise() -> None:
    s = status(ready(), divergedInstances=["db-2"], replicationBrokenInstances=["db-3"])
    assert written(silent(s, "db-2", "db-3"))["divergedInstances"] == ["db-2"]
    assert written(silent(s, "db-2", "db-3"))["replicationBrokenInstances"] == ["db-3"]
    assert written(s)["divergedInstances"] == []


@pytest.mark.parametrize("phase", [names.PHASE_BLOCKED, names.PHASE_UPGRADING])
def test_a_hold_blanks_nothing(phase: str) -> None:
    s = silent(status(ready(), divergedInstances=["db-2"]), "db-2")
    stored = written(s, Notice("why", phase))
    assert stored["divergedInstances"] == ["db-2"]
    assert stored["epoch"] == s.status["epoch"]
    assert stored["leaseHolder"] == s.status["leaseHolder"]


def test_a_malformed_spec_is_told_and_counts_the_pods_there_are() -> None:
    stored = written(replace(ready(), spec=Malformed("spec.instances: is a word")), Notice("InvalidSpec: x", "Blocked"))
    assert (stored["phase"], stored["instances"], stored["readyInstances"]) == ("Blocked", 3, 3)


@pytest.mark.parametrize(
    ("asked", "held", "recorded"),
    [
        ("mysql:9.7.9", False, "mysql:9.7.9"),
        ("mysql:9.7.9", True, names.DEFAULT_MYSQL_IMAGE),
        ("mysql:8.4", False, names.DEFAULT_MYSQL_IMAGE),
    ],
)
def test_the_image_is_recorded_that_instances_may_run_whatever_the_phase(asked: str, held: bool, recorded: str) -> None:
    s = spec(ready(), imageName=asked)
    verdict = rule.decide(s, (Notice("why", names.PHASE_BLOCKED),), held=held)
    (patch,) = [a.patch for a in verdict.actions if isinstance(a, PatchStatus)]
    assert {**s.status, **patch}["image"] == recorded


def test_a_new_cluster_gets_a_first_status() -> None:
    stored = written(new(), Notice("waiting for the certificate in Secret db-ca"))
    assert (stored["phase"], stored["phaseReason"]) == ("Pending", "waiting for the certificate in Secret db-ca")
    assert stored["labelSelector"] == "mysql.cloudnative-mysql.io/cluster=db"


def test_a_deleted_cluster_gets_no_status() -> None:
    s = new()
    meta = {**s.cluster["metadata"], "deletionTimestamp": "now"}
    assert rule.decide(replace(s, cluster={**s.cluster, "metadata": meta}), (), held=False).actions == ()


def copying(s: Snapshot, done: int) -> Snapshot:
    progress = ProvisioningReport(mode="join", stage="copy", bytes_done=done, bytes_total=1000)
    return says(s, "db-2", provisioning=progress)


def test_progress_is_written_at_most_every_ten_seconds() -> None:
    first = written(copying(ready(), 10))
    assert first["provisioning"]["db-2"]["bytesDone"] == 10
    s = status(copying(ready(), 20), **first)
    verdict = rule.decide(s, (), held=False)
    assert verdict.actions == ()
    assert verdict.wake_after is not None
    assert 0 < verdict.wake_after <= 10
    later = replace(s, now=s.now + timedelta(seconds=10))
    assert written(later)["provisioning"]["db-2"]["bytesDone"] == 20


def test_progress_that_ended_is_removed() -> None:
    s = status(ready(), **written(copying(ready(), 10)))
    assert "db-2" not in written(s)["provisioning"]


def test_resizing_volumes_are_named() -> None:
    s = objects(ready(), "volumes", db_2={"status": {"conditions": [{"type": "Resizing", "status": "True"}]}})
    assert written(s)["resizingPVC"] == ["db-2"]


def test_certificates_in_use_and_until_when() -> None:
    found = written(status(ready(1), certificates=None))["certificates"]
    ends = found.pop("expirations")
    assert found == {
        "serverCASecret": "db-ca",
        "clientCASecret": "db-ca",
        "replicationTLSSecret": "db-replication-tls",
        "operatorTLSSecret": "db-client-tls",
    }
    leaves = ("db-client-tls", "db-replication-tls", "db-1-server-tls", "db-1-peer-tls")
    assert ends == {"db-ca": "2035-12-30T00:00:00Z", **dict.fromkeys(leaves, "2026-04-01T00:00:00Z")}


def test_runtimes_are_told_and_kept_while_an_instance_is_silent() -> None:
    s = says(ready(2), "db-1", executable_hash="a" * 64)
    stored = written(s)
    assert stored["executableHashByInstance"] == {"db-1": "a" * 64}
    assert stored["operatorExecutableHash"] == s.tree_digest
    assert written(silent(status(s, **stored), "db-1"))["executableHashByInstance"] == {"db-1": "a" * 64}


def test_gtid_sets_are_written_with_other_changes_only() -> None:
    moved = says(ready(1), "db-1", gtid_executed="00000000-0000-0000-0000-000000000001:1-9")
    assert rule.decide(moved, (), held=False).actions == ()
    assert written(moved, Notice("x", "Upgrading"))["gtidExecutedByInstance"]["db-1"].endswith(":1-9")


def test_the_status_stays_until_every_instance_was_listened_to() -> None:
    s = replace(ready(), observations={})
    assert rule.decide(s, (), held=False).actions == ()
    one = {"db-1": ready().observations["db-1"]}
    assert rule.decide(replace(s, observations=one), (), held=False).actions == ()
    assert written(silent(ready(), "db-1", "db-2", "db-3"))["phase"] == "Degraded"


def test_a_pod_that_ended_or_has_no_address_is_not_listened_to() -> None:
    rest = {i: o for i, o in ready().observations.items() if i != "db-2"}
    ended = replace(pod(ready(), "db-2", {"status": {"phase": "Failed"}}), observations=rest)
    assert written(ended)["phase"] == "Degraded"
    unplaced = replace(pod(ready(), "db-2", {"status": {"podIP": None}}), observations=rest)
    assert written(unplaced)["phase"] == "Degraded"
