"""Which Pod is replaced next, and when none is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from cnmysql import names
from cnmysql.clock import rfc3339
from cnmysql.protocol.report import Problem
from manager.actions import Delete
from manager.cluster.desired import desired
from manager.cluster.outcome import Continue
from manager.cluster.rules import rollout
from manager.cluster.snapshot import Snapshot
from tests.unit.manager.snapshots import objects, pod, ready, says, silent, spec, status

HASH = {"metadata": {"annotations": {names.ANN_POD_TEMPLATE_HASH: "new"}}}
NOT_READY = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
WAITING = {"status": {"containerStatuses": [{"name": "mysql", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}


def current(s: Snapshot, *instances: str) -> Snapshot:
    """These Pods already have the template of the spec."""
    from manager.cluster.desired import desired, pod_input
    from manager.cluster.render.pods import template_hash

    d = desired(s)
    for i in instances:
        wanted = template_hash(pod_input(s, d, i))
        s = pod(s, i, {"metadata": {"annotations": {names.ANN_POD_TEMPLATE_HASH: wanted}}})
    return s


def changed() -> Snapshot:
    return spec(ready(3), maxStopDelay=60)


def answer(s: Snapshot) -> str:
    outcome = rollout.decide(s)
    assert isinstance(outcome, Continue)
    if outcome.notice is None:
        assert outcome.actions == ()
        return "nothing"
    assert outcome.notice.phase == names.PHASE_UPGRADING
    if not outcome.actions:
        return f"wait: {outcome.notice.reason}"
    (delete,) = outcome.actions
    assert isinstance(delete, Delete)
    return delete.target.name


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s, "db-2"),
        (lambda s: current(s, "db-2"), "db-3"),
        (lambda s: current(s, "db-2", "db-3"), "db-1"),
        (lambda s: current(s, "db-1", "db-2", "db-3"), "nothing"),
        (lambda s: status(s, currentPrimary="db-2"), "db-1"),
        (
            lambda s: pod(s, "db-2", {"metadata": {"deletionTimestamp": "x"}}),
            "wait: the new template waits until db-2 is back",
        ),
        (lambda s: pod(s, "db-3", None), "wait: the new template waits until db-3 is back"),
        (lambda s: pod(s, "db-3", NOT_READY), "wait: the new template waits until db-3 is ready"),
        (lambda s: silent(s, "db-3"), "wait: the new template waits until db-3 is ready"),
        (lambda s: says(s, "db-3", is_ready=False), "wait: the new template waits until db-3 is ready"),
        (lambda s: pod(pod(s, "db-3", NOT_READY), "db-3", WAITING), "db-3"),
        (
            lambda s: says(s, "db-3", is_ready=False, problem=Problem(reason="ConfigurationInvalid", message="m")),
            "db-3",
        ),
        (
            lambda s: pod(pod(current(s, "db-2"), "db-2", NOT_READY), "db-2", WAITING),
            "wait: the new template stops at db-2, which is not ready (ImagePullBackOff)",
        ),
        (
            lambda s: pod(current(s, "db-2"), "db-2", NOT_READY),
            "wait: the new template stops at db-2, which is not ready",
        ),
        (
            lambda s: status(s, roleChange={"epoch": 2, "to": "db-1"}),
            "wait: the new template waits for the role change",
        ),
        # What cannot start may be what the missing instance and the role change are waiting for.
        (lambda s: pod(pod(pod(s, "db-2", NOT_READY), "db-2", WAITING), "db-3", None), "db-2"),
        (
            lambda s: status(pod(pod(s, "db-1", NOT_READY), "db-1", WAITING), roleChange={"epoch": 2, "to": "db-1"}),
            "db-1",
        ),
    ],
)
def test_next(change: Callable[[Snapshot], Snapshot], expected: str) -> None:
    found = answer(change(changed()))
    assert found.startswith(expected) if expected.startswith("wait") else found == expected


@pytest.mark.parametrize(
    ("ago", "expected"), [(86400.0, "wait: the new template waits until db-3 is back"), (5.0, "db-1")]
)
def test_a_primary_that_blinks_while_another_is_away_is_not_taken_for_stuck(ago: float, expected: str) -> None:
    """Restarts of last week are no reason to have two away at once."""
    s = changed()
    end = s.now - timedelta(seconds=ago)
    last = {"exitCode": 137, "startedAt": rfc3339(end - timedelta(seconds=3)), "finishedAt": rfc3339(end)}
    container = {"name": "mysql", "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": last}}
    s = pod(pod(s, "db-1", NOT_READY), "db-1", {"status": {"containerStatuses": [container]}})
    assert answer(pod(s, "db-3", None)).startswith(expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"imageName": "mysql:9.7.9"},
        {"resources": {"limits": {"memory": "1Gi"}}},
        {"env": [{"name": "TZ", "value": "UTC"}]},
        {"mysql": {"parameters": {"innodb_sort_buffer_size": "2097152"}}},
        {"affinity": {"nodeSelector": {"disk": "ssd"}}},
        {"logLevel": "debug"},
    ],
)
def test_what_replaces_pods(changes: dict[str, object]) -> None:
    assert answer(spec(ready(3), **changes)) == "db-2"


@pytest.mark.parametrize(
    "changes",
    [
        {"inheritedMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}},
        {"serviceAccountTemplate": {"metadata": {"labels": {"a": "b"}}}},
        {"mysql": {"parameters": {"max_connections": "300"}}},
        {"description": "text"},
        {"storage": {"size": "2Gi"}},
        {"instances": 4},
        {"certificates": {"serverAltDNSNames": ["x.example.com"]}},
        {"bootstrap": {"initdb": {"postInitSQL": ["SELECT 1"]}}},
    ],
)
def test_what_does_not(changes: dict[str, object]) -> None:
    assert answer(spec(ready(3), **changes)) == "nothing"


def test_the_restart_token_replaces_pods() -> None:
    s = ready(3)
    meta = {**s.cluster["metadata"], "annotations": {names.ANN_RESTART: "2026-01-01T00:00:00Z"}}
    from dataclasses import replace

    assert answer(replace(s, cluster={**s.cluster, "metadata": meta})) == "db-2"


def test_a_new_operator_image_replaces_nothing() -> None:
    from dataclasses import replace

    assert answer(replace(ready(3), operator_image="operator:2")) == "nothing"


def test_no_pod_is_removed_whose_successor_could_not_start() -> None:
    s = objects(changed(), "secrets", db_2_peer_tls=None)
    assert answer(s) == "wait: the new template waits: db-2 waits for its certificates"
    assert rollout.next_victim(s, desired(s)).instance == "", "nor does it get the my.cnf of the new template"
    foreign = {"metadata": {"annotations": {names.ANN_CLUSTER_UID: "other"}}}
    s = objects(changed(), "volumes", db_2=foreign)
    assert answer(s) == "wait: the new template waits: db-2 waits for a volume of this Cluster"


@pytest.mark.parametrize(
    ("restarts", "expected"), [(1, "wait: the new template waits until db-3 is ready"), (2, "db-3")]
)
def test_more_time_to_start_reaches_an_instance_that_was_killed_twice_for_lack_of_it(
    restarts: int, expected: str
) -> None:
    s = silent(pod(spec(ready(3), maxStartDelay=86400), "db-3", NOT_READY), "db-3")
    # It had the hour of before and half an hour to stop.
    ended = {"exitCode": 137, "startedAt": rfc3339(s.now - timedelta(hours=1.5)), "finishedAt": rfc3339(s.now)}
    container = {"name": "mysql", "ready": False, "restartCount": restarts, "state": {"running": {}}}
    found = answer(
        pod(s, "db-3", {"status": {"containerStatuses": [{**container, "lastState": {"terminated": ended}}]}})
    )
    assert found.startswith(expected)
